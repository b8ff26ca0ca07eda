//! How a delivery proves that it is LMN's: two families of headers, made with one secret. Pure but for a new secret.
//!
//! LMN's own keys the HMAC with the secret's text as it is given; Standard Webhooks decodes it first. While a secret is
//! being replaced, both sign.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::id::EventId;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Random bytes of a secret.
const RANDOM_BYTES: usize = 32;

/// The name of an event.
pub const EVENT_ID: &str = "x-lmn-event-id";
/// When it was signed, in unix seconds.
pub const TIMESTAMP: &str = "x-lmn-timestamp";
/// The time again, and a signature of each secret.
pub const SIGNATURE: &str = "x-lmn-signature";

/// A secret that deliveries are signed with. It never prints.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Makes a secret. Beside keys and ids, this is the third place of randomness.
    pub(crate) fn random() -> Self {
        let random = STANDARD.encode(rand::random::<[u8; RANDOM_BYTES]>());
        Self(format!("{PREFIX}{random}").into())
    }

    /// Takes a text that is one: `whsec_` and the base64 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (bytes.len() == RANDOM_BYTES).then(|| Self(text.into()))
    }

    /// Shows it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Signs with the text as it is: `<timestamp>.<body>`, in hexadecimal.
    fn sign_plain(&self, timestamp: i64, body: &[u8]) -> String {
        let mac = mac(
            self.expose().as_bytes(),
            &[format!("{timestamp}.").as_bytes(), body],
        );
        mac.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a text cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Signs with the bytes that the text encodes: `<id>.<timestamp>.<body>`, in base64.
    fn sign_standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let key = self.expose().strip_prefix(PREFIX).unwrap_or_default();
        // A secret decodes, or it would not be one.
        let key = STANDARD.decode(key).unwrap_or_default();
        STANDARD.encode(mac(&key, &[format!("{id}.{timestamp}.").as_bytes(), body]))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length, so there is always one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Returns the headers that prove a delivery, signed now with each of the secrets, the present one first.
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

    /// The values were computed with another implementation (Python's `hmac`).
    #[test]
    fn both_schemes_sign_as_others_do() {
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
    fn while_a_secret_is_replaced_both_sign() {
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
    fn a_secret_has_one_form_and_never_prints() {
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
