//! Errors: one catalogue, one type, three representations.
//!
//! [`catalogue`] holds a row for every code, with the columns in [`entry`]. [`payloads`] has a struct for every code
//! with details. [`ApiError`] has a variant for every code, with its details, its example and its details for
//! LendFoundry. Handlers, layers and extractors return it. Converted to a response ([`response`]) it is only a status
//! and headers, with the error in the response's extensions. The outermost layer renders it with [`render`], because it
//! has the request's id and the representation that the client accepts, and writes its log line.
//!
//! [`forms`] has the representations. [`docs`] describes the catalogue for its readers.

mod api_error;
pub mod catalogue;
pub(crate) mod docs;
pub mod entry;
mod forms;
mod issue;
pub(crate) mod payloads;
mod rate_limited;
mod response;
mod schema;

pub use api_error::{ApiError, Asked};
pub(crate) use forms::{ErrorContext, Representation, render};
pub use issue::{Fault, Issue, IssueKind, Issues};
