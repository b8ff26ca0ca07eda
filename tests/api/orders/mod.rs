//! Orders over HTTP.

mod auction;
mod bidding;
mod cancel;
mod histories;
mod life;
mod list;
mod model;
mod place;
mod races;
mod read;
mod sweeps;
mod table;
mod trial;
mod user;
