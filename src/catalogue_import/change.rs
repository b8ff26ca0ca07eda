//! The change of an existing vehicle that a file lists, decided from the vehicle and the listing alone.
//!
//! A file may be out of date. So a listing of the same auction does not reset a known result, a vehicle that LMN has
//! withdrawn is offered again only for a later auction, and a vehicle that LMN has bought is never offered again.

use chrono::{DateTime, Utc};

use crate::{
    values::money::Usd,
    vehicles::model::{Auction, AuctionResult, Listing, WithdrawnBy},
};

/// A locked vehicle, with the state that the decision depends on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// The listing in the catalogue.
    pub listing: Listing,
    /// The party that withdrew it; `None` if it is listed.
    pub withdrawn_by: Option<WithdrawnBy>,
    /// Whether LMN has bought it.
    pub is_bought: bool,
}

/// The change that a listing makes to a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// No change.
    Nothing,
    /// The listing is not applied, because the vehicle must not be offered again.
    HeldBack,
    /// The vehicle is rewritten.
    RewrittenListing(Box<RewrittenListing>),
}

/// The new state of a vehicle that is rewritten.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RewrittenListing {
    /// The new listing in the catalogue.
    pub listing: Listing,
    /// The former price, if the price changes.
    pub former_price: Option<Usd>,
    /// The new date of the auction, if the date changes.
    pub new_date: Option<DateTime<Utc>>,
    /// Whether it can be ordered again after it was withdrawn or its auction was over.
    pub is_relisted: bool,
}

impl Known {
    /// Decides the change that a listing makes to the vehicle.
    pub(crate) fn change(&self, mut listing: Listing, now: DateTime<Utc>) -> Change {
        let is_later = self.announces_later_auction(&listing);
        let is_withdrawn = self.withdrawn_by.is_some();
        if !is_later {
            self.keep_result(&mut listing);
        }
        let stays_withdrawn = self.withdrawn_by == Some(WithdrawnBy::Operator) && !is_later;
        let would_be_relisted =
            is_withdrawn || (listing.is_on_offer() && !self.listing.is_on_offer());
        if stays_withdrawn || (self.is_bought && would_be_relisted) {
            return Change::HeldBack;
        }
        self.keep_time_of_result(&mut listing);
        if listing == self.listing && !is_withdrawn {
            return Change::Nothing;
        }
        // An auction whose date has passed was held, even if its result is not known.
        let was_held = |it: &Auction| is_over(it) || it.date <= now;
        let was_over = !is_withdrawn && self.listing.auction.as_ref().is_some_and(was_held);
        let (before, now) = (self.listing.listing_usd, listing.listing_usd);
        let upcoming = listing.upcoming_auction().map(|it| it.date);
        let held_at = self.listing.auction.as_ref().map(|it| it.date);
        Change::RewrittenListing(Box::new(RewrittenListing {
            former_price: (before != now).then_some(before),
            new_date: upcoming.filter(|date| held_at.is_some_and(|it| it != *date)),
            is_relisted: listing.is_on_offer() && (is_withdrawn || (was_over && is_later)),
            listing,
        }))
    }

    /// Returns whether a listing announces an auction that is later than the known one.
    fn announces_later_auction(&self, listing: &Listing) -> bool {
        let known = self.listing.auction.as_ref();
        listing
            .upcoming_auction()
            .is_some_and(|it| known.is_none_or(|known| it.date > known.date))
    }

    /// Keeps the known date and result of an auction that a listing still shows as upcoming.
    fn keep_result(&self, listing: &mut Listing) {
        let known = self.listing.auction.as_ref().filter(|it| is_over(it));
        if let (Some(known), Some(auction)) = (known, &mut listing.auction)
            && auction.result == AuctionResult::Upcoming
        {
            auction.date = known.date;
            auction.result = known.result;
        }
    }

