//! Errors: one catalogue, one type, three representations.
//!
//! [`catalogue`] holds a row for every code. [`ApiError`] has a variant for every error, with the values that its
//! message needs. Handlers, layers and extractors return it. Converted to a response it is only a status and headers,
//! with the error in the response's extensions. The outermost layer, `middleware::request_context`, renders it with
//! [`mod@render`], because it has the request's id and the representation that the client accepts, and writes its log
//! line.
//!
//! The representations are [`envelope`], [`problem`] and [`lendfoundry`]. [`routes`] and `lmn errors` serve the
//! catalogue itself as JSON ([`view`]) or Markdown ([`markdown`]).

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
