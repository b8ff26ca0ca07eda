//! Queries: pages and counts of the vehicles that match a filter.
//!
//! If many vehicles match, a page is filled by scanning the slots in the order of the sort. A scan that finds fewer
//! matches than expected gives up. Then, or if few vehicles match, every candidate is examined once and the first
//! matches are kept. Candidates are the slots that have all tokens, the slots within the narrowest range, or, if both
//! are many, the slots that pass all ranges in one pass over the columns, whichever costs least.

use std::{collections::BinaryHeap, ops::Range};

use chrono::{DateTime, Utc};

use super::{
    column::{Column, Number, at},
    filter::{Filter, Sort},
    index::Index,
    plan::{Plan, is_set, set_bits},
};

/// A place in a sorted list: the value of the sort, `None` for vehicles without one, and the id.
pub(crate) type Place = (Option<i64>, String);

/// A scan is tried if it is expected to examine this many times fewer slots than there are candidates, and gives up
/// after examining this many times the expected number of slots.
const SCAN_PATIENCE: usize = 4;
/// Minimum number of slots that a scan examines before it gives up.
const SCAN_MIN: usize = 2_048;
/// Cost of examining a slot out of order, which is far from the last in memory, relative to a slot in order.
const RANDOM_COST: u64 = 6;
/// Number of slots of one column that a pass checks for the cost of examining one slot.
const PASS_SLOTS: u64 = 4;

/// A query for a page of vehicles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// The filter that the vehicles must satisfy.
    pub(crate) filter: &'a Filter,
    /// The order of the vehicles.
    pub(crate) sort: Sort,
    /// The place after which the page begins; `None` for the first page.
    pub(crate) after: Option<&'a Place>,
    /// The maximum number of vehicles.
    pub(crate) limit: usize,
    /// The caller's time, which decides whether auctions are open to orders.
    pub(crate) now: DateTime<Utc>,
}

/// The candidates that cost least to examine.
enum Candidates<'a> {
    Tokens,
    Narrowest(&'a [u32]),
    Passed,
    All,
}

impl Index {
    /// Returns the slots of a page, in the order of the sort.
    pub(crate) fn page(&self, query: &Query<'_>) -> Vec<u32> {
        match query.sort {
            Sort::AuctionDateAsc => self.page_by(&self.auction, query),
            Sort::PriceAsc | Sort::PriceDesc => self.page_by(&self.price, query),
            Sort::YearDesc => self.page_by(&self.year, query),
            Sort::MileageAsc => self.page_by(&self.mileage, query),
        }
    }

    /// Returns the place of a slot in a sort.
    pub(crate) fn place(&self, sort: Sort, slot: u32) -> Place {
        let value = match sort {
            Sort::AuctionDateAsc => Some(self.auction.get(slot)).filter(|it| *it != i64::MAX),
            Sort::PriceAsc | Sort::PriceDesc => Some(self.price.get(slot).whole()),
            Sort::YearDesc => Some(self.year.get(slot).whole()),
            Sort::MileageAsc => Some(self.mileage.get(slot).whole()),
        };
        (value, self.id(slot).to_owned())
    }

    /// Counts the vehicles that match a filter.
    pub(crate) fn count(&self, filter: &Filter, now: DateTime<Utc>) -> u64 {
        let plan = Plan::new(self, filter, None, now);
        match (self.candidates(&plan), &plan.matched) {
            (Candidates::Tokens, Some(matched)) if plan.is_of_tokens_only() => matched.len(),
            (Candidates::Tokens, Some(matched)) => plan.count(matched.iter()),
            (Candidates::Narrowest(slots), _) => plan.count(slots.iter().copied()),
            (Candidates::Passed, _) => plan.count(set_bits(&plan.pass())),
            (Candidates::Tokens, None) | (Candidates::All, _) => plan.count(self.listed.iter()),
        }
    }

    fn page_by<N: Number>(&self, column: &Column<N>, query: &Query<'_>) -> Vec<u32> {
        let plan = Plan::new(self, query.filter, Some(query.sort), query.now);
        let positions = self.page_range(column, query, plan.bounds);
        let slots = column.slots().get(positions).unwrap_or_default();
        let tokens = plan.matched.as_ref().map(|it| it.len());
        let range = plan.narrowest.map(|it| it.len() as u64);
        let few = tokens.into_iter().chain(range).min().unwrap_or(u64::MAX);
        let few = usize::try_from(few).unwrap_or(usize::MAX);
        let expected = (slots.len() / few.max(1) + 1).saturating_mul(query.limit);
        if few > expected.saturating_mul(SCAN_PATIENCE) {
            let budget = expected.saturating_mul(SCAN_PATIENCE).max(SCAN_MIN);
            let found = scan(slots, query, budget, |slot| plan.holds(slot));
            if let Some(page) = found {
                return page;
            }
        }
        let Some(order) = self.order(column, slots, query) else {
            return Vec::new();
        };
        match (self.candidates(&plan), &plan.matched) {
            (Candidates::Tokens, Some(matched)) => {
                order.first_matches(matched.iter(), |slot| plan.holds_beside_tokens(slot))
            }
            (Candidates::Narrowest(range), _) => {
                order.first_matches(range.iter().copied(), |slot| plan.holds(slot))
            }
            (Candidates::Passed, _) => {
                let passed = plan.pass();
                let count: u64 = passed.iter().map(|it| u64::from(it.count_ones())).sum();
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let holds = |slot| is_set(&passed, slot) && plan.holds_beside_ranges(slot);
                let expected = (slots.len() / count.max(1) + 1).saturating_mul(query.limit);
                if count > expected {
                    let budget = count.max(SCAN_MIN);
                    if let Some(page) = scan(slots, query, budget, holds) {
                        return page;
                    }
                }
                order.first_matches(set_bits(&passed), |slot| plan.holds_beside_ranges(slot))
            }
            (Candidates::Tokens, None) | (Candidates::All, _) => {
                order.first_matches(slots.iter().copied(), |slot| plan.holds(slot))
            }
        }
    }

