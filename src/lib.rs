//! The API through which LMN's partners abroad browse Korean used cars and order them.
//!
//! # The path of a request
//!
//! [`server`] accepts a connection and hands each request to [`router`], where every route and every layer stands on
//! one screen. The [`middleware`] gives the request an id and a deadline, and finds out who is asking, from where and how
//! often; `idempotency` finds out whether it was asked before; a handler in `vehicles/routes.rs` or `orders/routes.rs` reads
//! its input, looks things up, lets a pure model decide, records the outcome and commits. Whatever fails becomes an
//! [`error::ApiError`], rendered, logged and counted at one place. The [`operator`] has a listener of its own.
//!
//! # Where things are
//!
//! Every folder is a noun of the product. Inside it `model.rs` decides and does no I/O, `store.rs` is the only place
//! with SQL, `routes.rs` or `layer.rs` speak HTTP. Start with [`orders::state`], the table of an order's life, and
//! [`orders::model`], the rules of placing one; then read `idempotency`, which makes every write happen once.

// In reading order.
pub mod environment;
pub mod id;
pub(crate) mod json;
pub mod money;
pub(crate) mod network;
pub mod stamp;
pub mod word;

pub mod audit;
pub(crate) mod clock;
pub mod events;
pub mod orders;
pub(crate) mod partners;
pub(crate) mod sandbox;
pub mod vehicles;
pub mod webhooks;

pub mod error;
pub(crate) mod http;
pub(crate) mod idempotency;
pub mod middleware;
pub(crate) mod request;

pub mod app;
pub(crate) mod openapi;
pub mod operator;
pub mod router;
pub mod server;

pub mod cli;
pub mod database;
pub mod settings;
pub mod telemetry;
