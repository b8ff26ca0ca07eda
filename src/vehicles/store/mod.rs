//! The catalogue in the database: [`read`] finds single vehicles, [`listing`] writes listings, as rows in text
//! ([`copy`](mod@copy)), [`snapshot`] finds the vehicles that a file omits, [`change`](mod@change) changes locked
//! vehicles, [`rendered`] reads and writes their JSON, and [`searchable`] reads their searchable fields.

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
    BATCH_VEHICLES, change, hold_known, insert, insert_new, lock_listing, look, make_tables,
    set_digests,
};
pub(crate) use read::{ReadDetails, find_any, find_untouched_lot, find_whole};
pub(crate) use rendered::{
    ReadSummaries, Rendered, Summary, find_listed, find_unrendered, lock_unrendered, set_rendered,
};
pub(crate) use searchable::{Changes, Moment, changes_since, forget_changes, load};
pub(crate) use snapshot::{find_unlisted, make_snapshot, next_unlisted, note_listed, take_turn};
