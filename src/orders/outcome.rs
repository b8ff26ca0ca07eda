//! Outcomes of auctions for LMN. Pure.

use crate::values::{money::Usd, string_enum::string_enum};

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
