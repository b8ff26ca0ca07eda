//! The verification of deliveries by a library for Standard Webhooks.

use axum::http::HeaderMap;
use standardwebhooks::Webhook;

/// Returns whether a delivery is LMN's: it is signed with the secret, at most five minutes ago.
pub(crate) fn is_from_lmn(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    Webhook::new(secret).is_ok_and(|it| it.verify(body, headers).is_ok())
}
