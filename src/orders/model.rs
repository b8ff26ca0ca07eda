//! Orders, their parts and their history, and the results of auctions. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::state_machine::{CancellationReason, FailureReason, Owner, State};
use crate::{
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        string_enum::string_enum,
        timestamp::Timestamp,
    },
    vehicles::model::Offer,
};

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The ordered vehicle.
    pub vehicle_id: VehicleId,
    /// The vehicle identification number at the time of the order.
    pub vin: Option<String>,
    /// The license plate at the time of the order.
    pub license_plate: Option<String>,
    /// Its status and sub-status.
    pub state: State,
    /// The bid; `None` for a buy-now vehicle.
    pub bid: Option<Bid>,
    /// The price that LMN paid; set once the order is secured.
    pub purchase_price_usd: Option<Usd>,
    /// The fee of the auction house in US dollars, zero or more; set once the order is secured.
    pub auction_fee_usd: Option<i32>,
    /// The reason, if the order failed.
    pub failure_reason: Option<FailureReason>,
    /// The reason, if the order was cancelled.
    pub cancellation_reason: Option<CancellationReason>,
    /// The shipment of the vehicle.
    pub shipment: Shipment,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it last changed. Changes of its bid's standing do not count.
    pub updated_at: DateTime<Utc>,
}

/// A bid on an auction vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bid {
    /// The maximum amount.
    pub max_bid: Usd,
    /// Its standing among all partners' bids.
    pub standing: Standing,
    /// When the auction is held.
    pub auction_date: Timestamp,
    /// The order cutoff: from this time on, orders are refused.
    pub order_cutoff_at: Timestamp,
}

/// The standing of a bid among all partners' active bids on the vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the bid leads: it is the highest, and of equal bids the one accepted first.
    pub is_highest: bool,
    /// The highest of the bids.
    pub highest_bid: Usd,
}

/// The shipment of a vehicle. Fields that are not known yet are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are the usual ones of a bill of lading"
)]
pub struct Shipment {
    pub vessel_name: Option<String>,
    pub bl_number: Option<String>,
    pub port_of_loading: Option<String>,
    pub port_of_discharge: Option<String>,
    pub etd: Option<Timestamp>,
    pub eta: Option<Timestamp>,
}

/// The cost of the vehicle. Both amounts are set once the order is `secured`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrderAmounts)]
pub struct Amounts {
    /// The price of the vehicle.
    pub purchase_price_usd: Option<Usd>,
    /// The fee of the auction house, in whole US dollars.
    #[schema(minimum = 0, maximum = 10_000_000)]
    pub auction_fee_usd: Option<i32>,
}

/// One step of an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// Its number within the order, counted from 1 without a gap.
    pub n: i32,
    /// The state that it led to.
    pub state: State,
    /// The party that made it.
    pub by: Owner,
    /// When it happened, with the UTC offset of the place.
    pub occurred_at: Timestamp,
    /// When LMN recorded it.
    pub recorded_at: DateTime<Utc>,
    /// Notes given with it.
    pub notes: Option<String>,
}

/// An order whose delivery is overdue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// The order.
    pub order: OrderId,
    /// The ordered vehicle.
    pub vehicle: VehicleId,
    /// Its vehicle identification number at the time of the order.
    pub vin: Option<String>,
    /// The partner that placed it.
    pub partner: PartnerId,
    /// The partner's name.
    pub partner_name: String,
    /// The partner's contact for reminders.
    pub contact: Option<String>,
    /// When its shipping began.
    pub shipping_since: Timestamp,
    /// Whole days since then, by the partner's clock.
    pub days: i32,
}

string_enum! {
    /// The result of an auction for LMN.
    AuctionEnd {
        /// LMN bought the vehicle.
        Won = "won",
        /// A bidder outside LMN bid more.
        Outbid = "outbid",
        /// The auction was cancelled.
        Cancelled = "cancelled",
        /// The seller withdrew the vehicle.
        Withdrawn = "withdrawn",
    }
}

/// The outcome of an auction for LMN, with the amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuctionOutcome {
    /// LMN bought the vehicle, for the partner with the highest bid.
    Won {
        /// The price that LMN paid, at most that bid.
        price: Usd,
        /// The fee of the auction house in US dollars, zero or more.
        fee: i32,
    },
    /// A bidder outside LMN bid more.
    Outbid,
    /// The auction was cancelled.
    Cancelled,
    /// The seller withdrew the vehicle.
    Withdrawn,
}

/// The recorded result of a vehicle's auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedResult {
    /// The outcome for the orders that bid, if an order has ended by it.
    pub ended: Option<AuctionOutcome>,
    /// Whether the vehicle is sold.
    pub is_sold: bool,
    /// Whether LMN has withdrawn the vehicle.
    pub is_withdrawn: bool,
}

impl RecordedResult {
    /// Returns whether the result is this outcome. Without orders, only the vehicle shows it.
    pub fn is(self, outcome: AuctionOutcome) -> bool {
        match (self.ended, outcome) {
            (Some(ended), _) => ended == outcome,
            (None, AuctionOutcome::Won { .. }) => false,
            (None, AuctionOutcome::Outbid) => self.is_sold,
            (None, AuctionOutcome::Cancelled | AuctionOutcome::Withdrawn) => self.is_withdrawn,
        }
    }

    /// Returns whether there is a result.
    pub fn is_known(self) -> bool {
        self.ended.is_some() || self.is_sold || self.is_withdrawn
    }
}

impl Order {
    /// Returns an order that was just accepted.
    pub fn placed(id: OrderId, offer: &Offer, bid: Option<Bid>, now: DateTime<Utc>) -> Self {
        Self {
            id,
            vehicle_id: offer.vehicle_id.clone(),
            vin: offer.vin.clone(),
            license_plate: offer.license_plate.clone(),
            state: State::FIRST,
            bid,
            purchase_price_usd: None,
            auction_fee_usd: None,
            failure_reason: None,
            cancellation_reason: None,
            shipment: Shipment::default(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Returns the cost of the vehicle.
    pub fn amounts(&self) -> Amounts {
        Amounts {
            purchase_price_usd: self.purchase_price_usd,
            auction_fee_usd: self.auction_fee_usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_result_is_that_of_the_orders_or_else_that_of_the_vehicle() {
        let won = |price| AuctionOutcome::Won {
            price: Usd::new(price).unwrap(),
            fee: 0,
        };
        let recorded = |ended, is_sold, is_withdrawn| RecordedResult {
            ended,
            is_sold,
            is_withdrawn,
        };
        use AuctionOutcome::{Cancelled, Outbid, Withdrawn};
        for (result, same, others) in [
            (
                recorded(Some(won(11_000)), true, false),
                vec![won(11_000)],
                vec![won(11_001), Outbid],
            ),
            (
                recorded(Some(Cancelled), false, true),
                vec![Cancelled],
                vec![Withdrawn, Outbid],
            ),
            (
                recorded(None, true, false),
                vec![Outbid],
                vec![won(11_000), Cancelled],
            ),
            (
                recorded(None, false, true),
                vec![Cancelled, Withdrawn],
                vec![Outbid],
            ),
        ] {
            assert!(result.is_known());
            assert!(same.iter().all(|it| result.is(*it)), "{result:?}");
            assert!(!others.iter().any(|it| result.is(*it)), "{result:?}");
        }
        assert!(!recorded(None, false, false).is_known());
    }
}
