//! The OpenAPI document, built from the handlers, so that a route and its description cannot differ.
//!
//! The attributes of a handler describe its own parameters, success responses and error codes. [`mod@document`] adds
//! what operations share: the parameters and headers of the layers ([`operation`], [`headers`]), the error responses
//! ([`refusals`]) in all representations ([`forms`], [`lendfoundry`]), examples ([`examples`]) and links ([`links`]).
//! [`schemas`] closes the schemas, and [`values`] has those of ids, money and times. [`routes`] serves the document,
//! and [`page`] the reference for human readers.

mod document;
mod examples;
mod forms;
mod headers;
mod lendfoundry;
mod links;
mod operation;
pub(crate) mod page;
mod refusals;
pub(crate) mod routes;
mod schemas;
mod values;
mod webhooks;

pub(crate) use document::document;
