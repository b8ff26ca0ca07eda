//! The server: an accept loop with limits, and a graceful stop.
//!
//! `axum::serve` sets no timer, so a half-sent header would hold a connection for ever. The loop here, on hyper-util,
//! is as long as the glue around another server would be, and keeps in sight how many connections there are
//! ([`listen`]), how long a silent or slow one lives ([`connection`]), and what happens when the process is told to
//! stop. Where TLS is to end here, [`tls`] does that.

mod connection;
mod listen;
mod tls;

pub use listen::{serve, serve_operator};
