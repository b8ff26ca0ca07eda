//! Texts of vehicles by slot, in chunks that are shared between indexes.

use std::sync::Arc;

/// Number of texts in a chunk.
const CHUNK: usize = 1 << 12;
/// Stands for an absent text: no text of the database contains a NUL.
const ABSENT: &str = "\0";

/// A text for each slot, in the order of slots.
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
