//! Orders and the rules of placing one (contract, section 7): pure functions of what was looked up.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::state::{CancellationReason, FailureReason, Owner, State};
use crate::{
    id::{OrderId, PartnerId, VehicleId},
    money::Usd,
    stamp::Stamp,
    vehicles::model::{AuctionResult, AuctionState, Offer},
};

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its name.
    pub id: OrderId,
    /// The car.
    pub vehicle_id: VehicleId,
    /// The car's identification number, as it was when ordered.
    pub vin: Option<String>,
    /// The car's plate, as it was when ordered.
    pub license_plate: Option<String>,
    /// Where it is.
    pub state: State,
    /// The bid; `None` for a buy-now car.
    pub bid: Option<Bid>,
    /// What LMN paid; there once it is secured.
    pub purchase_price_usd: Option<Usd>,
    /// What the auction house charged, zero or more; there once it is secured.
    pub auction_fee_usd: Option<i32>,
    /// Why it failed.
    pub failure_reason: Option<FailureReason>,
    /// Why it was cancelled.
    pub cancellation_reason: Option<CancellationReason>,
    /// How it travels.
    pub shipment: Shipment,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it last changed; its standing among bids does not count.
    pub updated_at: DateTime<Utc>,
}

/// A bid on an auction car.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bid {
    /// The ceiling.
    pub max_bid: Usd,
    /// How it stands among all partners' bids.
    pub standing: Standing,
    /// The auction.
    pub auction_date: Stamp,
    /// When orders close.
    pub order_cutoff_at: Stamp,
}

/// How a bid stands among all partners' active bids on the car.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it leads: the highest, and of equal ones the one accepted first.
    pub is_highest: bool,
    /// The highest bid.
    pub highest_bid: Usd,
}

/// How a car travels: whatever is known yet.
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
    pub etd: Option<Stamp>,
    pub eta: Option<Stamp>,
}

/// One step of an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// Its number, from 1 without a gap.
    pub n: i32,
    /// Where it led.
    pub state: State,
    /// Who made it.
    pub by: Owner,
    /// When it happened, in the time of its place.
    pub occurred_at: Stamp,
    /// When LMN learned of it.
    pub recorded_at: DateTime<Utc>,
    /// What was said of it.
    pub notes: Option<String>,
}

/// An order that has been shipping for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overdue {
    /// The order.
    pub order: OrderId,
    /// Whose it is.
    pub partner: PartnerId,
    /// The partner's name.
    pub partner_name: String,
    /// Whom to remind there.
    pub contact: Option<String>,
    /// Since when it ships.
    pub shipping_since: Stamp,
    /// For how many whole days, in the partner's time.
    pub days: i32,
}

/// What must be known to place an order, read after the car was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Market {
    /// What time it is for the partner.
    pub now: DateTime<Utc>,
    /// The partner's open order for the car.
    pub open_order: Option<OrderId>,
    /// The highest active bid on the car.
    pub highest_bid: Option<Usd>,
    /// Whether the car was bought for somebody.
    pub is_sold: bool,
}

impl Market {
    /// A market in which nobody else wants the vehicle, as far as is known.
    pub(crate) fn without_rivals(now: DateTime<Utc>) -> Self {
        Self {
            now,
            open_order: None,
            highest_bid: None,
            is_sold: false,
        }
    }
}

/// Why an order cannot be placed, in the order in which it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceError {
    /// The listing is gone, or a buy-now car is sold.
    VehicleUnavailable,
    /// An auction car needs a bid of at least its price.
    MissingMaxBid {
        /// That price.
        listing_usd: Usd,
        /// What was bid.
        received: Option<i64>,
    },
    /// A buy-now car takes no bid.
    BidOnBuyNow(i64),
    /// The window is closed.
    PastCutoff {
        /// When it closed.
        cutoff_at: Stamp,
    },
    /// The partner has an open order for the car.
    Duplicate(OrderId),
}

