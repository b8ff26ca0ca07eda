//! Idempotency keys with their requests, and the fingerprints by which requests are compared. Pure.

use std::fmt::Write;

use hyper::{Method, Uri};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant, Version};

use crate::values::id::PartnerId;

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

/// An idempotency key, with its partner and its request.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// The partner that sent the key.
    pub partner: PartnerId,
    /// The key.
    pub key: Uuid,
    /// The fingerprint of the request.
    pub fingerprint: Fingerprint,
}

/// The digests of the parts of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; PARTS.len() * PART_BYTES]);

impl Fingerprint {
    /// Returns the fingerprint of a request. `named` are the members of its body that are parts of their own.
    ///
    /// The body is compared as JSON values; a missing member differs from null.
    pub(crate) fn of(
        method: &Method,
        uri: &Uri,
        body: &Map<String, Value>,
        named: [&str; 2],
    ) -> Self {
        let mut parameters: Vec<_> = uri
            .query()
            .map(|query| form_urlencoded::parse(query.as_bytes()).collect())
            .unwrap_or_default();
        parameters.sort();
        let [first, second] = named.map(|name| body.get(name).map(Value::to_string));
        let parts = [
            method.as_str(),
            uri.path(),
            &format!("{parameters:?}"),
            &first.unwrap_or_default(),
            &second.unwrap_or_default(),
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
    let mut text = String::from("{");
    for (name, value) in body
        .iter()
        .filter(|(name, _)| !named.contains(&name.as_str()))
    {
        if text.len() > 1 {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{}:{value}", Value::from(name.as_str()));
    }
    text.push('}');
    text
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
