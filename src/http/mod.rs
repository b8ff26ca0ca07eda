//! HTTP building blocks that are independent of any feature.
//!
//! [`client_ip`] and [`headers`] read the head of a request. Handlers take their input through [`extract`], whose values
//! are parsed by [`mod@text`], and, from a JSON [`body`], [`fields`]. [`etag`] answers conditional reads, [`page`] and
//! [`cursor`] paginate lists, [`accept`] chooses the representation of a response, [`headers::PublicPath`] completes its
//! relative URLs, and [`describe`] describes parameters in the OpenAPI document.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod client_ip;
pub(crate) mod cursor;
pub(crate) mod describe;
pub(crate) mod etag;
pub(crate) mod extract;
pub(crate) mod fields;
pub(crate) mod headers;
pub(crate) mod page;
pub(crate) mod text;
