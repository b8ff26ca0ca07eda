//! Pseudo-random numbers: SplitMix64, implemented here so that an update of a crate cannot change the vehicles.

/// A stream of pseudo-random numbers that depends only on its name.
pub(crate) struct Chance(u64);

impl Chance {
    /// Creates the stream with this name.
    pub(crate) fn of(name: &[u64]) -> Self {
        name.iter()
            .fold(Self(0), |mut stream, part| Self(stream.next() ^ part))
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self
            .next()
            .cast_signed()
            .rem_euclid((high - low + 1).max(1))
    }

    /// Returns `true` in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: i64) -> bool {
        self.between(1, 100) <= percent
    }

    /// Returns `None` in `percent` of a hundred cases, and the value otherwise.
    pub(crate) fn unless<T>(&mut self, percent: i64, value: T) -> Option<T> {
        let left_out = self.percent(percent);
        (!left_out).then_some(value)
    }

    /// Picks one of the items; `None` only if there are none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        self.weigh(items, |_| 1)
    }

    /// Picks one of the items, with a probability in proportion to its share; `None` only if there are none.
    pub(crate) fn weigh<'a, T>(
        &mut self,
        items: &'a [T],
        share: impl Fn(&T) -> i64,
    ) -> Option<&'a T> {
        let mut left = self.between(1, items.iter().map(&share).sum());
        items.iter().find(|item| {
            left -= share(item);
            left <= 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_splitmix64() {
        // The reference implementation's first numbers for the seed 1234567.
        let mut chance = Chance(1_234_567);
        let first = [chance.next(), chance.next(), chance.next()];
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn picks_are_as_frequent_as_their_shares() {
        let mut chance = Chance::of(&[1]);
        let items = [("never", 0), ("seldom", 1), ("often", 9)];
        let mut seen = [0; 3];
        for _ in 0..1000 {
            let item = chance.weigh(&items, |item| item.1).unwrap();
            seen[items.iter().position(|other| other == item).unwrap()] += 1;
        }
        assert_eq!(seen[0], 0);
        assert!((50..150).contains(&seen[1]), "{seen:?}");
        assert_eq!(Chance::of(&[1]).pick::<u8>(&[]), None);
    }
}
