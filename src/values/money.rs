//! Money: whole US dollars, 1 to 10,000,000. There are no cents, no floats and no other currency.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest fee of an auction house, in whole US dollars; a fee can be zero, so it is not a [`Usd`].
pub const FEE_MAX: i64 = 10_000_000;

/// An amount of whole US dollars, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Usd(i32);

impl Usd {
    /// The largest amount.
    pub const MAX: Self = Self(10_000_000);

    /// Creates an amount; `None` if the number is out of range.
    pub fn new(dollars: i64) -> Option<Self> {
        let fits = (1..=i64::from(Self::MAX.0)).contains(&dollars);
        i32::try_from(dollars).ok().filter(|_| fits).map(Self)
    }

    /// Returns the number of dollars, as stored in the database.
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