/// Decides whether an order can be placed: its bid if so, `None` for a buy-now car.
pub fn place(
    offer: &Offer,
    max_bid: Option<i64>,
    market: &Market,
) -> Result<Option<Bid>, PlaceError> {
    let auction = offer.auction.filter(|it| it.result != AuctionResult::NoBid);
    if !offer.is_listed || (auction.is_none() && market.is_sold) {
        return Err(PlaceError::VehicleUnavailable);
    }
    let bid = match (auction, max_bid) {
        (Some(auction), _) if auction.result == AuctionResult::Upcoming => {
            Some(bid(&auction, offer.listing_usd, max_bid, market)?)
        }
        (Some(auction), _) => {
            return Err(PlaceError::PastCutoff {
                cutoff_at: closed_at(&auction),
            });
        }
        (None, Some(number)) => return Err(PlaceError::BidOnBuyNow(number)),
        (None, None) => None,
    };
    match market.open_order {
        Some(order) => Err(PlaceError::Duplicate(order)),
        None => Ok(bid),
    }
}

fn bid(
    auction: &AuctionState,
    listing_usd: Usd,
    max_bid: Option<i64>,
    market: &Market,
) -> Result<Bid, PlaceError> {
    let amount = max_bid
        .and_then(Usd::new)
        .filter(|amount| *amount >= listing_usd);
    let max_bid = amount.ok_or(PlaceError::MissingMaxBid {
        listing_usd,
        received: max_bid,
    })?;
    let order_cutoff_at = auction.order_cutoff_at();
    if market.now >= order_cutoff_at.instant() {
        return Err(PlaceError::PastCutoff {
            cutoff_at: order_cutoff_at,
        });
    }
    let standing = Standing {
        is_highest: market.highest_bid.is_none_or(|rival| max_bid > rival),
        highest_bid: market
            .highest_bid
            .map_or(max_bid, |rival| rival.max(max_bid)),
    };
    Ok(Bid {
        max_bid,
        standing,
        auction_date: Stamp::kst(auction.date),
        order_cutoff_at,
    })
}

/// Returns when orders closed for an auction with a result: at its cutoff, or at the result if that came first.
fn closed_at(auction: &AuctionState) -> Stamp {
    let cutoff = auction.order_cutoff_at();
    auction
        .result_at
        .map_or(cutoff, |at| cutoff.min(Stamp::kst(at)))
}

