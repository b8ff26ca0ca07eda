//! Columns of the index: [`Column`] has one number of every vehicle, by slot and in sorted order; [`Texts`] has one
//! text, by slot, and [`Chunks`] any small value.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// Number of texts in a chunk.
const CHUNK: usize = 1 << 12;
/// Number of values in a chunk of [`Chunks`].
const VALUES: usize = 1 << 8;
/// Stands for an absent text: no text of the database contains a NUL.
const ABSENT: &str = "\0";

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

/// One value of every vehicle, by slot, in chunks that the versions of an index share: a merge copies the chunks of changed
/// vehicles only.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks<T>(Arc<Vec<Arc<[T; VALUES]>>>);

impl<T: Copy + Default> Chunks<T> {
    /// Returns the value of a slot.
    pub(super) fn get(&self, slot: u32) -> T {
        let slot = slot as usize;
        let chunk = self.0.get(slot / VALUES);
        let value = chunk.and_then(|it| it.get(slot % VALUES));
        value.copied().unwrap_or_default()
    }

    /// Sets the values of slots, of which there are `slots`.
    pub(super) fn merge(&mut self, slots: u32, changed: impl Iterator<Item = (u32, T)>) {
        let mut chunks = self.0.to_vec();
        let empty = || Arc::new([T::default(); VALUES]);
        chunks.resize_with((slots as usize).div_ceil(VALUES), empty);
        for (slot, value) in changed {
            let slot = slot as usize;
            if let Some(chunk) = chunks.get_mut(slot / VALUES)
                && let Some(it) = Arc::make_mut(chunk).get_mut(slot % VALUES)
            {
                *it = value;
            }
        }
        self.0 = Arc::new(chunks);
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

/// A text for each slot, in the order of slots. The texts are in chunks that are shared between indexes.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    chunks: Vec<Arc<Chunk>>,
}

#[derive(Debug, Clone, Default)]
struct Chunk {
    text: String,
    /// The end of each text, in bytes.
    ends: Vec<u32>,
}

impl Texts {
    /// Adds the text of the next slot.
    pub(super) fn push(&mut self, text: &str) {
        if self.chunks.last().is_none_or(|it| it.ends.len() == CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            Arc::make_mut(chunk).push(text);
        }
    }

    /// Returns the text of a slot; empty for a slot that does not exist.
    pub(super) fn get(&self, slot: u32) -> &str {
        let slot = slot as usize;
        let chunk = self.chunks.get(slot / CHUNK);
        chunk.map_or("", |it| it.get(slot % CHUNK))
    }

    /// Adds the text of the next slot, which may be absent.
    pub(super) fn push_optional(&mut self, text: Option<&str>) {
        self.push(text.unwrap_or(ABSENT));
    }

    /// Returns the text of a slot that may be absent.
    pub(super) fn get_optional(&self, slot: u32) -> Option<&str> {
        Some(self.get(slot)).filter(|it| *it != ABSENT)
    }

    /// Replaces the text of a slot, which may be absent.
    pub(super) fn set_optional(&mut self, slot: u32, text: Option<&str>) {
        self.set(slot, text.unwrap_or(ABSENT));
    }

    /// Replaces the text of a slot.
    pub(super) fn set(&mut self, slot: u32, text: &str) {
        if self.get(slot) == text {
            return;
        }
        let slot = slot as usize;
        if let Some(chunk) = self.chunks.get_mut(slot / CHUNK) {
            let mut fresh = Chunk::default();
            for at in 0..chunk.ends.len() {
                let is_replaced = at == slot % CHUNK;
                fresh.push(if is_replaced { text } else { chunk.get(at) });
            }
            *chunk = Arc::new(fresh);
        }
    }

    /// Returns the number of slots.
    pub(super) fn len(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        let last = self.chunks.last().map_or(0, |it| it.ends.len());
        u32::try_from(full + last).unwrap_or(u32::MAX)
    }
}

impl Chunk {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn get(&self, at: usize) -> &str {
        let start = match at {
            0 => Some(0),
            _ => self.ends.get(at - 1).copied(),
        };
        let range = start.zip(self.ends.get(at));
        let text = range.and_then(|(start, end)| self.text.get(start as usize..*end as usize));
        text.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_slot_in_every_chunk_and_replaced() {
        let mut texts = Texts::default();
        for slot in 0..10_000_u32 {
            assert_eq!(texts.len(), slot);
            texts.push(&format!("glovis_{slot}"));
        }
        let before = texts.clone();
        for slot in [0, 1, 4_095, 4_096, 8_191, 8_192, 9_999] {
            assert_eq!(texts.get(slot), format!("glovis_{slot}"));
            texts.set(slot, "");
            assert_eq!(texts.get(slot), "");
            texts.set(slot, "longer than it was");
            assert_eq!(texts.get(slot), "longer than it was");
        }
        texts.set_optional(3, None);
        texts.push_optional(None);
        texts.push_optional(Some(""));
        let optional = [3, 10_000, 10_001, 4].map(|it| texts.get_optional(it));
        assert_eq!(optional, [None, None, Some(""), Some("glovis_4")]);
        assert_eq!(texts.get(4_097), "glovis_4097");
        assert_eq!(before.get(4_096), "glovis_4096");
        assert_eq!((texts.get(10_002), Texts::default().get(0)), ("", ""));
    }
}
