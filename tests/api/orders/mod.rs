//! Orders over HTTP.

mod bidding;
mod cancel;
mod list;
mod place;
mod read;
mod trial;
mod user;
