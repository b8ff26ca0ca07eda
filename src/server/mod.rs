//! The HTTP server: an accept loop with limits, and a graceful stop.
//!
//! `axum::serve` sets no timeouts, so a connection that sends half of a request head would stay open forever. The
//! loop here, on hyper-util, limits the number of connections ([`listen`]) and the time that a silent or slow one
//! stays open ([`connection`]), and stops gracefully. [`tls`] terminates TLS if it is set.

mod connection;
mod listen;
mod tls;

pub use listen::{serve, serve_operator};
