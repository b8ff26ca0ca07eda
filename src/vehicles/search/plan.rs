//! [`Plan`]: a filter resolved against one index.

use std::borrow::Cow;

use chrono::{DateTime, Days, NaiveDate, Utc};
use roaring::RoaringBitmap;

use super::{
    column::{Column, Number},
    filter::{Condition, Field, Filter, Sort},
    index::Index,
    tokens::Kind,
};
use crate::values::timestamp::Timestamp;

/// Number of slots in a word of the bits that [`Plan::pass`] returns.
const WORD: usize = u64::BITS as usize;

/// A filter resolved against one index.
#[derive(Default)]
pub(super) struct Plan<'a> {
    /// The slots that have all tokens; `None` if the filter has no tokens.
    pub(super) matched: Option<Cow<'a, RoaringBitmap>>,
    /// Ranges of numbers. No range contains a freed slot.
    pub(super) ranges: Vec<InRange<'a>>,
    /// The slots within the narrowest range, sorted by its numbers.
    pub(super) narrowest: Option<&'a [u32]>,
    /// The range of the numbers that the page is sorted by.
    pub(super) bounds: Option<(i64, i64)>,
    /// The time from which auctions are open to orders, the auction times by slot, and the slots with upcoming
    /// auctions.
    open: Option<(i64, &'a [i64], Cow<'a, RoaringBitmap>)>,
}

/// The numbers of a column by slot, and the range that they must be within, ends included.
pub(super) enum InRange<'a> {
    Small(&'a [u32], u32, u32),
    Large(&'a [i64], i64, i64),
}

impl<'a> Plan<'a> {
    /// Resolves a filter; `sort` is the sort of the page, if there is one.
    pub(super) fn new(
        index: &'a Index,
        filter: &'a Filter,
        sort: Option<Sort>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut sets = Vec::new();
        let mut plan = Self::default();
        for condition in filter.conditions() {
            let tokens = &index.tokens;
            match condition {
                Condition::Ids(ids) => {
                    let slots = ids.iter().filter_map(|id| index.slot(id));
                    sets.push(Cow::Owned(slots.collect()));
                }
                Condition::Beginnings(words) => {
                    let words = words.iter();
                    sets.extend(words.map(|it| union(tokens.beginning_with(Kind::Word, it))));
                }
                Condition::AnyOf(kind, values) => {
                    let values = values.iter();
                    sets.push(union(values.flat_map(|it| tokens.of(*kind, it))));
                }
                Condition::AllOf(kind, values) => {
                    sets.extend(values.iter().map(|it| union(tokens.of(*kind, it))));
                }
                Condition::Within(field, min, max) => {
                    plan.limit_number(index, *field, sort, (*min, *max));
                }
                Condition::Days(from, to) => plan.limit_days(index, sort, (*from, *to)),
                Condition::Orderable => sets.push(plan.limit_to_orderable(index, now)),
            }
        }
        plan.matched = intersection(sets);
        plan
    }

    fn limit_number(
        &mut self,
        index: &'a Index,
        field: Field,
        sort: Option<Sort>,
        (min, max): (Option<i64>, Option<i64>),
    ) {
        let (column, is_sort) = match field {
            Field::Year => (&index.year, sort == Some(Sort::YearDesc)),
            Field::Mileage => (&index.mileage, sort == Some(Sort::MileageAsc)),
            Field::Price => (
                &index.price,
                matches!(sort, Some(Sort::PriceAsc | Sort::PriceDesc)),
            ),
            Field::AuctionCount => (&index.count, false),
        };
        // A vehicle without a number has the maximum, which no range may contain.
        let max = max.unwrap_or(i64::MAX).min(u32::MAX.whole() - 1);
        let min = min.unwrap_or(0);
        let within = InRange::Small(column.values(), u32::nearest(min), u32::nearest(max));
        self.limit(column, within, (min, max), is_sort);
    }

    fn limit_days(
        &mut self,
        index: &'a Index,
        sort: Option<Sort>,
        (from, to): (Option<NaiveDate>, Option<NaiveDate>),
    ) {
        let begins = |day: NaiveDate| {
            Timestamp::midnight_in_korea(day)
                .instant()
                .timestamp_millis()
        };
        let next = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
        let min = from.map_or(i64::MIN, begins);
        // A vehicle without an auction has the maximum, which no range may contain.
        let max = to.map_or(i64::MAX - 1, |day| begins(next(day)) - 1);
        let within = InRange::Large(index.auction.values(), min, max);
        let is_sort = sort == Some(Sort::AuctionDateAsc);
        self.limit(&index.auction, within, (min, max), is_sort);
    }

    fn limit<N: Number>(
        &mut self,
        column: &'a Column<N>,
        within: InRange<'a>,
        (min, max): (i64, i64),
        is_sort: bool,
    ) {
        let start = column.first(N::nearest(min));
        let end = column.first(N::nearest(max.saturating_add(1)));
        let slots = column
            .slots()
            .get(start..end.max(start))
            .unwrap_or_default();
        if self.narrowest.is_none_or(|it| slots.len() < it.len()) {
            self.narrowest = Some(slots);
        }
        self.ranges.push(within);
        if is_sort {
            self.bounds = Some((min, max));
        }
    }

    /// Limits the plan to vehicles that can be ordered: returns the slots with a suitable auction status or source,
    /// and sets the check of the time of upcoming auctions.
    fn limit_to_orderable(
        &mut self,
        index: &'a Index,
        now: DateTime<Utc>,
    ) -> Cow<'a, RoaringBitmap> {
        let with = |kind, value| index.tokens.of(kind, value);
        let upcoming = || with(Kind::AuctionStatus, "upcoming");
        // Orders close at midnight at the start of the day before the auction, so that auctions are open from the day
        // after tomorrow on, in Korea.
        let today = Timestamp::kst(now).day_in_korea();
        let day = today.checked_add_days(Days::new(2)).unwrap_or(today);
        let from = Timestamp::midnight_in_korea(day)
            .instant()
            .timestamp_millis();
        self.open = Some((from, index.auction.values(), union(upcoming())));
        let to_buy = with(Kind::AuctionStatus, "no_bid").chain(with(Kind::Source, "dealer"));
        union(upcoming().chain(to_buy))
    }

    /// Returns whether a slot satisfies the filter.
    pub(super) fn holds(&self, slot: u32) -> bool {
        self.ranges.iter().all(|it| it.holds(slot)) && self.holds_beside_ranges(slot)
    }

    /// Returns whether a slot that has all tokens satisfies the filter.
    pub(super) fn holds_beside_tokens(&self, slot: u32) -> bool {
        self.ranges.iter().all(|it| it.holds(slot)) && self.is_open(slot)
    }

    /// Returns whether a slot satisfies the filter, its ranges aside.
    pub(super) fn holds_beside_ranges(&self, slot: u32) -> bool {
        let matched = self.matched.as_ref();
        matched.is_none_or(|it| it.contains(slot)) && self.is_open(slot)
    }

    fn is_open(&self, slot: u32) -> bool {
        self.open.as_ref().is_none_or(|(from, times, upcoming)| {
            let time = times.get(slot as usize);
            time.is_some_and(|it| it >= from) || !upcoming.contains(slot)
        })
    }

    /// Counts the slots that satisfy the filter.
    pub(super) fn count(&self, slots: impl Iterator<Item = u32>) -> u64 {
        slots.filter(|slot| self.holds(*slot)).count() as u64
    }

    /// Checks every slot against all ranges in one pass over the columns, and returns one bit per slot.
    pub(super) fn pass(&self) -> Vec<u64> {
        let mut words = Vec::new();
        for range in &self.ranges {
            match range {
                InRange::Small(values, min, max) => pass(&mut words, values, *min, *max),
                InRange::Large(values, min, max) => pass(&mut words, values, *min, *max),
            }
        }
        words
    }

    /// Returns whether the filter consists of tokens only.
    pub(super) fn is_of_tokens_only(&self) -> bool {
        self.ranges.is_empty() && self.open.is_none()
    }
}

