//! SQL of orders: [`read`] by partners, [`place`] an order, record a [`step`], find what is due for a [`sweep`].

mod change;
mod place;
mod read;
mod step;
mod sweep;

pub(crate) use place::{DECISION_AGE_MAX, Placed, look, place_in_one_round_trip, record};
pub(crate) use read::{
    Place, ReadOrders, find, find_latest_snapshot, find_snapshot, list, list_history,
};
pub(crate) use step::{
    find_bought, find_former, hold, lock, lock_alone, lock_open, lock_relisting, record_steps,
};
pub(crate) use sweep::{count_due, list_overdue, lock_passed, remind};
