//! Raw sockets: callers that are slow, silent, broken or hostile, in every version of HTTP.

mod broken;
mod crowd;
mod http2;
mod limits;
mod raw;
mod smuggling;
mod versions;