impl InRange<'_> {
    fn holds(&self, slot: u32) -> bool {
        let at = slot as usize;
        match self {
            Self::Small(values, min, max) => {
                values.get(at).is_some_and(|it| min <= it && it <= max)
            }
            Self::Large(values, min, max) => {
                values.get(at).is_some_and(|it| min <= it && it <= max)
            }
        }
    }
}

/// Clears the bits of values outside a range; `words` is extended with set bits first.
fn pass<N: Number>(words: &mut Vec<u64>, values: &[N], min: N, max: N) {
    words.resize(values.len().div_ceil(WORD), u64::MAX);
    for (word, values) in words.iter_mut().zip(values.chunks(WORD)) {
        let bits = values.iter().rev().fold(0, |bits, value| {
            bits << 1 | u64::from((min <= *value) & (*value <= max))
        });
        *word &= bits;
    }
}

/// Returns the slots of set bits.
pub(super) fn set_bits(words: &[u64]) -> impl Iterator<Item = u32> {
    let starts = (0_u32..).step_by(WORD);
    words.iter().zip(starts).flat_map(|(word, start)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(start + bit)
        })
    })
}

/// Returns whether the bit of a slot is set.
pub(super) fn is_set(words: &[u64], slot: u32) -> bool {
    let slot = slot as usize;
    let word = words.get(slot / WORD);
    word.is_some_and(|it| it >> (slot % WORD) & 1 == 1)
}

/// Returns the union of sets; a single set is not copied.
fn union<'a>(sets: impl Iterator<Item = &'a RoaringBitmap>) -> Cow<'a, RoaringBitmap> {
    let mut all = Cow::Owned(RoaringBitmap::new());
    for (n, set) in sets.enumerate() {
        match n {
            0 => all = Cow::Borrowed(set),
            _ => *all.to_mut() |= set,
        }
    }
    all
}

/// Returns the intersection of sets, computed from the smallest one on; `None` if there are no sets.
fn intersection(mut sets: Vec<Cow<'_, RoaringBitmap>>) -> Option<Cow<'_, RoaringBitmap>> {
    sets.sort_by_cached_key(|it| it.len());
    sets.into_iter()
        .reduce(|one, other| Cow::Owned(&*one & &*other))
}
