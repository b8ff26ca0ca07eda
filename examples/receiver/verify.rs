//! The verification of deliveries by a receiver.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The maximum age of a delivery, in seconds.
const AGE_MAX: u64 = 300;

/// Returns whether a delivery is LMN's: `signature` is its `X-LMN-Signature`, `now` the Unix time in seconds.
pub(crate) fn is_from_lmn(secret: &str, signature: &str, body: &[u8], now: i64) -> bool {
    let mut parts = signature.split(',').filter_map(|part| part.split_once('='));
    let Some(("t", time)) = parts.next() else {
        return false;
    };
    let is_recent = |it: i64| now.abs_diff(it) <= AGE_MAX;
    if !time.parse().is_ok_and(is_recent) {
        return false;
    }
    // While a secret is being replaced there are two signatures; one that fits is enough.
    parts.any(|(scheme, hex)| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
            return false;
        };
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        // Compares in constant time.
        scheme == "v1" && bytes(hex).is_some_and(|it| mac.verify_slice(&it).is_ok())
    })
}

/// Reads hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect()
}