impl Order {
    /// Makes the order that was just accepted.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> Stamp {
        Stamp::parse(text).unwrap()
    }

    /// A lot at 10,000 USD whose auction is on 20 April at 13:00 in Korea.
    fn lot(result: AuctionResult, result_at: Option<&str>) -> Offer {
        offer(Some(AuctionState {
            date: stamp("2026-04-20T13:00:00+09:00").instant(),
            result,
            result_at: result_at.map(|at| stamp(at).instant()),
        }))
    }

    fn offer(auction: Option<AuctionState>) -> Offer {
        Offer {
            vehicle_id: VehicleId::parse("glovis_20260420_1064_2345").unwrap(),
            vin: None,
            license_plate: None,
            listing_usd: Usd::new(10_000).unwrap(),
            auction,
            is_listed: true,
        }
    }

    fn market(now: &str) -> Market {
        Market {
            now: stamp(now).instant(),
            open_order: None,
            highest_bid: None,
            is_sold: false,
        }
    }

    const EARLY: &str = "2026-04-01T00:00:00+09:00";
    const LATE: &str = "2026-05-01T00:00:00+09:00";

    #[test]
    fn the_window_closes_at_midnight_in_korea_to_the_millisecond() {
        let upcoming = lot(AuctionResult::Upcoming, None);
        let cutoff_at = stamp("2026-04-19T00:00:00+09:00");
        for (now, open) in [
            ("2026-04-18T23:59:59+09:00", true),
            ("2026-04-18T23:59:59.999+09:00", true),
            ("2026-04-18T14:59:59+00:00", true),
            ("2026-04-19T00:00:00+09:00", false),
            ("2026-04-19T00:00:01+09:00", false),
            ("2026-04-18T15:00:00+00:00", false),
        ] {
            let placed = place(&upcoming, Some(10_000), &market(now));
            assert_eq!(placed.is_ok(), open, "{now}");
            assert!(
                open || placed == Err(PlaceError::PastCutoff { cutoff_at }),
                "{now}"
            );
        }
    }

    #[test]
    fn a_bid_must_be_an_amount_of_at_least_the_price() {
        let upcoming = lot(AuctionResult::Upcoming, None);
        for received in [None, Some(0), Some(-5), Some(9_999), Some(10_000_001)] {
            let listing_usd = Usd::new(10_000).unwrap();
            let expected = Err(PlaceError::MissingMaxBid {
                listing_usd,
                received,
            });
            assert_eq!(place(&upcoming, received, &market(EARLY)), expected);
        }
        assert!(
            place(&upcoming, Some(10_000), &market(EARLY))
                .unwrap()
                .is_some()
        );
        // A buy-now car is bought at its price.
        for car in [offer(None), lot(AuctionResult::NoBid, Some(LATE))] {
            assert_eq!(
                place(&car, Some(10_000), &market(LATE)),
                Err(PlaceError::BidOnBuyNow(10_000))
            );
            assert_eq!(place(&car, None, &market(LATE)), Ok(None));
        }
    }

    #[test]
    fn the_highest_bid_leads_and_of_equal_ones_the_first() {
        for (rival, is_highest, highest) in [
            (None, true, 12_000),
            (Some(11_999), true, 12_000),
            (Some(12_000), false, 12_000),
            (Some(15_000), false, 15_000),
        ] {
            let market = Market {
                highest_bid: rival.and_then(Usd::new),
                ..market(EARLY)
            };
            let bid = place(&lot(AuctionResult::Upcoming, None), Some(12_000), &market)
                .unwrap()
                .unwrap();
            let highest_bid = Usd::new(highest).unwrap();
            assert_eq!(
                bid.standing,
                Standing {
                    is_highest,
                    highest_bid
                }
            );
        }
    }

    #[test]
    fn an_auction_that_is_over_is_past_its_cutoff() {
        let sold_late = lot(AuctionResult::Sold, Some(LATE));
        let cutoff_at = stamp("2026-04-19T00:00:00+09:00");
        assert_eq!(
            place(&sold_late, None, &market(LATE)),
            Err(PlaceError::PastCutoff { cutoff_at })
        );
        // Sold before its day: the result closed the window.
        let sold_early = lot(AuctionResult::NegotiationSold, Some(EARLY));
        let cutoff_at = stamp(EARLY);
        assert_eq!(
            place(&sold_early, Some(10_000), &market(LATE)),
            Err(PlaceError::PastCutoff { cutoff_at })
        );
    }

    #[test]
    fn refusals_come_in_the_contracts_order() {
        let order = OrderId::new(DateTime::UNIX_EPOCH);
        let everything_wrong = Market {
            open_order: Some(order),
            ..market(LATE)
        };
        let mut car = lot(AuctionResult::Upcoming, None);
        car.is_listed = false;
        assert_eq!(
            place(&car, None, &everything_wrong),
            Err(PlaceError::VehicleUnavailable)
        );
        car.is_listed = true;
        assert!(matches!(
            place(&car, None, &everything_wrong),
            Err(PlaceError::MissingMaxBid { .. })
        ));
        assert!(matches!(
            place(&car, Some(10_000), &everything_wrong),
            Err(PlaceError::PastCutoff { .. })
        ));
        let in_time = Market {
            open_order: Some(order),
            ..market(EARLY)
        };
        assert_eq!(
            place(&car, Some(10_000), &in_time),
            Err(PlaceError::Duplicate(order))
        );
        let dealers = offer(None);
        let sold = Market {
            is_sold: true,
            ..in_time
        };
        assert_eq!(
            place(&dealers, Some(1), &sold),
            Err(PlaceError::VehicleUnavailable)
        );
        assert_eq!(
            place(&dealers, Some(1), &in_time),
            Err(PlaceError::BidOnBuyNow(1))
        );
        assert_eq!(
            place(&dealers, None, &in_time),
            Err(PlaceError::Duplicate(order))
        );
    }
}
