//! The HTTP server: an accept loop with limits, and a graceful stop.
//!
//! `axum::serve` sets no timeouts, so a connection that sends half of a request head would stay open forever. The
//! loop here, on hyper, limits the number of connections ([`listen`]), in all and of each client address, and the time
//! that a silent or slow one stays open ([`connection`], [`timeouts`]), and stops gracefully. A response is in progress
//! until the client has taken it ([`activity`], [`body`]). [`tls`] terminates TLS if it is set.

mod activity;
mod body;
mod connection;
mod listen;
mod timeouts;
mod tls;

pub use listen::{serve, serve_operator};
