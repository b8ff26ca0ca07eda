//! Orders over HTTP.

mod at_once;
mod auction;
mod bidding;
mod cancel;
mod carried_over;
mod histories;
mod jobs;
mod life;
mod list;
mod model;
mod place;
mod races;
mod read;
mod schema;
mod table;
mod trial;
mod user;
