//! The request log: requests that were refused, that failed or that wrote.
//!
//! The outermost layer hands each of them to [`queue::RequestLog`], which never waits. A background job inserts those that
//! have gathered; another [deletes](queue::delete_old) old ones. Partners list their own requests, LMN's people those
//! of all partners. A row has neither a body nor a user, of an API key only its public prefix, and of a path only its
//! template.

pub(crate) mod handlers;
pub(crate) mod model;
pub mod queue;
pub(crate) mod store;
