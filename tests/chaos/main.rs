//! Fault injection between the API and its database and between LMN and webhook receivers, thousands of times: no order
//! is lost or doubled, and no event is lost or reordered. Also rehearsals of a restore and of an upgrade.

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
#[path = "../support/invariants.rs"]
mod invariants;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/seed.rs"]
mod seed;
#[path = "../api/support/mod.rs"]
mod support;
#[path = "../../examples/receiver/verify.rs"]
mod verify;
#[path = "../support/wire.rs"]
mod wire;

mod clients;
mod cluster;
mod deadlines;
mod deliveries;
mod orders;
mod outage;
mod plan;
mod receiver;
mod restore;
mod upgrade;
mod witness;
