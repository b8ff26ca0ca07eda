//! The catalogue in the database: [`read`] vehicles, write [`listing`]s as rows in text ([`copy`](mod@copy)), take off
//! what a [`snapshot`] leaves out, [`change`](mod@change) vehicles under their locks, keep them as JSON ([`rendered`]),
//! and read what can be [`searchable`] of them.

mod change;
mod copy;
mod listing;
mod read;
mod rendered;
mod searchable;
mod snapshot;

pub(crate) use change::{
    hold, set_auction_dates, set_prices, set_restored, set_sold, set_withdrawn,
};
pub(crate) use copy::{Digest, Draft};
pub(crate) use listing::{
    BATCH_CARS, change, hold_known, insert, insert_new, lock_listing, look, make_tables,
    set_digests,
};
pub(crate) use read::{ReadDetails, find_any, find_untouched_lot, find_whole};
pub(crate) use rendered::{
    ReadSummaries, Rendered, Summary, find_listed, find_unrendered, lock_unrendered, set_rendered,
};
pub(crate) use searchable::{Changes, Moment, changes_since, forget_changes, load};
pub(crate) use snapshot::{find_unlisted, make_snapshot, next_unlisted, note_listed, take_turn};
