//! Values without input or output: identifiers, amounts, times, enums of strings, networks and JSON.

pub mod environment;
pub mod id;
pub(crate) mod json;
pub mod money;
pub(crate) mod network;
pub mod string_enum;
pub mod timestamp;
