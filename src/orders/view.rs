//! An order as JSON for partners, and a step of its history. Pure.
//!
//! [`Rendered`] is an order as JSON, written when the order changes and stored in its row. A read adds the standing of
//! the order's bid, which other partners' bids change without a change of the order. A page of orders is therefore
//! copied, not decoded column by column and serialized again.

use std::io::Write;

use bytes::Bytes;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type},
};

use super::{
    model::{Amounts, HistoryStep, Order, Shipment, Standing},
    state_machine::{
        Action, CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner,
    },
};
use crate::values::{
    id::{OrderId, VehicleId},
    money::Usd,
    timestamp::Timestamp,
};

/// The first member of the standing, in the JSON of an order.
const STANDING: &str = ",\"is_highest_bid\":";
/// The first member after the standing. Within a string its quotes would be escaped, so it occurs only once.
const AFTER_STANDING: &str = ",\"amounts\":";

/// An order: a maximum bid for an auction lot, or the purchase of a buy-now vehicle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderView {
    /// The order's id.
    // `None` only in the response to a dry run, which has a schema of its own.
    #[schema(value_type = OrderId)]
    pub id: Option<OrderId>,
    /// The ordered vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle identification number at the time of the order.
    pub vin: Option<String>,
    /// The Korean license plate at the time of the order.
    pub license_plate: Option<String>,
    pub status: OrderStatus,
    /// Set once the order is `shipping`.
    pub fulfillment_detail: Option<FulfillmentDetail>,
    /// The maximum amount that the partner pays for the vehicle; null for a buy-now vehicle.
    pub max_bid_amount_usd: Option<Usd>,
    /// Whether this is the highest of all partners' bids on the vehicle. It can change while the order is `proceed` or
    /// `acquiring`, and is fixed afterwards; null for a buy-now vehicle.
    pub is_highest_bid: Option<bool>,
    /// The highest of all partners' bids on the vehicle. It can change while the order is `proceed` or `acquiring`, and
    /// is fixed afterwards; null for a buy-now vehicle.
    pub current_max_bid_usd: Option<Usd>,
    pub amounts: Amounts,
    /// When the auction is held; null for a buy-now vehicle.
    pub auction_date: Option<Timestamp>,
    /// The order cutoff: midnight in Korea at the start of the day before the auction; null for a buy-now vehicle.
    pub order_cutoff_at: Option<Timestamp>,
    /// Set if and only if the order is `failed`.
    pub failure_reason: Option<FailureReason>,
    /// Set if and only if the order is `cancelled`.
    pub cancellation_reason: Option<CancellationReason>,
    /// Null until a detail of the shipment is known.
    pub shipment: Option<ShipmentView>,
    /// The actions that the partner can take now. Every listed action succeeds, every other action is refused.
    pub allowed_actions: Vec<Action>,
    /// When the order was accepted.
    pub created_at: Timestamp,
    /// When the order last changed. Changes of `is_highest_bid` and `current_max_bid_usd` do not count.
    pub updated_at: Timestamp,
}

/// The shipment of the vehicle.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub(crate) struct ShipmentView {
    pub vessel_name: Option<String>,
    /// The number of the bill of lading.
    pub bl_number: Option<String>,
    pub port_of_loading: Option<String>,
    pub port_of_discharge: Option<String>,
    /// Estimated time of departure.
    pub etd: Option<Timestamp>,
    /// Estimated time of arrival.
    pub eta: Option<Timestamp>,
}

/// The order in the response to the request that placed it, or to a dry run.
pub(crate) struct PlacedOrder;

impl ToSchema for PlacedOrder {}

impl PartialSchema for PlacedOrder {
    /// Returns the schema of an order, except that the id may be null.
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut order)) = OrderView::schema() else {
            return OrderView::schema();
        };
        let id = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name("OrderId"))
            .description(Some(
                "The order's id; null only in the response to a dry run.",
            ));
        order.properties.insert("id".to_owned(), id.into());
        let text = "An order as it was placed, or as a dry run would place it: then `id`, `is_highest_bid` and \
                    `current_max_bid_usd` are null.";
        order.description = Some(text.to_owned());
        Schema::Object(order).into()
    }
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        let amounts = order.amounts();
        Self {
            id: Some(order.id),
            vehicle_id: order.vehicle_id,
            vin: order.vin,
            license_plate: order.license_plate,
            status: order.state.status,
            fulfillment_detail: order.state.fulfillment,
            max_bid_amount_usd: order.bid.map(|it| it.max_bid),
            is_highest_bid: order.bid.map(|it| it.standing.is_highest),
            current_max_bid_usd: order.bid.map(|it| it.standing.highest_bid),
            amounts,
            auction_date: order.bid.map(|it| it.auction_date),
            order_cutoff_at: order.bid.map(|it| it.order_cutoff_at),
            failure_reason: order.failure_reason,
            cancellation_reason: order.cancellation_reason,
            shipment: ShipmentView::of(order.shipment),
            allowed_actions: order.state.allowed_actions(),
            created_at: Timestamp::kst(order.created_at),
            updated_at: Timestamp::kst(order.updated_at),
        }
    }
}

impl OrderView {
    /// Returns the view for a dry run: without an id, and without other partners' bids.
    pub(crate) fn trial(order: Order) -> Self {
        Self {
            id: None,
            is_highest_bid: None,
            current_max_bid_usd: None,
            ..Self::from(order)
        }
    }
}

