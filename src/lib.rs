//! The API with which LMN's partners abroad browse Korean used vehicles and order them.
//!
//! # The path of a request
//!
//! [`server`] accepts a connection and passes each request to [`router`], which lists every route and every layer.
//! The [`middleware`] gives the request an id and a deadline, authenticates it and applies the IP allowlist and the
//! rate limits; `idempotency` looks for the stored reply of an earlier request with the same key. A handler in
//! `vehicles/handlers.rs` or `orders/handlers.rs` parses its input, reads the database, lets a pure model decide, records
//! the outcome and commits. Every failure is an [`errors::ApiError`], which is rendered, logged and counted in one
//! place. LMN's people, the [`operators`], have an API of their own on another listener, [`operator`], and a `console` over it.
//!
//! # Structure
//!
//! Every folder is a noun of the product or a part of any HTTP service. Inside it `model.rs` decides without I/O,
//! `store.rs` is the only place with SQL, and `handlers.rs` or `layer.rs` handle HTTP. Start with [`orders::state_machine`],
//! the state machine of an order, and [`orders::placing`], the rules for placing one; then read `idempotency`, which
//! makes every write happen once.

// The modules, in groups, each of which imports only from itself and from those before it (`tests/tidy.rs`).
pub mod values;

pub mod config;
pub mod telemetry;

pub mod database;
pub mod errors;
pub(crate) mod http;

pub mod audit;
pub(crate) mod partners;

pub mod operators;
pub(crate) mod request;
pub mod request_log;

pub(crate) mod idempotency;
pub mod middleware;

pub mod events;
pub mod vehicles;

pub mod orders;
pub mod webhooks;

pub mod catalogue_import;
pub(crate) mod sandbox;

pub mod console;
pub(crate) mod jobs;
pub(crate) mod openapi;
pub mod operator;
pub mod status;

pub mod app;
pub mod router;
pub mod server;

pub mod cli;
