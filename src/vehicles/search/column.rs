//! Columns: one number of every vehicle, by slot and in sorted order.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// A number that a column holds.
pub(super) trait Number: Copy + Ord + Default {
    /// The number of a vehicle without a value and of a freed slot; no range contains it.
    const NONE: Self;

    /// Converts it to an `i64` that sorts alike.
    fn whole(self) -> i64;

    /// Converts an `i64` to the number that sorts alike, or to the nearest number.
    fn nearest(whole: i64) -> Self;
}

impl Number for u32 {
    const NONE: Self = Self::MAX;

    fn whole(self) -> i64 {
        self.into()
    }

    fn nearest(whole: i64) -> Self {
        Self::try_from(whole.max(0)).unwrap_or(Self::MAX)
    }
}

impl Number for i64 {
    const NONE: Self = Self::MAX;

    fn whole(self) -> i64 {
        self
    }

    fn nearest(whole: i64) -> Self {
        whole
    }
}

/// One number of every vehicle.
#[derive(Debug, Clone, Default)]
pub(super) struct Column<N> {
    /// The numbers by slot.
    values: Arc<Vec<N>>,
    /// The slots of listed vehicles, sorted by number and id.
    slots: Arc<Vec<u32>>,
    /// The numbers of `slots`, in the same order.
    numbers: Arc<Vec<N>>,
}

impl<N: Number> Column<N> {
    /// Sorts the listed slots by their numbers; `ranks` are the positions of slots in the order of ids.
    pub(super) fn new(values: Vec<N>, listed: &[u32], ranks: &[u32]) -> Self {
        let mut keys: Vec<(N, u32, u32)> = listed
            .iter()
            .map(|slot| (at(&values, *slot), at(ranks, *slot), *slot))
            .collect();
        keys.sort_unstable();
        Self {
            slots: Arc::new(keys.iter().map(|key| key.2).collect()),
            numbers: Arc::new(keys.iter().map(|key| key.0).collect()),
            values: Arc::new(values),
        }
    }

    /// Returns the number of a slot.
    pub(super) fn get(&self, slot: u32) -> N {
        at(&self.values, slot)
    }

    /// Returns the numbers by slot.
    pub(super) fn values(&self) -> &[N] {
        &self.values
    }

    /// Returns the slots of listed vehicles, sorted by number and id.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Returns the position of the first slot whose number and rank are not before these.
    pub(super) fn place(&self, number: N, rank: u32, ranks: &[u32]) -> usize {
        let start = self.first(number);
        let end = self.numbers.partition_point(|it| *it <= number);
        let ties = self.slots.get(start..end).unwrap_or_default();
        start + ties.partition_point(|slot| at(ranks, *slot) < rank)
    }

    /// Returns the position of the first number that is not below this one.
    pub(super) fn first(&self, number: N) -> usize {
        self.numbers.partition_point(|it| *it < number)
    }

    /// Merges the numbers of changed slots; `gone` are the slots that are no longer listed.
    pub(super) fn merge(&mut self, changed: &[(u32, N)], gone: &RoaringBitmap, ranks: &[u32]) {
        let is_moved = |(slot, number): &&(u32, N)| {
            self.values
                .get(*slot as usize)
                .is_none_or(|it| it != number)
        };
        let moved: Vec<(u32, N)> = changed.iter().filter(is_moved).copied().collect();
        if moved.is_empty() && gone.is_empty() {
            return;
        }
        let values = Arc::make_mut(&mut self.values);
        let slots = moved.iter().map(|(slot, _)| *slot as usize + 1).max();
        values.resize(slots.unwrap_or_default().max(values.len()), N::default());
        for (slot, number) in &moved {
            if let Some(value) = values.get_mut(*slot as usize) {
                *value = *number;
            }
        }
        for slot in gone {
            if let Some(value) = values.get_mut(slot as usize) {
                *value = N::NONE;
            }
        }
        let mut out = gone.clone();
        out.extend(moved.iter().map(|(slot, _)| *slot));
        let mut fresh: Vec<(N, u32, u32)> = moved
            .iter()
            .map(|(slot, number)| (*number, at(ranks, *slot), *slot))
            .collect();
        fresh.sort_unstable();
        self.reorder(&out, &fresh, ranks);
    }

    /// Removes the slots `out` from the order, and inserts the sorted entries `fresh`.
    fn reorder(&mut self, out: &RoaringBitmap, fresh: &[(N, u32, u32)], ranks: &[u32]) {
        let len = self.slots.len() + fresh.len();
        let (mut slots, mut numbers) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut fresh = fresh.iter().peekable();
        for (slot, number) in self.slots.iter().zip(self.numbers.iter()) {
            if out.contains(*slot) {
                continue;
            }
            while let Some((before, _, new_slot)) =
                fresh.next_if(|it| it.0 < *number || (it.0 == *number && it.1 < at(ranks, *slot)))
            {
                slots.push(*new_slot);
                numbers.push(*before);
            }
            slots.push(*slot);
            numbers.push(*number);
        }
        for (number, _, slot) in fresh {
            slots.push(*slot);
            numbers.push(*number);
        }
        self.slots = Arc::new(slots);
        self.numbers = Arc::new(numbers);
    }
}

/// Returns the value of a slot; the default for a slot that does not exist.
pub(super) fn at<T: Copy + Default>(values: &[T], slot: u32) -> T {
    values.get(slot as usize).copied().unwrap_or_default()
}
