//! Identifiers, each with a type of its own, so that one cannot be passed in place of another.
//!
//! Orders, events, partners, keys and operators have ULIDs, which sort by creation time and are stored in `uuid`
//! columns. A vehicle keeps the identifier of its source. Randomness is used here and in the creation of secrets, and
//! nowhere else.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;
use uuid::Uuid;

/// The error for text that is not a valid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an id")]
pub struct NotAnId;

/// Declares an identifier that is a ULID, with an optional prefix, and a `uuid` in the database.
macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident $($prefix:literal)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            const PREFIX: &str = concat!("", $($prefix)?);

            /// Creates an identifier with the time `now`.
            pub fn new(now: DateTime<Utc>) -> Self {
                let milliseconds = u64::try_from(now.timestamp_millis()).unwrap_or_default();
                Self(Ulid::from_parts(milliseconds, rand::random()))
            }

            /// Parses the canonical spelling; `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                let text = text.strip_prefix(Self::PREFIX)?;
                let ulid = Ulid::from_string(text).ok()?;
                let mut canonical = [0; ulid::ULID_LEN];
                (ulid.array_to_str(&mut canonical) == text).then_some(Self(ulid))
            }

            /// Returns the value of the database's column.
            pub fn uuid(self) -> Uuid {
                Uuid::from_u128(self.0.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(column: Uuid) -> Self {
                Self(Ulid(column.as_u128()))
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Self::parse(text).ok_or(NotAnId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| de::Error::custom(NotAnId))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if Self::PREFIX.is_empty() {
                    let mut text = [0; ulid::ULID_LEN];
                    return serializer.serialize_str(self.0.array_to_str(&mut text));
                }
                serializer.collect_str(self)
            }
        }
    };
}

ulid_id! {
    /// The identifier of an order: 26 characters.
    OrderId
}
impl OrderId {
    /// Returns the smallest identifier with a time. Those of earlier times are smaller.
    pub(crate) fn first_at(time: DateTime<Utc>) -> Self {
        let milliseconds = u64::try_from(time.timestamp_millis()).unwrap_or_default();
        Self(Ulid::from_parts(milliseconds, 0))
    }
}
ulid_id! {
    /// The identifier of an event: `evt_` and 26 characters.
    EventId "evt_"
}
ulid_id! {
    /// The identifier of a partner.
    PartnerId
}
ulid_id! {
    /// The internal identifier of an API key; partners identify a key by its prefix.
    KeyId
}
ulid_id! {
    /// The identifier of an operator.
    OperatorId
}

/// The caller in whose scope an idempotency key is unique: a partner or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyScope(Uuid);

impl KeyScope {
    /// Returns the value of the database's column.
    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<PartnerId> for KeyScope {
    fn from(partner: PartnerId) -> Self {
        Self(partner.uuid())
    }
}

impl From<OperatorId> for KeyScope {
    fn from(operator: OperatorId) -> Self {
        Self(operator.uuid())
    }
}

/// The identifier of a vehicle: opaque text from its source, 1 to 64 characters of `A-Za-z0-9_-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VehicleId(String);

impl VehicleId {
    /// Parses an identifier; `None` for text that cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let fits = (1..=64).contains(&text.len()) && text != "facets" && text.bytes().all(known);
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns the text of the identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VehicleId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::parse(text).ok_or(NotAnId)
    }
}

impl fmt::Display for VehicleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identifier of a request: `req_` and 24 hexadecimal digits, never taken from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 12]);

impl RequestId {
    /// Returns a random identifier.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Parses the identifier; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let number = parse_hex(text.strip_prefix("req_")?, 24)?;
        let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
        Some(Self(bytes))
    }

    /// Returns the identifier in its binary form.
    pub fn to_bytes(self) -> [u8; 12] {
        self.0
    }
}

impl FromStr for RequestId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::parse(text).ok_or(NotAnId)
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<[u8; 12]> for RequestId {
    fn from(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self
            .0
            .iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte));
        write!(f, "req_{number:024x}")
    }
}

/// The identifier of a trace: 32 hexadecimal digits, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// Returns a random identifier, for a trace that begins here.
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1))
    }

    /// Parses 32 lower-case hexadecimal digits; `None` for any other text, and for zero.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text, 32).map(Self)
    }

    /// Returns the identifier in its binary form.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Returns a random number derived from the identifier, for the sampling decision.
    pub fn chance(self) -> u32 {
        // The last digits of a trace id are its random part.
        u32::try_from(self.0 & u128::from(u32::MAX)).unwrap_or_default()
    }
}

/// Parses a number of so many lower-case hexadecimal digits; `None` for any other text, and for zero.
fn parse_hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = text.len() == digits && text.bytes().all(is_digit);
    let number = fits
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()?;
    (number != 0).then_some(number)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The identifier of a span in a trace: 16 hexadecimal digits, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl SpanId {
    /// Returns a random identifier, for a span of this service.
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }

    /// Parses 16 lower-case hexadecimal digits; `None` for any other text, and for zero.
    pub fn parse(text: &str) -> Option<Self> {
        u64::try_from(parse_hex(text, 16)?).ok().map(Self)
    }

    /// Returns the identifier in its binary form.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_id_has_one_spelling() {
        let id = OrderId::new(DateTime::UNIX_EPOCH);
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(OrderId::parse(&text), Some(id));
        assert_eq!(OrderId::from(id.uuid()), id);
        assert_eq!(OrderId::parse("01d39zy06fgsctvn4t2v9pkhfz"), None);
        assert_eq!(OrderId::parse("01D39ZY06FGSCTVN4T2V9PKHFO"), None);
        assert_eq!(OrderId::parse("ZZZZZZZZZZZZZZZZZZZZZZZZZZ"), None);
        assert_eq!(OrderId::parse(""), None);
    }

    #[test]
    fn vehicle_id_keeps_the_text_of_its_source() {
        for id in ["glovis_20260420_1064_2345", "encar_38219442", "a", "-"] {
            assert_eq!(VehicleId::parse(id).unwrap().as_str(), id);
        }
        for text in ["", "facets", "a b", "a\0", "차", "a.b", &"x".repeat(65)] {
            assert_eq!(VehicleId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn request_id_has_24_hexadecimal_digits() {
        let text = RequestId::random().to_string();
        let digits = text.strip_prefix("req_").unwrap();
        assert_eq!(digits.len(), 24);
        assert!(
            digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
        let parsed = RequestId::parse(&text).unwrap();
        assert_eq!(parsed.to_string(), text);
        for text in [
            "",
            "req_",
            "req_5F3A9C0E1B7D42A8C6E04F19",
            &text[4..],
            &format!("{text}0"),
        ] {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
    }
}
