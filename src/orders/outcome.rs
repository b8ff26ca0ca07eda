//! How an auction ends for LMN. Pure.

use crate::{money::Usd, word::words};

words! {
    /// How an auction ended for LMN, in a word.
    AuctionEnd {
        /// LMN bought the car.
        Won = "won",
        /// Somebody outside bid more.
        Outbid = "outbid",
        /// The auction was called off.
        Cancelled = "cancelled",
        /// The seller took the car back.
        Withdrawn = "withdrawn",
    }
}

/// How an auction ended for LMN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuctionOutcome {
    /// LMN bought the car, for the partner with the highest bid.
    Won {
        /// What LMN paid: at most that bid.
        price: Usd,
        /// What the auction house charged, in US dollars: zero or more.
        fee: i32,
    },
    /// Somebody outside bid more.
    Outbid,
    /// The auction was called off.
    Cancelled,
    /// The seller took the car back.
    Withdrawn,
}
