//! What becomes of a car that is there when a file lists it: a decision of the row and the listing alone.
//!
//! A file tells what its source knows, and may be late. So a known result is not unlearned by a listing of the same
//! auction, a car that LMN has taken off comes back for a later auction only, and one that LMN has bought not at all.

use chrono::{DateTime, Utc};

use crate::{
    money::Usd,
    vehicles::model::{Auction, AuctionResult, Listing, WithdrawnBy},
};

/// A car under its lock, as a listing of it must know it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// What stands in the catalogue.
    pub listing: Listing,
    /// Who took it off, if anybody did.
    pub withdrawn_by: Option<WithdrawnBy>,
    /// Whether LMN has bought it.
    pub is_bought: bool,
}

/// What becomes of a car.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// It is as it was.
    Nothing,
    /// It is not brought back.
    HeldBack,
    /// It is given anew.
    Anew(Box<Anew>),
}

/// A car that is given anew.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Anew {
    /// What stands in the catalogue from now on.
    pub listing: Listing,
    /// Its price until now, if it moves.
    pub former_price: Option<Usd>,
    /// When its auction is held from now on, if it moves.
    pub new_date: Option<DateTime<Utc>>,
    /// Whether it can be ordered again, after it was off or its auction was over.
    pub is_relisted: bool,
}

impl Known {
    /// Decides what a listing makes of the car.
    pub(crate) fn change(&self, mut listing: Listing, now: DateTime<Utc>) -> Change {
        let is_later = self.announces_later_auction(&listing);
        let is_off = self.withdrawn_by.is_some();
        if !is_later {
            self.keep_result(&mut listing);
        }
        let is_kept_off = self.withdrawn_by == Some(WithdrawnBy::Operator) && !is_later;
        let is_wanted_back = is_off || (listing.is_on_offer() && !self.listing.is_on_offer());
        if is_kept_off || (self.is_bought && is_wanted_back) {
            return Change::HeldBack;
        }
        self.keep_time_of_result(&mut listing);
        if listing == self.listing && !is_off {
            return Change::Nothing;
        }
        // Whether anybody has told its result or not.
        let was_held = |it: &Auction| is_over(it) || it.date <= now;
        let was_over = !is_off && self.listing.auction.as_ref().is_some_and(was_held);
        let (before, now) = (self.listing.listing_usd, listing.listing_usd);
        let upcoming = listing.upcoming_auction().map(|it| it.date);
        let held_at = self.listing.auction.as_ref().map(|it| it.date);
        Change::Anew(Box::new(Anew {
            former_price: (before != now).then_some(before),
            new_date: upcoming.filter(|date| held_at.is_some_and(|it| it != *date)),
            is_relisted: listing.is_on_offer() && (is_off || (was_over && is_later)),
            listing,
        }))
    }

    /// Says whether a listing tells of an auction that comes after the one that is known.
    fn announces_later_auction(&self, listing: &Listing) -> bool {
        let known = self.listing.auction.as_ref();
        listing
            .upcoming_auction()
            .is_some_and(|it| known.is_none_or(|known| it.date > known.date))
    }

    /// Keeps the result of an auction that a listing, which has not heard of it, still expects.
    fn keep_result(&self, listing: &mut Listing) {
        let known = self.listing.auction.as_ref().filter(|it| is_over(it));
        if let (Some(known), Some(auction)) = (known, &mut listing.auction)
            && auction.result == AuctionResult::Upcoming
        {
            auction.date = known.date;
            auction.result = known.result;
        }
    }

    /// A result is known since it first was.
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
    use crate::{stamp::Stamp, vehicles::import::model::read_line};

    const EARLY: &str = "2026-04-20T13:00:00+09:00";
    /// When a file is read, unless it is read later.
    const BEFORE: &str = "2026-04-10T00:00:00+09:00";
    const LATE: &str = "2026-04-27T13:00:00+09:00";

    fn at(time: &str) -> DateTime<Utc> {
        Stamp::parse(time).unwrap().instant()
    }

    /// A lot; its result, if it has one, was heard of at `learned_at`.
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

