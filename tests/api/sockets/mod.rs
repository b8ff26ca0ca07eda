//! Raw sockets: slow, silent, malformed or hostile callers, in every version of HTTP.

mod broken;
mod crowd;
mod http2;
mod limits;
mod raw;
mod smuggling;
mod versions;
