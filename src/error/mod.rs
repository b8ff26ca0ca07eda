//! Errors: one catalogue, one type, one envelope.
//!
//! [`catalogue`] holds a row for every code. [`ApiError`] has a variant for every way to fail, carrying what its
//! sentence needs. A handler, layer or extractor returns it; as a response it is only a status and headers with the
//! error itself left in the response's extensions. `middleware::request_context`, the one rescue point, renders it
//! there with [`mod@render`], because it knows the request's id and the form that was asked for, and writes the one log
//! line about it.
//!
//! There are three forms: [`envelope`], [`problem`] and [`lendfoundry`]. The catalogue itself is read as JSON ([`view`])
//! or as a page ([`markdown`]), through [`routes`] and `lmn errors`.

mod api_error;
pub mod catalogue;
mod details;
pub mod entry;
mod envelope;
mod example;
mod issue;
mod lendfoundry;
pub(crate) mod markdown;
mod problem;
mod render;
pub(crate) mod routes;
pub(crate) mod view;

pub use api_error::{ApiError, Asked};
pub use details::Refusal;
pub use issue::{Fault, Issue, IssueKind, Issues};
pub(crate) use render::{ErrorContext, Representation, render};
