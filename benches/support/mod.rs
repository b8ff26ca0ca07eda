//! What the benchmarks share: a database with a catalogue, the real server, two ways to drive it, and what they cost.
//!
//! In reading order: [`plan`] says how much and how long, [`database`] makes the state that every run starts from,
//! [`server`] is the server's process, [`http`] drives it. [`wire`] listens to what it sends to PostgreSQL, [`script`]
//! makes that a script, [`pgbench`] drives PostgreSQL by it. [`process`] tells what processes cost, [`report`] prints.
//! [`fixed`] is a server with nothing to do. [`orders`] knows what is particular to orders, [`browse`] to the catalogue.

pub mod browse;
pub mod database;
pub mod fixed;
pub mod http;
pub mod orders;
pub mod pgbench;
pub mod plan;
pub mod process;
pub mod report;
pub mod script;
pub mod server;
pub mod wire;
