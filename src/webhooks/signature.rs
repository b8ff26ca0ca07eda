//! The signatures of deliveries: LMN's headers and those of Standard Webhooks, from one secret.
//!
//! LMN's signature uses the text of the secret as the HMAC key; Standard Webhooks decodes it first. While a secret is
//! being replaced, the old and the new one both sign. Pure, except for the randomness of a new secret.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::values::id::EventId;

/// The prefix of every secret.
const PREFIX: &str = "whsec_";
/// The number of random bytes in a secret.
const RANDOM_BYTES: usize = 32;

/// The header with the id of the event.
pub const EVENT_ID: &str = "x-lmn-event-id";
/// The header with the time of signing, in Unix seconds.
pub const TIMESTAMP: &str = "x-lmn-timestamp";
/// The header with the time of signing and one signature per secret.
pub const SIGNATURE: &str = "x-lmn-signature";

/// A secret that signs deliveries. Its debug output is redacted.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Generates a secret from random bytes.
    pub(crate) fn random() -> Self {
        let random = STANDARD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        Self(format!("{PREFIX}{random}").into())
    }

    /// Parses a secret: `whsec_` followed by the base64 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (bytes.len() == RANDOM_BYTES).then(|| Self(text.into()))
    }

    /// Returns the text of the secret.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Signs `<timestamp>.<body>` with the text of the secret, in hexadecimal.
    fn sign_plain(&self, timestamp: i64, body: &[u8]) -> String {
        let mac = mac(
            self.expose().as_bytes(),
            &[format!("{timestamp}.").as_bytes(), body],
        );
        mac.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Signs `<id>.<timestamp>.<body>` with the bytes that the secret encodes, in base64.
    fn sign_standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let key = self.expose().strip_prefix(PREFIX).unwrap_or_default();
        // A secret always decodes: `parse` checks it and `random` encodes it.
        let key = STANDARD.decode(key).unwrap_or_default();
        STANDARD.encode(mac(&key, &[format!("{id}.{timestamp}.").as_bytes(), body]))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC accepts keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Returns the signature headers of a delivery, signed at `now` with each of the secrets, the current one first.
pub fn headers(
    id: EventId,
    now: DateTime<Utc>,
    body: &[u8],
    secrets: &[Secret],
) -> [(&'static str, String); 6] {
    let (id, timestamp) = (id.to_string(), now.timestamp());
    let plain = secrets.iter().map(|it| it.sign_plain(timestamp, body));
    let plain: String = plain.map(|it| format!(",v1={it}")).collect();
    let standard = secrets
        .iter()
        .map(|it| it.sign_standard(&id, timestamp, body));
    let standard: Vec<_> = standard.map(|it| format!("v1,{it}")).collect();
    [
        (EVENT_ID, id.clone()),
        (TIMESTAMP, timestamp.to_string()),
        (SIGNATURE, format!("t={timestamp}{plain}")),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", standard.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(headers: &'a [(&str, String)], name: &str) -> &'a str {
        &headers.iter().find(|it| it.0 == name).unwrap().1
    }

    /// The expected values were computed with another implementation (Python's `hmac`).
    #[test]
    fn both_schemes_match_another_implementation() {
        let text = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let secret = Secret::parse(text).unwrap();
        let id = EventId::parse("evt_01KNVD7K402JY0W9P0X3A6T4QB").unwrap();
        let now = DateTime::from_timestamp(1_775_800_800, 0).unwrap();
        let headers = headers(id, now, br#"{"a":1}"#, &[secret]);
        assert_eq!(
            header(&headers, "webhook-id"),
            "evt_01KNVD7K402JY0W9P0X3A6T4QB"
        );
        assert_eq!(header(&headers, TIMESTAMP), "1775800800");
        assert_eq!(
            header(&headers, SIGNATURE),
            "t=1775800800,v1=5881c3d8b23866939528f1ac3ac89bba68e1b4327d608bacd825028efc45bd78"
        );
        assert_eq!(
            header(&headers, "webhook-signature"),
            "v1,dcOTMqJBNWlalRdlCW3V2mSA/vY0DP8e40KFt1LxkLg="
        );
    }

    #[test]
    fn old_and_new_secret_both_sign_during_a_rotation() {
        let secrets = [Secret::random(), Secret::random()];
        let id = EventId::new(DateTime::UNIX_EPOCH);
        let both = headers(id, DateTime::UNIX_EPOCH, b"{}", &secrets);
        let new = headers(id, DateTime::UNIX_EPOCH, b"{}", &secrets[..1]);
        let old = headers(id, DateTime::UNIX_EPOCH, b"{}", &secrets[1..]);
        let old_alone = header(&old, SIGNATURE).strip_prefix("t=0").unwrap();
        assert_eq!(
            header(&both, SIGNATURE),
            format!("{}{old_alone}", header(&new, SIGNATURE))
        );
        assert_eq!(
            header(&both, "webhook-signature"),
            format!(
                "{} {}",
                header(&new, "webhook-signature"),
                header(&old, "webhook-signature")
            )
        );
    }

    #[test]
    fn secret_has_one_form_and_redacts_its_debug_output() {
        let secret = Secret::random();
        assert!(Secret::parse(secret.expose()).is_some());
        assert!(!format!("{secret:?}").contains(secret.expose()));
        for text in [
            "",
            "whsec_",
            "whsec_AAEC",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ] {
            assert!(Secret::parse(text).is_none(), "{text}");
        }
    }
}
