//! Orders in the database: [`read`] them, [`place`] one, make a [`step`].

mod author;
mod place;
mod read;
mod step;

pub(crate) use author::Author;
pub(crate) use place::{Placed, look, record};
pub(crate) use read::{Place, find, find_latest_snapshot, find_snapshot, list, list_history};
pub(crate) use step::{lock, record_cancelled};
