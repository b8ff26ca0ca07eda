//! The rules for placing an order. Pure: the caller reads the values that decide.

use chrono::{DateTime, Utc};

use super::model::{Bid, Standing};
use crate::{
    values::{id::OrderId, money::Usd, timestamp::Timestamp},
    vehicles::model::{AuctionResult, AuctionState, Offer},
};

/// The facts besides the offer that decide whether an order can be placed, read after the vehicle was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Market {
    /// The current time of the partner's clock.
    pub now: DateTime<Utc>,
    /// The partner's open order for the vehicle.
    pub open_order: Option<OrderId>,
    /// The highest active bid on the vehicle.
    pub highest_bid: Option<Usd>,
    /// Whether LMN has bought the vehicle for an order.
    pub is_sold: bool,
}

impl Market {
    /// Returns a market without other orders on the vehicle.
    pub(crate) fn without_rivals(now: DateTime<Utc>) -> Self {
        Self {
            now,
            open_order: None,
            highest_bid: None,
            is_sold: false,
        }
    }
}

/// The reason why an order cannot be placed. The variants are in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceError {
    /// The listing is withdrawn, or the buy-now vehicle is sold.
    VehicleUnavailable,
    /// An auction vehicle needs a bid of at least its listing price.
    MissingMaxBid {
        /// The listing price.
        listing_usd: Usd,
        /// The bid that was sent, if any.
        received: Option<i64>,
    },
    /// A buy-now vehicle takes no bid, but this one was sent.
    BidOnBuyNow(i64),
    /// Orders have closed.
    PastCutoff {
        /// When they closed.
        cutoff_at: Timestamp,
    },
    /// The partner has an open order for the vehicle.
    Duplicate(OrderId),
}

/// Decides whether an order can be placed. Returns its bid, or `None` for a buy-now vehicle.
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
        auction_date: Timestamp::kst(auction.date),
        order_cutoff_at,
    })
}

/// Returns when orders closed for an auction that has a result: at its cutoff, or at the result if that came first.
fn closed_at(auction: &AuctionState) -> Timestamp {
    let cutoff = auction.order_cutoff_at();
    auction
        .result_at
        .map_or(cutoff, |at| cutoff.min(Timestamp::kst(at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::id::VehicleId;

    fn timestamp(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// A lot at 10,000 USD whose auction is on 20 April at 13:00 in Korea.
    fn lot(result: AuctionResult, result_at: Option<&str>) -> Offer {
        offer(Some(AuctionState {
            date: timestamp("2026-04-20T13:00:00+09:00").instant(),
            result,
            result_at: result_at.map(|at| timestamp(at).instant()),
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
            now: timestamp(now).instant(),
            open_order: None,
            highest_bid: None,
            is_sold: false,
        }
    }

    const EARLY: &str = "2026-04-01T00:00:00+09:00";
    const LATE: &str = "2026-05-01T00:00:00+09:00";

    #[test]
    fn orders_close_at_midnight_in_korea_to_the_millisecond() {
        let upcoming = lot(AuctionResult::Upcoming, None);
        let cutoff_at = timestamp("2026-04-19T00:00:00+09:00");
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
    fn bid_must_be_an_amount_of_at_least_the_listing_price() {
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
        // A buy-now vehicle is sold at its listing price and takes no bid.
        for vehicle in [offer(None), lot(AuctionResult::NoBid, Some(LATE))] {
            assert_eq!(
                place(&vehicle, Some(10_000), &market(LATE)),
                Err(PlaceError::BidOnBuyNow(10_000))
            );
            assert_eq!(place(&vehicle, None, &market(LATE)), Ok(None));
        }
    }

    #[test]
    fn highest_bid_leads_and_of_equal_bids_the_first() {
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
    fn auction_with_a_result_is_past_its_cutoff() {
        let sold_late = lot(AuctionResult::Sold, Some(LATE));
        let cutoff_at = timestamp("2026-04-19T00:00:00+09:00");
        assert_eq!(
            place(&sold_late, None, &market(LATE)),
            Err(PlaceError::PastCutoff { cutoff_at })
        );
        // Sold before the cutoff: orders closed at the result.
        let sold_early = lot(AuctionResult::NegotiationSold, Some(EARLY));
        let cutoff_at = timestamp(EARLY);
        assert_eq!(
            place(&sold_early, Some(10_000), &market(LATE)),
            Err(PlaceError::PastCutoff { cutoff_at })
        );
    }

    #[test]
    fn refusals_follow_the_order_of_the_checks() {
        let order = OrderId::new(DateTime::UNIX_EPOCH);
        let everything_wrong = Market {
            open_order: Some(order),
            ..market(LATE)
        };
        let mut vehicle = lot(AuctionResult::Upcoming, None);
        vehicle.is_listed = false;
        assert_eq!(
            place(&vehicle, None, &everything_wrong),
            Err(PlaceError::VehicleUnavailable)
        );
        vehicle.is_listed = true;
        assert!(matches!(
            place(&vehicle, None, &everything_wrong),
            Err(PlaceError::MissingMaxBid { .. })
        ));
        assert!(matches!(
            place(&vehicle, Some(10_000), &everything_wrong),
            Err(PlaceError::PastCutoff { .. })
        ));
        let in_time = Market {
            open_order: Some(order),
            ..market(EARLY)
        };
        assert_eq!(
            place(&vehicle, Some(10_000), &in_time),
            Err(PlaceError::Duplicate(order))
        );
        let dealer_vehicle = offer(None);
        let sold = Market {
            is_sold: true,
            ..in_time
        };
        assert_eq!(
            place(&dealer_vehicle, Some(1), &sold),
            Err(PlaceError::VehicleUnavailable)
        );
        assert_eq!(
            place(&dealer_vehicle, Some(1), &in_time),
            Err(PlaceError::BidOnBuyNow(1))
        );
        assert_eq!(
            place(&dealer_vehicle, None, &in_time),
            Err(PlaceError::Duplicate(order))
        );
    }
}
