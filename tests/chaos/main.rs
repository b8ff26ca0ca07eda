//! Chaos: what breaks between the API and its database is broken thousands of times, and no order is lost or doubled.

#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests fail loudly, spawn freely and share their support"
)]

#[path = "../support/database.rs"]
mod database;
#[path = "../support/seed.rs"]
mod seed;
#[path = "../api/support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;

mod clients;
mod deadlines;
mod orders;
mod plan;
mod witness;
