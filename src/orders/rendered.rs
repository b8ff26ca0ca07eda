//! [`Rendered`]: an order as JSON, written when the order changes and stored in its row.
//!
//! A read adds the standing of the order's bid, which other partners' bids change without a change of the order. A page
//! of orders is therefore copied, not decoded column by column and serialized again.

use std::io::Write;

use bytes::Bytes;
use serde::Serialize;

use super::{
    model::{Order, Standing},
    view::OrderView,
};

/// The first member of the standing, in the JSON of an order.
const STANDING: &str = ",\"is_highest_bid\":";
/// The first member after the standing. Within a string its quotes would be escaped, so it occurs only once.
const AFTER_STANDING: &str = ",\"amounts\":";

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
    pub(super) fn kept(text: String) -> Self {
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
    use crate::{
        orders::{
            model::{Bid, Shipment},
            state::State,
        },
        values::{
            id::{OrderId, VehicleId},
            money::Usd,
            timestamp::Timestamp,
        },
    };

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
