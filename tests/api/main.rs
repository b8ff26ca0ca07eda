//! The API over HTTP: the real router on real sockets, a real database for every test, actors with verbs.

#![allow(
    dead_code,
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
#[path = "../support/process.rs"]
mod process;
mod support;

mod envelope;
mod gate;
mod openapi;
mod orders;
mod pool;
mod processes;
mod sockets;
mod vehicles;
