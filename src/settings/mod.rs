//! The settings, in two stages: what was written, and what the program needs.
//!
//! `config/default.toml` (compiled in) is overlaid by an optional file, and that by the environment. Reading turns
//! the text into [`Settings`], whose values are resolved and checked; nothing later interprets them again. A start
//! with wrong settings prints every complaint at once, each under its key's name.

mod complaints;
mod limits;
mod model;
mod operator;
mod read;
mod reader;
mod telemetry;
mod tls;
mod webhooks;

pub use complaints::Complaints;
pub use model::{
    Catalogue, ClientAddressHeader, Collector, Database, Gate, Log, LogFormat, Operator, RateLimit,
    Server, Settings, SharedLimits, Sweeps, Telemetry, Webhooks,
};
pub(crate) use read::OPERATOR_VARIABLE;
pub use read::{DEFAULTS, environment};
pub use tls::Tls;
pub(crate) use tls::{Files, Pair, PairFault};