    fn off(listing: Listing, by: WithdrawnBy) -> Known {
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

    fn anew(change: Change) -> Anew {
        match change {
            Change::Anew(anew) => *anew,
            Change::Nothing | Change::HeldBack => panic!("it changes: {change:?}"),
        }
    }

    #[test]
    fn what_is_the_same_is_nothing() {
        assert_eq!(
            known(dealers()).change(dealers(), at(BEFORE)),
            Change::Nothing
        );
        for result in ["upcoming", "no_bid", "sold"] {
            let car = known(lot(EARLY, result, EARLY));
            let again = car.change(lot(EARLY, result, LATE), at(BEFORE));
            assert_eq!(again, Change::Nothing, "{result} is known since it was");
        }
    }

    #[test]
    fn a_price_and_a_date_move() {
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
    fn a_result_changes_the_car_alone() {
        let anew =
            anew(known(lot(EARLY, "upcoming", EARLY)).change(lot(LATE, "sold", LATE), at(BEFORE)));
        assert_eq!((anew.new_date, anew.is_relisted), (None, false));
        assert_eq!(anew.listing.auction.unwrap().result_at, Some(at(LATE)));
    }

    #[test]
    fn a_known_result_is_not_unlearned_by_the_same_auction() {
        for result in [
            "no_bid",
            "sold",
            "negotiation_sold",
            "negotiation_requested",
        ] {
            for car in [
                known(lot(LATE, result, EARLY)),
                bought(known(lot(LATE, result, EARLY))),
            ] {
                for date in [EARLY, LATE] {
                    let mut listing = lot(date, "upcoming", LATE);
                    assert_eq!(
                        car.change(listing.clone(), at(BEFORE)),
                        Change::Nothing,
                        "{result}"
                    );
                    listing.color = Some("Emerald".into());
                    let anew = anew(car.change(listing, at(BEFORE)));
                    assert_eq!(anew.listing.auction, car.listing.auction);
                    assert_eq!(anew.listing.color.as_deref(), Some("Emerald"));
                    assert_eq!((anew.new_date, anew.is_relisted), (None, false));
                }
            }
        }
    }

    #[test]
    fn a_later_auction_lists_a_car_again() {
        for result in ["no_bid", "sold"] {
            for car in [
                known(lot(EARLY, result, EARLY)),
                off(lot(EARLY, result, EARLY), WithdrawnBy::Operator),
            ] {
                let anew = anew(car.change(lot(LATE, "upcoming", LATE), at(BEFORE)));
                assert_eq!((anew.new_date, anew.is_relisted), (Some(at(LATE)), true));
                assert_eq!(anew.listing.auction.unwrap().result_at, None);
            }
        }
    }

    #[test]
    fn an_auction_that_was_held_without_a_result_is_over_too() {
        let car = known(lot(EARLY, "upcoming", EARLY));
        for (now, is_relisted) in [(BEFORE, false), (EARLY, true)] {
            let anew = anew(car.change(lot(LATE, "upcoming", LATE), at(now)));
            assert_eq!(
                (anew.new_date, anew.is_relisted),
                (Some(at(LATE)), is_relisted)
            );
        }
    }

    #[test]
    fn what_the_source_took_off_comes_back() {
        let again = |listing: Listing| {
            anew(off(listing.clone(), WithdrawnBy::Source).change(listing, at(BEFORE))).is_relisted
        };
        assert!(again(dealers()));
        assert!(again(lot(EARLY, "upcoming", EARLY)));
        assert!(again(lot(EARLY, "no_bid", EARLY)));
        assert!(!again(lot(EARLY, "sold", EARLY)), "nobody can order it");
    }

    #[test]
    fn what_lmn_took_off_stays_away_until_a_later_auction_and_what_it_bought_for_good() {
        let lot_of = |result| lot(EARLY, result, EARLY);
        for (car, listing) in [
            (off(dealers(), WithdrawnBy::Operator), dealers()),
            (bought(off(dealers(), WithdrawnBy::Operator)), dealers()),
            (bought(off(dealers(), WithdrawnBy::Source)), dealers()),
            (
                off(lot_of("upcoming"), WithdrawnBy::Operator),
                lot_of("upcoming"),
            ),
            (
                off(lot(LATE, "sold", LATE), WithdrawnBy::Operator),
                lot_of("upcoming"),
            ),
            (bought(known(lot_of("sold"))), lot_of("no_bid")),
            (bought(known(lot_of("sold"))), lot(LATE, "upcoming", LATE)),
            (
                bought(off(lot_of("sold"), WithdrawnBy::Source)),
                lot(LATE, "upcoming", LATE),
            ),
            (bought(known(lot_of("sold"))), lot(LATE, "no_bid", LATE)),
        ] {
            assert_eq!(car.change(listing, at(BEFORE)), Change::HeldBack, "{car:?}");
        }
        let sold = known(lot_of("sold")).change(lot_of("no_bid"), at(BEFORE));
        assert!(!anew(sold).is_relisted, "without LMN it is a correction");
    }
}
