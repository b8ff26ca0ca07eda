//! Idempotency keys with their requests, and the fingerprints by which requests are compared. Pure.

use std::fmt::Write;

use hyper::{Method, Uri};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant, Version};

use crate::{
    errors::Issue,
    values::{id::KeyScope, query},
};

/// The header that carries the key.
pub(crate) const HEADER: &str = "idempotency-key";

/// Bytes stored of each part's digest. At 128 bits, a collision takes about 2^64 different parts.
const PART_BYTES: usize = 16;

/// The parts of a request that must all be equal, by their names in `details.mismatch`.
const PARTS: [&str; 6] = [
    "method",
    "path",
    "query",
    "vehicle_id",
    "max_bid_amount_usd",
    "body",
];

/// Parses a key: a UUID v4 of 36 characters, in any case.
pub(crate) fn read_key(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let fits = text.len() == 36
        && uuid.get_version() == Some(Version::Random)
        && uuid.get_variant() == Variant::RFC4122;
    fits.then_some(uuid)
}

/// An idempotency key, with its caller and its request.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The partner or the operator that sent the key.
    pub scope: KeyScope,
    /// The key.
    pub key: Uuid,
    /// The fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// The issue with the request's `X-User-Id`, for which it is refused even if its key was used before.
    pub user_issue: Option<Issue>,
}

/// The digests of the parts of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; PARTS.len() * PART_BYTES]);

impl Fingerprint {
    /// Returns the fingerprint of a request. `named` are the members of its body that are parts of their own.
    ///
    /// The body is compared as JSON values: `1`, `1.0` and `1e0` are one number; a missing member differs from null.
    /// The query is compared byte by byte after decoding, because it may not be UTF-8.
    pub(crate) fn of(
        method: &Method,
        uri: &Uri,
        body: &Map<String, Value>,
        named: [&str; 2],
    ) -> Self {
        let mut parameters: Vec<_> = query::parameters(uri.query().unwrap_or_default()).collect();
        parameters.sort_by(|(name, value), (other_name, other_value)| {
            (name.bytes(), value.bytes()).cmp(&(other_name.bytes(), other_value.bytes()))
        });
        let [first, second] = named.map(|name| body.get(name).map(canonical).unwrap_or_default());
        let parts = [
            method.as_str(),
            uri.path(),
            &format!("{parameters:?}"),
            &first,
            &second,
            &others(body, named),
        ];
        let mut bytes = [0; PARTS.len() * PART_BYTES];
        for (place, part) in bytes.chunks_exact_mut(PART_BYTES).zip(parts) {
            let digest = Sha256::digest(part.as_bytes());
            place
                .iter_mut()
                .zip(digest)
                .for_each(|(to, from)| *to = from);
        }
        Self(bytes)
    }

    /// Reads a stored fingerprint. Returns `None` if its length is wrong.
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes to store.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the names of the parts in which two requests differ.
    pub(crate) fn mismatch(&self, other: &Self) -> Vec<&'static str> {
        let parts = self.0.chunks(PART_BYTES).zip(other.0.chunks(PART_BYTES));
        PARTS
            .iter()
            .zip(parts)
            .filter(|(_, (one, two))| one != two)
            .map(|(name, _)| *name)
            .collect()
    }
}

/// Returns the members of a body that are not parts of their own, as one JSON object.
fn others(body: &Map<String, Value>, named: [&str; 2]) -> String {
    let mut text = String::new();
    let others = body
        .iter()
        .filter(|(name, _)| !named.contains(&name.as_str()));
    write_members(&mut text, others);
    text
}