    /// Keeps the time at which a result first became known.
    fn keep_time_of_result(&self, listing: &mut Listing) {
        if let (Some(known), Some(auction)) = (&self.listing.auction, &mut listing.auction)
            && known.result == auction.result
        {
            auction.result_at = known.result_at;
        }
    }
}

fn is_over(auction: &Auction) -> bool {
    auction.result != AuctionResult::Upcoming
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue_import::model::read_line, values::timestamp::Timestamp};

    const EARLY: &str = "2026-04-20T13:00:00+09:00";
    /// The time at which a file is read, unless a test reads it later.
    const BEFORE: &str = "2026-04-10T00:00:00+09:00";
    const LATE: &str = "2026-04-27T13:00:00+09:00";

    fn at(time: &str) -> DateTime<Utc> {
        Timestamp::parse(time).unwrap().instant()
    }

    /// Returns a lot; its result, if it has one, became known at `learned_at`.
    fn lot(date: &str, result: &str, learned_at: &str) -> Listing {
        let line = serde_json::json!({
            "id": "glovis_1", "source": "glovis", "make": "Kia", "model": "K5", "year": 2021, "mileage_km": 1,
            "pricing": {"listing_usd": 9_000}, "listed_at": EARLY, "auction_date": date, "auction_result": result,
        });
        read_line(line.to_string().as_bytes(), at(learned_at)).unwrap()
    }

    fn dealers() -> Listing {
        Listing {
            auction: None,
            ..lot(EARLY, "upcoming", EARLY)
        }
    }

    fn known(listing: Listing) -> Known {
        Known {
            listing,
            withdrawn_by: None,
            is_bought: false,
        }
    }

    fn withdrawn(listing: Listing, by: WithdrawnBy) -> Known {
        Known {
            withdrawn_by: Some(by),
            ..known(listing)
        }
    }

    fn bought(known: Known) -> Known {
        Known {
            is_bought: true,
            ..known
        }
    }

    fn anew(change: Change) -> RewrittenListing {
        match change {
            Change::RewrittenListing(anew) => *anew,
            Change::Nothing | Change::HeldBack => panic!("not rewritten: {change:?}"),
        }
    }

    #[test]
    fn unchanged_listing_makes_no_change() {
        assert_eq!(
            known(dealers()).change(dealers(), at(BEFORE)),
            Change::Nothing
        );
        for result in ["upcoming", "no_bid", "sold"] {
            let vehicle = known(lot(EARLY, result, EARLY));
            let again = vehicle.change(lot(EARLY, result, LATE), at(BEFORE));
            assert_eq!(again, Change::Nothing, "the time of {result} is kept");
        }
    }

    #[test]
    fn price_and_auction_date_change_with_the_listing() {
        let mut listing = lot(LATE, "upcoming", LATE);
        listing.listing_usd = Usd::new(8_000).unwrap();
        let anew = anew(known(lot(EARLY, "upcoming", EARLY)).change(listing.clone(), at(BEFORE)));
        assert_eq!(anew.former_price, Usd::new(9_000));
        assert_eq!(anew.new_date, Some(at(LATE)));
        assert_eq!((anew.listing, anew.is_relisted), (listing, false));
        let earlier =
            known(lot(LATE, "upcoming", LATE)).change(lot(EARLY, "upcoming", EARLY), at(BEFORE));
        assert_eq!(super::tests::anew(earlier).new_date, Some(at(EARLY)));
    }

    #[test]
    fn result_neither_moves_the_auction_nor_relists_the_vehicle() {
        let anew =
            anew(known(lot(EARLY, "upcoming", EARLY)).change(lot(LATE, "sold", LATE), at(BEFORE)));
        assert_eq!((anew.new_date, anew.is_relisted), (None, false));
        assert_eq!(anew.listing.auction.unwrap().result_at, Some(at(LATE)));
    }

    #[test]
    fn known_result_is_not_reset_by_a_listing_of_the_same_auction() {
        for result in [
            "no_bid",
            "sold",
            "negotiation_sold",
            "negotiation_requested",
        ] {
            for vehicle in [
                known(lot(LATE, result, EARLY)),
                bought(known(lot(LATE, result, EARLY))),
            ] {
                for date in [EARLY, LATE] {
                    let mut listing = lot(date, "upcoming", LATE);
                    assert_eq!(
                        vehicle.change(listing.clone(), at(BEFORE)),
                        Change::Nothing,
                        "{result}"
                    );
                    listing.color = Some("Emerald".into());
                    let anew = anew(vehicle.change(listing, at(BEFORE)));
                    assert_eq!(anew.listing.auction, vehicle.listing.auction);
                    assert_eq!(anew.listing.color.as_deref(), Some("Emerald"));
                    assert_eq!((anew.new_date, anew.is_relisted), (None, false));
                }
            }
        }
    }

    #[test]
    fn vehicle_is_listed_again_for_a_later_auction() {
        for result in ["no_bid", "sold"] {
            for vehicle in [
                known(lot(EARLY, result, EARLY)),
                withdrawn(lot(EARLY, result, EARLY), WithdrawnBy::Operator),
            ] {
                let anew = anew(vehicle.change(lot(LATE, "upcoming", LATE), at(BEFORE)));
                assert_eq!((anew.new_date, anew.is_relisted), (Some(at(LATE)), true));
                assert_eq!(anew.listing.auction.unwrap().result_at, None);
            }
        }
    }

    #[test]
    fn auction_whose_date_has_passed_is_over_without_a_result() {
        let vehicle = known(lot(EARLY, "upcoming", EARLY));
        for (now, is_relisted) in [(BEFORE, false), (EARLY, true)] {
            let anew = anew(vehicle.change(lot(LATE, "upcoming", LATE), at(now)));
            assert_eq!(
                (anew.new_date, anew.is_relisted),
                (Some(at(LATE)), is_relisted)
            );
        }
    }

    #[test]
    fn vehicle_that_its_source_withdrew_is_listed_again() {
        let again = |listing: Listing| {
            anew(withdrawn(listing.clone(), WithdrawnBy::Source).change(listing, at(BEFORE)))
                .is_relisted
        };
        assert!(again(dealers()));
        assert!(again(lot(EARLY, "upcoming", EARLY)));
        assert!(again(lot(EARLY, "no_bid", EARLY)));
        assert!(!again(lot(EARLY, "sold", EARLY)), "it cannot be ordered");
    }

    #[test]
    fn withdrawal_by_lmn_lasts_until_a_later_auction_and_purchase_forever() {
        let lot_of = |result| lot(EARLY, result, EARLY);
        for (vehicle, listing) in [
            (withdrawn(dealers(), WithdrawnBy::Operator), dealers()),
            (
                bought(withdrawn(dealers(), WithdrawnBy::Operator)),
                dealers(),
            ),
            (bought(withdrawn(dealers(), WithdrawnBy::Source)), dealers()),
            (
                withdrawn(lot_of("upcoming"), WithdrawnBy::Operator),
                lot_of("upcoming"),
            ),
            (
                withdrawn(lot(LATE, "sold", LATE), WithdrawnBy::Operator),
                lot_of("upcoming"),
            ),
            (bought(known(lot_of("sold"))), lot_of("no_bid")),
            (bought(known(lot_of("sold"))), lot(LATE, "upcoming", LATE)),
            (
                bought(withdrawn(lot_of("sold"), WithdrawnBy::Source)),
                lot(LATE, "upcoming", LATE),
            ),
            (bought(known(lot_of("sold"))), lot(LATE, "no_bid", LATE)),
        ] {
            assert_eq!(
                vehicle.change(listing, at(BEFORE)),
                Change::HeldBack,
                "{vehicle:?}"
            );
        }
        let sold = known(lot_of("sold")).change(lot_of("no_bid"), at(BEFORE));
        assert!(!anew(sold).is_relisted, "a sale without LMN is corrected");
    }
}
