//! SQL of orders: [`read`] and [`mod@list`] by partners, [`list_all`](mod@list_all) of all partners, [`changes`]
//! of all orders, [`place`] an order, [`lock`](mod@lock) orders that change, [`record`] their changes, and reads for LMN's
//! staff ([`operator`]), such as the bid sheet of an auction day. This file has the rows, and their conversion to the model.

mod changes;
mod list;
mod list_all;
mod lock;
mod operator;
mod place;
mod read;
mod record;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    model::{Bid, HistoryStep, Order, Shipment, Standing},
    state_machine::State,
};
use crate::{
    database::column::{InvalidColumn, optional_word, usd, vehicle_id, word},
    values::{id::OrderId, timestamp::Timestamp},
};

pub(crate) use changes::{ChangePosition, OrderChange, list_changes};
pub(crate) use list::{Filter, Position, Sort, list};
pub(crate) use list_all::{AllFilter, list_all};
pub(crate) use lock::{
    count_due, find_bought, find_former, list_overdue, lock, lock_alone, lock_open, lock_passed,
    lock_relisting, read_locked,
};
pub(crate) use operator::{VehicleBids, find_result, list_auctioned, list_bids};
pub(crate) use place::{
    DECISION_AGE_MAX, NewOrder, find_market, place_in_one_round_trip, record_order,
};
pub(crate) use read::{
    OwnedOrder, ReadOrders, find, find_of_any_partner, find_snapshot, list_history,
};
pub(crate) use record::{record_steps, remind};

/// The columns of an [`OrderRow`], as text for statements on `orders_with_standing`.
macro_rules! order_columns {
    () => {
        "orders_with_standing.id, vehicle_id, vin, license_plate, status, fulfillment_detail, max_bid_usd,
         is_highest_bid, current_max_bid_usd, purchase_price_usd, auction_fee_usd, auction_date, order_cutoff_at,
         failure_reason, cancellation_reason, vessel_name, bl_number, port_of_loading, port_of_discharge, etd,
         etd_offset_minutes, eta, eta_offset_minutes, orders_with_standing.created_at, updated_at"
    };
}
pub(super) use order_columns;

/// A row of the view `orders_with_standing`.
#[derive(Debug, FromRow)]
struct OrderRow {
    id: Uuid,
    vehicle_id: String,
    vin: Option<String>,
    license_plate: Option<String>,
    status: String,
    fulfillment_detail: Option<String>,
    max_bid_usd: Option<i32>,
    is_highest_bid: Option<bool>,
    current_max_bid_usd: Option<i32>,
    purchase_price_usd: Option<i32>,
    auction_fee_usd: Option<i32>,
    auction_date: Option<DateTime<Utc>>,
    order_cutoff_at: Option<DateTime<Utc>>,
    failure_reason: Option<String>,
    cancellation_reason: Option<String>,
    vessel_name: Option<String>,
    bl_number: Option<String>,
    port_of_loading: Option<String>,
    port_of_discharge: Option<String>,
    etd: Option<DateTime<Utc>>,
    etd_offset_minutes: Option<i16>,
    eta: Option<DateTime<Utc>>,
    eta_offset_minutes: Option<i16>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl OrderRow {
    /// Converts the row to an order. The error names an invalid row.
    fn into_model(self) -> Result<Order, sqlx::Error> {
        let id = OrderId::from(self.id);
        Order::try_from(self).map_err(|error| error.in_row("orders", id))
    }

    /// Returns the bid. The schema sets its columns all or not at all, and every bid has a standing.
    fn bid(&self) -> Result<Option<Bid>, InvalidColumn> {
        let (Some(max_bid), Some(date), Some(cutoff)) =
            (self.max_bid_usd, self.auction_date, self.order_cutoff_at)
        else {
            return Ok(None);
        };
        let (Some(is_highest), Some(highest)) = (self.is_highest_bid, self.current_max_bid_usd)
        else {
            return Err(InvalidColumn::new("a bid without a standing"));
        };
        Ok(Some(Bid {
            max_bid: usd(max_bid)?,
            standing: Standing {
                is_highest,
                highest_bid: usd(highest)?,
            },
            auction_date: Timestamp::kst(date),
            order_cutoff_at: Timestamp::kst(cutoff),
        }))
    }
}

impl TryFrom<OrderRow> for Order {
    type Error = InvalidColumn;

    fn try_from(row: OrderRow) -> Result<Self, InvalidColumn> {
        Ok(Self {
            id: row.id.into(),
            bid: row.bid()?,
            vehicle_id: vehicle_id(&row.vehicle_id)?,
            state: State {
                status: word(&row.status)?,
                fulfillment: optional_word(row.fulfillment_detail.as_deref())?,
            },
            failure_reason: optional_word(row.failure_reason.as_deref())?,
            cancellation_reason: optional_word(row.cancellation_reason.as_deref())?,
            purchase_price_usd: row.purchase_price_usd.map(usd).transpose()?,
            auction_fee_usd: row.auction_fee_usd,
            vin: row.vin,
            license_plate: row.license_plate,
            shipment: Shipment {
                vessel_name: row.vessel_name,
                bl_number: row.bl_number,
                port_of_loading: row.port_of_loading,
                port_of_discharge: row.port_of_discharge,
                etd: timestamp(row.etd, row.etd_offset_minutes)?,
                eta: timestamp(row.eta, row.eta_offset_minutes)?,
            },
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Returns a time with its offset. The schema sets both columns or neither.
fn timestamp(
    instant: Option<DateTime<Utc>>,
    offset_minutes: Option<i16>,
) -> Result<Option<Timestamp>, InvalidColumn> {
    let pair = instant.zip(offset_minutes);
    pair.map(|(instant, minutes)| {
        Timestamp::at_offset(instant, minutes).ok_or_else(|| InvalidColumn::new(minutes))
    })
    .transpose()
}

/// A row of `order_history` joined to its order. Without a number, the order has no further step.
#[derive(Debug)]
struct HistoryRow {
    n: Option<i32>,
    status: Option<String>,
    fulfillment_detail: Option<String>,
    by: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    occurred_offset_minutes: Option<i16>,
    recorded_at: Option<DateTime<Utc>>,
    notes: Option<String>,
}

impl HistoryRow {
    /// Converts the row to a step, if there is one. The error names the order of an invalid step.
    fn into_model(self, order: OrderId) -> Option<Result<HistoryStep, sqlx::Error>> {
        let n = self.n?;
        let occurred_at = Timestamp::at_offset(self.occurred_at?, self.occurred_offset_minutes?);
        let recorded_at = self.recorded_at?;
        let read = || {
            Ok(HistoryStep {
                n,
                state: State {
                    status: word(self.status.as_deref().unwrap_or_default())?,
                    fulfillment: optional_word(self.fulfillment_detail.as_deref())?,
                },
                by: word(self.by.as_deref().unwrap_or_default())?,
                occurred_at: occurred_at
                    .ok_or_else(|| InvalidColumn::new("an offset beyond a day"))?,
                recorded_at,
                notes: self.notes.clone(),
            })
        };
        Some(read().map_err(|error: InvalidColumn| error.in_row("order_history", order)))
    }
}
