//! The OpenAPI document, built from the handlers, so that a route and its description cannot differ.
//!
//! The attributes of a handler describe its own parameters, success responses and error codes. [`mod@document`] adds
//! what operations share: the parameters and headers of the layers, and links ([`operation`], [`headers`]), the error
//! responses ([`refusals`]) in all representations ([`forms`]), examples ([`examples`]) and the marks of deprecated
//! operations. [`schemas`] has the schemas of ids, money and times, and makes the derived ones more exact; [`strictness`]
//! separates what requests and responses describe differently. [`operator`] builds the document of the operator API.
//! [`handlers`] serves the document, the error catalogue and the documentation for human readers. [`postman`] makes a
//! Postman collection from the document.

mod document;
mod examples;
mod forms;
pub(crate) mod handlers;
mod headers;
mod operation;
mod operator;
pub(crate) mod postman;
mod refusals;
mod schemas;
mod strictness;

pub(crate) use document::{document, operations};
pub(crate) use operator::operator_document;
