//! The settings: reading, validation and resolved values.
//!
//! `config/default.toml` (compiled in) is overridden by an optional file, and both by the environment. Reading
//! converts the text to [`Settings`], whose values are validated and need no further interpretation. If settings are
//! wrong, the start fails and all errors are printed at once, each with the name of its key.

mod complaints;
mod limits;
mod model;
mod operator;
mod read;
mod reader;
mod telemetry;
mod tls;
mod webhooks;

pub use complaints::ConfigErrors;
pub use model::{
    Catalogue, ClientAddressHeader, Collector, Database, Gate, Limits, Log, LogFormat, Operator,
    RateLimit, Server, Settings, SharedLimits, Sweeps, Telemetry, Webhooks,
};
pub(crate) use read::OPERATOR_VARIABLE;
pub use read::{DEFAULTS, environment};
pub use tls::Tls;
pub(crate) use tls::{Files, Pair, PairFault};