/// Returns a value as JSON in which equal numbers are written in one way.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Object(members) => write_members(text, members.iter()),
        Value::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Number(number) => {
            // Writing to a string cannot fail.
            let _ = match whole(number) {
                Some(whole) => write!(text, "{whole}"),
                None => write!(text, "{number}"),
            };
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

fn write_members<'a>(text: &mut String, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    text.push('{');
    for (n, (name, value)) in members.enumerate() {
        if n > 0 {
            text.push(',');
        }
        let _ = write!(text, "{}:", Value::from(name.as_str()));
        write_value(text, value);
    }
    text.push('}');
}

/// Returns the integer that a number written with a fraction or an exponent is equal to, if it is within the range in
/// which JSON integers are read as integers.
fn whole(number: &Number) -> Option<i128> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    let range = i64::MIN as f64..u64::MAX as f64;
    (float.fract() == 0.0 && range.contains(&float)).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(method: &str, path: &str, query: &str, body: &Value) -> Fingerprint {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = format!("{path}?{query}").parse().unwrap();
        let named = ["vehicle_id", "max_bid_amount_usd"];
        Fingerprint::of(&method, &uri, body.as_object().unwrap(), named)
    }

    #[test]
    fn key_is_a_uuid_v4_in_36_characters_of_any_case() {
        let key = read_key("9B2E4C1A-7D3F-4A5B-8C6D-0E1F2A3B4C5D");
        assert!(key.is_some());
        assert_eq!(key, read_key("9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5d"));
        for text in [
            "",
            "9b2e4c1a7d3f4a5b8c6d0e1f2a3b4c5d",
            "{9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5d}",
            "urn:uuid:9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5d",
            "9b2e4c1a-7d3f-1a5b-8c6d-0e1f2a3b4c5d",
            "9b2e4c1a-7d3f-7a5b-8c6d-0e1f2a3b4c5d",
            "00000000-0000-0000-0000-000000000000",
            "9b2e4c1a-7d3f-4a5b-0c6d-0e1f2a3b4c5d",
            "9b2e4c1a-7d3f-4a5b-fc6d-0e1f2a3b4c5d",
            "9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5g",
        ] {
            assert_eq!(read_key(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn texts_that_resemble_a_key_are_read_only_in_the_exact_form(
            text in "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[1-8][0-9a-f]{3}-?[0-9A-F][0-9a-f]{3}-[0-9a-fg]{12}|\\PC{36}"
        ) {
            let bytes = text.as_bytes();
            let fits = bytes.len() == 36
                && bytes.iter().enumerate().all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => *byte == b'-',
                    14 => *byte == b'4',
                    19 => b"89abAB".contains(byte),
                    _ => byte.is_ascii_hexdigit(),
                });
            let key = read_key(&text);
            proptest::prop_assert_eq!(key.is_some(), fits, "{}", text);
            let same = key.is_none_or(|it| it.to_string() == text.to_ascii_lowercase());
            proptest::prop_assert!(same);
        }
    }

    #[test]
    fn equal_requests_have_equal_fingerprints() {
        let one: Value =
            serde_json::from_str(r#"{"vehicle_id":"a","max_bid_amount_usd":1,"x":{"a":1,"b":2}}"#)
                .unwrap();
        let two: Value = serde_json::from_str(
            r#" {"x":{"b":2,"a":1}, "max_bid_amount_usd":1,"vehicle_id":"\u0061"}"#,
        )
        .unwrap();
        let (one, two) = (
            of("POST", "/v1/orders", "a=1&b=%20", &one),
            of("POST", "/v1/orders", "b=+&a=1", &two),
        );
        assert_eq!(one.mismatch(&two), [""; 0]);
        assert_eq!(Fingerprint::stored(one.as_bytes()), Some(two));
    }

    #[test]
    fn numbers_are_compared_by_value_in_every_member() {
        let body = |bid: &str, note: &str| {
            let text = format!(r#"{{"max_bid_amount_usd":{bid},"note":[{{"n":{note}}}]}}"#);
            of("POST", "/", "", &serde_json::from_str(&text).unwrap())
        };
        for (one, other) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("1200", "12e2"),
            ("-5", "-5.00"),
            ("0", "-0"),
            ("0", "-0.0"),
            ("0.5", "5e-1"),
            ("9007199254740992", "9007199254740992.0"),
            ("9223372036854775808", "9.223372036854775808e18"),
            ("1e30", "1000000000000000000000000000000"),
        ] {
            let (one, other) = (body(one, one), body(other, other));
            assert_eq!(one.mismatch(&other), [""; 0]);
        }
        assert_eq!(body("1", "1").mismatch(&body("1", "1.5")), ["body"]);
        assert_eq!(body("1", "1").mismatch(&body("1", "\"1\"")), ["body"]);
        assert_eq!(
            body("1", "1").mismatch(&body("2.0", "1")),
            ["max_bid_amount_usd"]
        );
    }

    #[test]
    fn queries_that_are_not_utf8_are_compared_byte_by_byte() {
        let of_query = |query| of("POST", "/", query, &json!({}));
        let hyundai = of_query("make=%C7%F6%B4%EB");
        assert_eq!(hyundai.mismatch(&of_query("make=%c7%f6%b4%eb")), [""; 0]);
        for other in ["make=%C7%F6%B4%EC", "make=%EF%BF%BD%EF%BF%BD%EF%BF%BD"] {
            assert_eq!(hyundai.mismatch(&of_query(other)), ["query"], "{other}");
        }
    }

    #[test]
    fn mismatch_names_every_part_that_differs() {
        let body = json!({"vehicle_id": "a", "max_bid_amount_usd": 1, "note": "n"});
        let base = of("POST", "/v1/orders", "", &body);
        let with = |name: &str, value: Value| {
            let mut body = body.clone();
            body[name] = value;
            of("POST", "/v1/orders", "", &body)
        };
        let without = |name: &str| {
            let mut body = body.clone();
            body.as_object_mut().unwrap().remove(name);
            of("POST", "/v1/orders", "", &body)
        };
        assert_eq!(
            base.mismatch(&of("DELETE", "/v1/orders", "", &body)),
            ["method"]
        );
        assert_eq!(
            base.mismatch(&of("POST", "/v1/orders/x", "", &body)),
            ["path"]
        );
        assert_eq!(
            base.mismatch(&of("POST", "/v1/orders", "a=1", &body)),
            ["query"]
        );
        assert_eq!(
            base.mismatch(&with("vehicle_id", json!("b"))),
            ["vehicle_id"]
        );
        assert_eq!(
            base.mismatch(&with("max_bid_amount_usd", json!("1"))),
            ["max_bid_amount_usd"]
        );
        assert_eq!(base.mismatch(&with("note", json!("m"))), ["body"]);
        assert_eq!(
            with("max_bid_amount_usd", Value::Null).mismatch(&without("max_bid_amount_usd")),
            ["max_bid_amount_usd"]
        );
        assert_eq!(
            with("note", Value::Null).mismatch(&without("note")),
            ["body"]
        );
    }
}
