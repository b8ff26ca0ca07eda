//! Raw sockets: slow, silent, malformed or hostile callers, in every version of HTTP.

mod broken;
mod crowd;
pub mod http2;
mod limits;
pub mod raw;
mod smuggling;
mod versions;
