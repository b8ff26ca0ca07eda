//! The catalogue in the database: [`read`] cars, [`list`] them, write [`listing`]s, [`change`] cars under their locks,
//! keep what is [`rendered`] of them.

mod change;
mod list;
mod listing;
mod read;
mod rendered;

pub(crate) use change::{hold, set_auction_dates, set_prices, set_sold, set_withdrawn};
pub(crate) use list::{Listed, Wanted, count, find_by_terms_only, gather, walk};
pub(crate) use listing::{BATCH_ROWS, insert_new, upsert};
pub(crate) use read::{find_any, find_untouched_lot, version};
pub(crate) use rendered::{Rendered, find_listed, hold_unrendered, set_rendered};
