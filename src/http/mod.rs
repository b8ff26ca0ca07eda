//! The wire kit: what speaks HTTP and knows no feature.
//!
//! [`client_ip`], [`host`] and [`trace`] read a request's head, [`body`] its JSON. A handler takes its input through
//! [`extract`] and [`path`], the members of a body as [`fields`], and [`user`], whom it is for; it answers a conditional
//! read with [`etag`], and lists turn pages with [`page`] and [`cursor`]. [`accept`] chooses the form of an answer,
//! [`describe`] describes parameters in the OpenAPI document.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod client_ip;
pub(crate) mod cursor;
pub(crate) mod describe;
pub(crate) mod etag;
pub(crate) mod extract;
pub(crate) mod fields;
pub(crate) mod host;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod trace;
pub(crate) mod user;
