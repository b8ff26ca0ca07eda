//! JSON read strictly: a key that stands twice in its object is noted, where `serde_json` would silently keep the last.

use std::fmt::{self, Write};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Doubled keys that are named in one answer.
pub(crate) const DOUBLES_MAX: usize = 50;
/// Characters of a path that are repeated in an answer.
pub(crate) const PATH_CHARACTERS_MAX: usize = 128;

/// Reads one JSON value, and the paths of the keys that stand twice in it.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut doubles = Doubles::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Unique(&mut doubles).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, doubles.found))
}

/// Keys that stand twice, which `serde_json` would silently overwrite.
#[derive(Default)]
struct Doubles {
    /// Where the reader is; told as text only where a key is doubled.
    place: Vec<Step>,
    /// The paths, no more and no longer than an answer should hold.
    found: Vec<String>,
}

/// One step down into a value.
enum Step {
    Member(String),
    Item(usize),
}

impl Doubles {
    fn note(&mut self) {
        if self.found.len() == DOUBLES_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.place {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Item(n) => write!(path, "[{n}]"),
                Step::Member(key) if path.is_empty() => write!(path, "{key}"),
                Step::Member(key) => write!(path, ".{key}"),
            };
            if path.len() > PATH_CHARACTERS_MAX {
                path = path.chars().take(PATH_CHARACTERS_MAX).collect();
                break;
            }
        }
        self.found.push(path);
    }
}

/// Reads a JSON value and notes every key that stands twice.
struct Unique<'a>(&'a mut Doubles);

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
            self.0.place.push(Step::Item(items.len()));
            let item = seq.next_element_seed(Unique(self.0))?;
            self.0.place.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            self.0.place.push(Step::Member(key.clone()));
            if members.contains_key(&key) {
                self.0.note();
            }
            members.insert(key, map.next_value_seed(Unique(self.0))?);
            self.0.place.pop();
        }
        Ok(members.into())
    }
}
