//! HTTP building blocks that are independent of any feature.
//!
//! [`client_ip`], [`host`] and [`trace`] read the head of a request, [`body`] its JSON. Handlers take their input
//! through [`extract`], [`fields`], [`path`] and [`user`]. [`etag`] answers conditional reads, [`page`] and [`cursor`]
//! paginate lists, [`accept`] chooses the representation of a response, and [`describe`] describes parameters in the
//! OpenAPI document.

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
