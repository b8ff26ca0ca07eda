//! Secrets by which callers authenticate: a prefix with their kind, and 28 random characters. Only their digests are
//! stored.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// The number of random bytes, which are 28 characters of base64.
const RANDOM_BYTES: usize = 21;
/// The length of the part after the prefix, in characters.
const RANDOM_CHARACTERS: usize = 28;

/// The SHA-256 of a secret, which is stored in its place.
pub(crate) type SecretDigest = [u8; 32];

/// Generates a random secret with a prefix.
pub(crate) fn random(prefix: &str) -> SecretString {
    let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>());
    format!("{prefix}{random}").into()
}

/// Returns whether a text has the form of a secret with this prefix.
pub(crate) fn has_form(text: &str, prefix: &str) -> bool {
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.strip_prefix(prefix)
        .is_some_and(|it| it.len() == RANDOM_CHARACTERS && it.bytes().all(url_safe))
}

/// Returns the digest of a secret.
pub(crate) fn digest(secret: &str) -> SecretDigest {
    Sha256::digest(secret.as_bytes()).into()
}
