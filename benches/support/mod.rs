//! What the benchmarks share: a database with a catalogue, the real server, two ways to drive it, and what they cost.
//!
//! In reading order: [`plan`] says how much and how long, [`database`] makes the state that every run starts from,
//! [`server`] is the server's process, [`http`] drives it, [`load`] sends it a few requests beside other work. [`wire`]
//! listens to what it sends to PostgreSQL, [`script`] makes that a script, [`pgbench`] drives PostgreSQL by it.
//! [`process`] tells what processes cost, [`report`] prints. [`fixed`] is a server with nothing to do. [`orders`] knows
//! what is particular to orders, [`browse`] to the catalogue: [`queries`] are asked by [`searches`], [`merges`] changes
//! vehicles, [`throughput`] reads pages and vehicles as fast as possible, [`files`] are imported and their rows copied
//! into an [`equal`] table.

pub mod browse;
pub mod database;
pub mod equal;
pub mod files;
pub mod fixed;
pub mod http;
pub mod load;
pub mod merges;
pub mod orders;
pub mod pgbench;
pub mod plan;
pub mod process;
pub mod queries;
pub mod report;
pub mod script;
pub mod searches;
pub mod server;
pub mod throughput;
pub mod wire;
