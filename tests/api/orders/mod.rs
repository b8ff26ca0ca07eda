//! Orders over HTTP.

mod bidding;
mod cancel;
mod list;
mod place;
mod read;
