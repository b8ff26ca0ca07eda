//! Values without input or output: ids, amounts, times, enums of strings, addresses, rate limits, secrets, query
//! strings and JSON.

pub mod address;
pub mod environment;
pub mod id;
pub(crate) mod json;
pub mod money;
pub(crate) mod query;
pub mod rate_limit;
pub(crate) mod secret;
pub mod string_enum;
pub mod timestamp;
