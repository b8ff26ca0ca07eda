//! Orders over HTTP.

mod auction;
mod bidding;
mod cancel;
mod life;
mod list;
mod place;
mod read;
mod sweeps;
mod table;
mod trial;
mod user;
