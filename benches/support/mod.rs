//! Support of the benchmarks: a database with a catalogue, the real server, two load generators, and measurements.
//!
//! In reading order: [`plan`] has the sizes and durations, [`database`] makes the state that every run starts from,
//! [`server`] runs the server as a process, [`http`] loads it, [`load`] sends it a few requests beside other work.
//! [`wire`] records the statements that it sends to PostgreSQL, [`script`] makes a script of them, [`pgbench`] runs the
//! script. [`process`] reads CPU time and memory of processes, [`report`] prints tables. [`fixed`] is a server with a
//! fixed response. [`orders`] has the requests and statements of orders, [`browse`] the requests of the catalogue:
//! [`searches`] measures the [`queries`], [`merges`] changes vehicles, [`throughput`] reads pages and vehicles as fast
//! as possible. [`files`] makes the files to import, and [`equal`] the table into which their rows are copied.

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
