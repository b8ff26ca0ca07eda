//! The catalogue in the database: [`read`] finds vehicles, [`change`] changes locked vehicles and stores their JSON,
//! and [`searchable`] reads their searchable fields. [`row`] converts rows to the model.

mod change;
mod read;
mod row;
mod searchable;

pub(crate) use change::{
    Rendered, find_unrendered, lock, lock_unrendered, set_auction_dates, set_prices, set_rendered,
    set_restored, set_sold, set_withdrawn,
};
pub(crate) use read::{
    ReadDetails, ReadSummaries, Summary, find_any, find_latest_snapshot, find_listed,
    find_untouched_lot, find_whole,
};
pub(crate) use row::{VehicleRow, listing_columns};
pub(crate) use searchable::{
    Change, Changes, Entry, IndexedRow, Moment, changes_since, forget_changes, load,
};