    /// Returns the order of a sort from the first of `slots`, the slots of which a page may consist; `None` if there
    /// are none.
    fn order<'a, N: Number>(
        &'a self,
        column: &'a Column<N>,
        slots: &[u32],
        query: &Query<'_>,
    ) -> Option<Order<'a, N>> {
        let is_descending = query.sort.is_descending();
        let first = if is_descending {
            slots.last()
        } else {
            slots.first()
        };
        let mut order = Order {
            column,
            ranks: &self.ranks,
            sign: if is_descending { -1 } else { 1 },
            first: (0, 0, 0),
            limit: query.limit,
        };
        order.first = order.key(*first?);
        Some(order)
    }

    /// Chooses the candidates that cost least to examine.
    fn candidates<'a>(&self, plan: &Plan<'a>) -> Candidates<'a> {
        let tokens = plan.matched.as_ref().map_or(u64::MAX, |it| it.len());
        let Some(range) = plan.narrowest else {
            return match plan.matched {
                Some(_) => Candidates::Tokens,
                None => Candidates::All,
            };
        };
        let in_range = (range.len() as u64).saturating_mul(RANDOM_COST);
        let columns = plan.ranges.len() as u64;
        let pass = u64::from(self.ids.len()) * columns / PASS_SLOTS + range.len() as u64;
        match tokens.min(in_range).min(pass) {
            least if least == tokens => Candidates::Tokens,
            least if least == in_range => Candidates::Narrowest(range),
            _ => Candidates::Passed,
        }
    }

    /// Returns the range of positions in the order of a sort that the page can be taken from.
    fn page_range<N: Number>(
        &self,
        column: &Column<N>,
        query: &Query<'_>,
        bounds: Option<(i64, i64)>,
    ) -> Range<usize> {
        let (mut start, mut end) = (0, column.slots().len());
        if let Some((min, max)) = bounds {
            start = column.first(N::nearest(min));
            end = column.first(N::nearest(max.saturating_add(1)));
        }
        if let Some((value, id)) = query.after {
            let number = N::nearest(value.unwrap_or(i64::MAX));
            let place = column.place(number, self.rank(id), &self.ranks);
            let is_listed = column
                .slots()
                .get(place)
                .is_some_and(|slot| column.get(*slot) == number && self.id(*slot) == id);
            match query.sort.is_descending() {
                false => start = start.max(place + usize::from(is_listed)),
                true => end = end.min(place),
            }
        }
        start..end.max(start)
    }
}

/// Fills a page from slots in the order of the sort; `None` if that requires more than `budget` slots.
fn scan(
    slots: &[u32],
    query: &Query<'_>,
    budget: usize,
    holds: impl Fn(u32) -> bool,
) -> Option<Vec<u32>> {
    let mut page = Vec::with_capacity(query.limit);
    let mut take = |slot: &u32| {
        if holds(*slot) {
            page.push(*slot);
        }
        page.len() == query.limit
    };
    let is_full = match query.sort.is_descending() {
        false => slots.iter().take(budget).any(&mut take),
        true => slots.iter().rev().take(budget).any(&mut take),
    };
    (is_full || slots.len() <= budget).then_some(page)
}

/// The key of a slot in the order of a sort: number and rank, both negated for a descending sort, and the slot.
type Key = (i64, i64, u32);

/// The order of a sort, from a key on.
struct Order<'a, N> {
    column: &'a Column<N>,
    ranks: &'a [u32],
    sign: i64,
    first: Key,
    limit: usize,
}

impl<N: Number> Order<'_, N> {
    fn number(&self, slot: u32) -> i64 {
        self.sign * self.column.get(slot).whole()
    }

    fn key(&self, slot: u32) -> Key {
        let rank = i64::from(at(self.ranks, slot));
        (self.number(slot), self.sign * rank, slot)
    }

    /// Returns the first candidates for which `holds` returns true, up to the limit, in order.
    fn first_matches(
        &self,
        candidates: impl Iterator<Item = u32>,
        holds: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut page: BinaryHeap<Key> = BinaryHeap::with_capacity(self.limit + 1);
        // Most candidates can be skipped by their number alone.
        let (least, mut greatest) = (self.first.0, i64::MAX);
        for slot in candidates {
            let number = self.number(slot);
            if number < least || number > greatest {
                continue;
            }
            let key = self.key(slot);
            let is_late = page.len() == self.limit && page.peek().is_some_and(|last| key > *last);
            if key < self.first || is_late || !holds(slot) {
                continue;
            }
            page.push(key);
            if page.len() > self.limit {
                page.pop();
            }
            if page.len() == self.limit {
                greatest = page.peek().map_or(i64::MAX, |last| last.0);
            }
        }
        page.into_sorted_vec().into_iter().map(|it| it.2).collect()
    }
}
