//! The catalogue in the database: [`read`] it, write [`listing`]s, [`change`] cars under their locks.

mod change;
mod listing;
mod read;

pub(crate) use change::{hold, set_auction_dates, set_prices, set_sold, set_withdrawn};
pub(crate) use listing::{BATCH_ROWS, insert_new, upsert};
pub(crate) use read::{Place, count, find_any, find_untouched_lot, list};
