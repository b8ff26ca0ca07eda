//! The wire kit: what speaks HTTP and knows no feature.
//!
//! A request meets [`observe`] (its id, its one log line, the rescue of its errors), [`client_ip`],
//! [`remarks`], [`host`], [`room`] and
//! [`deadline`]. The gate reads JSON with [`body`]. A handler takes its input through [`extract`] and [`path`], the members of a body
//! as [`fields`], and [`user`], whom it is for; it answers a conditional read with [`etag`], and lists turn pages with
//! [`page`] and [`cursor`]. Which form of an answer is wanted is read by [`accept`]. What can be asked for is told by
//! [`describe`].

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod client_ip;
pub(crate) mod cursor;
pub(crate) mod deadline;
pub(crate) mod describe;
pub(crate) mod etag;
pub(crate) mod extract;
pub(crate) mod fields;
pub(crate) mod host;
pub(crate) mod observe;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod remarks;
pub(crate) mod room;
mod trace;
pub(crate) mod user;
