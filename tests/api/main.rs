//! Tests of the API over HTTP: the router on a socket, with a PostgreSQL database for each test.

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
#[path = "../support/invariants.rs"]
mod invariants;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/seed.rs"]
mod seed;
#[path = "../support/store.rs"]
mod store;
mod support;
#[path = "../support/wire.rs"]
mod wire;

mod console;
mod deprecations;
mod envelope;
mod errors;
mod events;
mod field;
mod gate;
mod inputs;
mod metrics;
mod mutations;
mod openapi;
mod operator;
mod orders;
mod overload;
mod partner;
mod pool;
mod portal;
mod postman;
mod processes;
mod reads;
mod request_log;
mod sandbox;
mod secrets;
mod settings_page;
mod sockets;
mod spans;
mod status;
mod tls;
mod traces;
mod vehicles;
mod webhooks;
