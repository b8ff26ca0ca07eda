//! Values without input or output: ids, amounts, times, enums of strings, addresses, rate limits, secrets, query
//! strings, JSON and CSV.

pub mod address;
pub(crate) mod csv;
pub mod environment;
pub mod id;
pub(crate) mod json;
pub mod money;
pub(crate) mod query;
pub mod rate_limit;
pub(crate) mod secret;
pub mod string_enum;
pub mod timestamp;
