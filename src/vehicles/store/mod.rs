//! The catalogue in the database: [`read`] cars, [`list`] them, write [`listing`]s as rows in text
//! ([`copy`](mod@copy)), take off what a [`snapshot`] leaves out, [`change`](mod@change) cars under their locks, keep
//! what is [`rendered`] of them.

mod change;
mod copy;
mod list;
mod listing;
mod read;
mod rendered;
mod snapshot;

pub(crate) use change::{
    hold, set_auction_dates, set_prices, set_restored, set_sold, set_withdrawn,
};
pub(crate) use copy::{Digest, Draft};
pub(crate) use list::{Listed, Wanted, count, find_by_terms_only, gather, take_at_most, walk};
pub(crate) use listing::{
    BATCH_CARS, change, commit_on_disk, hold_known, insert, insert_new, lock_listing, look,
    make_tables, set_digests,
};
pub(crate) use read::{find_any, find_untouched_lot, version};
pub(crate) use rendered::{Rendered, find_listed, hold_unrendered, set_rendered};
pub(crate) use snapshot::{find_unlisted, make_snapshot, next_unlisted, note_listed, take_turn};
