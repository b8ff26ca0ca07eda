//! Strict JSON: reports duplicate keys in an object, of which `serde_json` would silently keep the last.

use std::fmt::{self, Write};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most duplicate keys that are reported.
pub(crate) const DUPLICATES_MAX: usize = 50;
/// The longest path that is reported, in characters.
pub(crate) const PATH_CHARACTERS_MAX: usize = 128;

/// Parses one JSON value; also returns the paths of its duplicate keys.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut duplicates = Duplicates::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Unique(&mut duplicates).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, duplicates.found))
}

/// Collects duplicate keys during parsing.
#[derive(Default)]
struct Duplicates {
    /// The current path of the parser; it is formatted only for a duplicate key.
    segments: Vec<Segment>,
    /// The paths of duplicate keys, bounded in number and length.
    found: Vec<String>,
}

/// One segment of a path.
enum Segment {
    Member(String),
    Item(usize),
}

impl Duplicates {
    fn record(&mut self) {
        if self.found.len() == DUPLICATES_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.segments {
            // Writing to a string cannot fail.
            let _ = match step {
                Segment::Item(n) => write!(path, "[{n}]"),
                Segment::Member(key) if path.is_empty() => write!(path, "{key}"),
                Segment::Member(key) => write!(path, ".{key}"),
            };
            if path.len() > PATH_CHARACTERS_MAX {
                path = path.chars().take(PATH_CHARACTERS_MAX).collect();
                break;
            }
        }
        self.found.push(path);
    }
}

/// Parses a JSON value and records every duplicate key.
struct Unique<'a>(&'a mut Duplicates);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.0.segments.push(Segment::Item(items.len()));
            let item = seq.next_element_seed(Unique(self.0))?;
            self.0.segments.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.0.segments.push(Segment::Member(key.clone()));
            if members.contains_key(&key) {
                self.0.record();
            }
            members.insert(key, map.next_value_seed(Unique(self.0))?);
            self.0.segments.pop();
        }
        Ok(members.into())
    }
}
