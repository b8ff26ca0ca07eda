//! Orders over HTTP.

mod bidding;
mod cancel;
mod place;
mod read;
