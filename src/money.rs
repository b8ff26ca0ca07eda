//! Money: whole US dollars, 1 to 10,000,000. No cents, no floats, no other currency.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest fee of an auction house, in whole US dollars; the smallest is zero, so it is no [`Usd`].
pub const FEE_MAX: i64 = 10_000_000;

/// An amount of whole US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Usd(i32);

impl Usd {
    /// The largest amount there is.
    pub const MAX: Self = Self(10_000_000);

    /// Takes a number of dollars, if it is an amount at all.
    pub fn new(dollars: i64) -> Option<Self> {
        let fits = (1..=i64::from(Self::MAX.0)).contains(&dollars);
        i32::try_from(dollars).ok().filter(|_| fits).map(Self)
    }

    /// Returns the number of dollars, as the database keeps it.
    pub fn dollars(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for Usd {
    type Error = &'static str;

    fn try_from(dollars: i64) -> Result<Self, Self::Error> {
        Self::new(dollars).ok_or("an amount is 1 to 10000000 whole US dollars")
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} USD", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_one_to_ten_million() {
        assert_eq!(Usd::new(1).map(Usd::dollars), Some(1));
        assert_eq!(Usd::new(10_000_000), Some(Usd::MAX));
        for dollars in [0, -1, 10_000_001, i64::MIN, i64::MAX] {
            assert_eq!(Usd::new(dollars), None);
        }
    }
}
