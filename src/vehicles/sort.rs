//! The sorts of the catalogue.

/// The order of a list of vehicles; equal values are in the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Next auction first, dealers' vehicles last.
    AuctionDateAsc,
    /// Cheapest first.
    PriceAsc,
    /// Most expensive first.
    PriceDesc,
    /// Newest model year first.
    YearDesc,
    /// Lowest mileage first.
    MileageAsc,
}

impl Sort {
    /// All sorts by their names; the first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("auction_date_asc", Self::AuctionDateAsc),
        ("price_asc", Self::PriceAsc),
        ("price_desc", Self::PriceDesc),
        ("year_desc", Self::YearDesc),
        ("mileage_asc", Self::MileageAsc),
    ];

    /// Says whether great values come first, and late ids among equal ones.
    pub(crate) fn is_descending(self) -> bool {
        matches!(self, Self::PriceDesc | Self::YearDesc)
    }
}