impl ShipmentView {
    /// Returns the view of a shipment, or `None` if nothing is known about it.
    fn of(shipment: Shipment) -> Option<Self> {
        if shipment == Shipment::default() {
            return None;
        }
        Some(Self {
            vessel_name: shipment.vessel_name,
            bl_number: shipment.bl_number,
            port_of_loading: shipment.port_of_loading,
            port_of_discharge: shipment.port_of_discharge,
            etd: shipment.etd,
            eta: shipment.eta,
        })
    }
}

/// One step of an order's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderStep)]
pub(crate) struct HistoryView {
    /// The number of the step within its order, counted from 1 without a gap.
    #[schema(minimum = 1)]
    pub(crate) n: i32,
    pub(crate) status: OrderStatus,
    /// Set once the order is `shipping`.
    pub(crate) fulfillment_detail: Option<FulfillmentDetail>,
    pub(crate) by: Owner,
    /// When it happened, with the UTC offset of the place.
    pub(crate) occurred_at: Timestamp,
    /// When LMN recorded it.
    pub(crate) recorded_at: Timestamp,
    /// Notes given with the step.
    #[schema(max_length = 2000)]
    pub(crate) notes: Option<String>,
}

impl From<HistoryStep> for HistoryView {
    fn from(step: HistoryStep) -> Self {
        Self {
            n: step.n,
            status: step.state.status,
            fulfillment_detail: step.state.fulfillment,
            by: step.by,
            occurred_at: step.occurred_at,
            recorded_at: Timestamp::kst(step.recorded_at),
            notes: step.notes,
        }
    }
}

/// The JSON of an order for partners, without the members for the standing of its bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Rendered(String);

impl Rendered {
    /// Renders an order.
    pub(crate) fn of(order: &Order) -> serde_json::Result<Self> {
        let whole = serde_json::to_string(&OrderView::from(order.clone()))?;
        let without = whole.find(STANDING).zip(whole.find(AFTER_STANDING));
        let without = without.and_then(|(from, to)| Some((whole.get(..from)?, whole.get(to..)?)));
        Ok(Self(without.map_or_else(
            || whole.clone(),
            |(before, after)| [before, after].concat(),
        )))
    }

    /// Wraps JSON that was stored.
    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }

    /// Returns the JSON to store.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends the order with the standing of its bid to `out`. An order without a bid has no standing.
    pub(crate) fn write(&self, standing: Option<Standing>, out: &mut Vec<u8>) {
        let at = self.0.find(AFTER_STANDING).unwrap_or(self.0.len());
        let (before, after) = self.0.split_at_checked(at).unwrap_or((&self.0, ""));
        out.extend_from_slice(before.as_bytes());
        // Writing to a vector cannot fail.
        let _ = match standing {
            Some(Standing {
                is_highest,
                highest_bid,
            }) => write!(
                out,
                "{STANDING}{is_highest},\"current_max_bid_usd\":{}",
                highest_bid.dollars()
            ),
            None => write!(out, "{STANDING}null,\"current_max_bid_usd\":null"),
        };
        out.extend_from_slice(after.as_bytes());
    }
}

/// A rendered order and the standing of its bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenderedOrder {
    /// The order.
    pub rendered: Rendered,
    /// The standing of its bid, if it has one.
    pub standing: Option<Standing>,
}

impl RenderedOrder {
    /// Returns the complete JSON.
    pub(crate) fn into_bytes(self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.rendered.0.len() + 64);
        self.rendered.write(self.standing, &mut bytes);
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::{option, prelude::*};

    use super::*;
    use crate::orders::{model::Bid, state_machine::State};

    fn order(bid: Option<Bid>, vin: Option<String>) -> Order {
        Order {
            id: OrderId::new(DateTime::UNIX_EPOCH),
            vehicle_id: VehicleId::parse("glovis_1").unwrap(),
            license_plate: vin.clone(),
            vin,
            state: State::FIRST,
            bid,
            purchase_price_usd: None,
            auction_fee_usd: None,
            failure_reason: None,
            cancellation_reason: None,
            shipment: Shipment::default(),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    fn bid((is_highest, dollars): (bool, i64)) -> Bid {
        let date = Timestamp::kst(DateTime::UNIX_EPOCH);
        Bid {
            max_bid: Usd::new(dollars).unwrap(),
            standing: Standing {
                is_highest,
                highest_bid: Usd::new(dollars).unwrap(),
            },
            auction_date: date,
            order_cutoff_at: date,
        }
    }

    proptest! {
        #[test]
        fn rendered_order_with_its_standing_equals_the_serialized_order(
            bid_fields in option::of((any::<bool>(), 1..10_000_000_i64)),
            vin in option::of("(\\PC|\"|\\\\|,|,\"amounts\":|,\"is_highest_bid\":){0,12}"),
        ) {
            let order = order(bid_fields.map(bid), vin);
            let rendered = Rendered::of(&order).unwrap();
            prop_assert!(!rendered.as_str().contains(",\"is_highest_bid\":"));
            let standing = order.bid.map(|it| it.standing);
            let text = RenderedOrder { rendered, standing }.into_bytes();
            let whole = serde_json::to_vec(&OrderView::from(order)).unwrap();
            prop_assert_eq!(text, Bytes::from(whole));
        }
    }
}
