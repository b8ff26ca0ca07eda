//! The OpenAPI document: made from the handlers, so that a route and its description are one line.
//!
//! A handler says what is its own: its parameters, its success, and the codes of its refusals. [`mod@document`] adds what
//! is everybody's: the gate's parameters and headers ([`operation`], [`headers`]), the refusals of the error catalogue
//! ([`refusals`]) in all their forms ([`forms`], [`lendfoundry`]), examples ([`examples`]) and what can be asked next ([`links`]);
//! [`schemas`] closes the shapes. [`routes`] serves the result, and [`page`] shows it to people. The small
//! values describe themselves in [`values`].

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
