//! The orders in which the catalogue can be walked, and places in such a walk.

/// A place in a walk of the catalogue: the sort's value (nothing is last) and the id.
pub(crate) type Place = (Option<i64>, String);

/// The orders in which the catalogue can be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Next auction first, dealers' cars last.
    AuctionDateAsc,
    /// Cheapest first.
    PriceAsc,
    /// Dearest first.
    PriceDesc,
    /// Newest model year first.
    YearDesc,
    /// Least driven first.
    MileageAsc,
}

impl Sort {
    /// All orders by their names; the first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("auction_date_asc", Self::AuctionDateAsc),
        ("price_asc", Self::PriceAsc),
        ("price_desc", Self::PriceDesc),
        ("year_desc", Self::YearDesc),
        ("mileage_asc", Self::MileageAsc),
    ];

    /// Returns the indexed column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::AuctionDateAsc => "auction_order",
            Self::PriceAsc | Self::PriceDesc => "listing_usd",
            Self::YearDesc => "year",
            Self::MileageAsc => "mileage_km",
        }
    }

    /// Returns how a value of the column becomes the whole number of a [`Place`].
    pub(super) fn number(self) -> &'static str {
        match self {
            // Milliseconds; nothing is a car without an auction.
            Self::AuctionDateAsc => {
                "case when isfinite(auction_order) then (extract(epoch from auction_order) * 1000)::bigint end"
            }
            Self::PriceAsc | Self::PriceDesc => "listing_usd::bigint",
            Self::YearDesc => "year::bigint",
            Self::MileageAsc => "mileage_km::bigint",
        }
    }

    /// Returns how what is bound, a whole number or a time, becomes a value of the column.
    pub(super) fn value(self) -> (&'static str, &'static str) {
        match self {
            Self::AuctionDateAsc => ("coalesce(", ", timestamptz 'infinity')"),
            Self::PriceAsc | Self::PriceDesc | Self::MileageAsc => ("(", ")::integer"),
            Self::YearDesc => ("(", ")::smallint"),
        }
    }

    /// Returns the direction, and what comes after a place in it.
    pub(super) fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::AuctionDateAsc | Self::PriceAsc | Self::MileageAsc => ("asc", ">"),
            Self::PriceDesc | Self::YearDesc => ("desc", "<"),
        }
    }
}
