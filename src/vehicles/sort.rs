//! Sort orders of the list of vehicles.

/// The order of a list of vehicles. Vehicles with equal values are ordered by id, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Earliest auction first, dealers' vehicles last.
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
    /// All sort orders by name; the first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("auction_date_asc", Self::AuctionDateAsc),
        ("price_asc", Self::PriceAsc),
        ("price_desc", Self::PriceDesc),
        ("year_desc", Self::YearDesc),
        ("mileage_asc", Self::MileageAsc),
    ];

    /// Returns whether the order is descending, by value and by id.
    pub(crate) fn is_descending(self) -> bool {
        matches!(self, Self::PriceDesc | Self::YearDesc)
    }
}
