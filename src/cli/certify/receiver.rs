//! Steps of `lmn certify` that send deliveries to the webhook endpoint directly: forged, stale and repeated ones.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::Method;
use serde_json::json;
use url::Url;

use super::{
    api::Api,
    http::{Call, Client, NoResponse},
    report::{Flaw, Verdict},
};
use crate::{
    values::{id::EventId, timestamp::Timestamp},
    webhooks::signature::{self, Secret},
};

/// The age of a stale delivery, in minutes. Receivers refuse what is older than five.
const STALE_MINUTES: i64 = 10;

/// The receiver behind the webhook endpoint.
pub(super) struct Receiver<'a> {
    api: &'a Api<'a>,
    client: &'a Client,
    url: Url,
}

/// A delivery that LMN has not sent.
pub(super) struct Delivery {
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Delivery {
    /// Makes a delivery of a test event, signed at `now` with each of the secrets.
    fn new(now: DateTime<Utc>, secrets: &[Secret]) -> Self {
        let id = EventId::new(now);
        let body = json!({
            "id": id,
            "type": "webhook.test",
            "sequence": null,
            "occurred_at": Timestamp::kst(now),
            "data": {"order": null},
        });
        let body = Bytes::from(body.to_string());
        Self {
            headers: signature::headers(id, now, &body, secrets).into(),
            body,
        }
    }

    /// Makes a delivery without the headers of signatures.
    fn unsigned(now: DateTime<Utc>) -> Self {
        let Self { mut headers, body } = Self::new(now, &[]);
        headers.retain(|(name, _)| !name.ends_with("signature"));
        Self { headers, body }
    }

    /// Makes a delivery with the same headers and another body.
    fn with_body(&self, body: &'static str) -> Self {
        Self {
            headers: self.headers.clone(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }
}

impl<'a> Receiver<'a> {
    /// Returns the receiver at the URL of the endpoint.
    pub(super) fn new(api: &'a Api<'a>, client: &'a Client, url: Url) -> Self {
        Self { api, client, url }
    }

    /// Checks that the receiver refuses deliveries that are not signed with its secret.
    pub(super) async fn forgery(&self) -> Verdict {
        let now = self.api.clock().await?.real_now;
        let forged = [
            ("without a signature", Delivery::unsigned(now)),
            ("with empty signatures", Delivery::new(now, &[])),
            (
                "signed with another secret",
                Delivery::new(now, &[Secret::random()]),
            ),
        ];
        let mut statuses = Vec::new();
        for (kind, delivery) in &forged {
            let advice = "verify the signature over the raw body before anything else";
            let name = format!("a forged delivery, {kind},");
            statuses.push(self.refuses(delivery, &name, advice).await?.to_string());
        }
        let statuses = statuses.join(", ");
        Ok((format!("Forged deliveries are refused: {statuses}."), ()))
    }

    /// Checks that the receiver accepts a delivery that is signed with its secret, so that the further steps can be
    /// judged. Finds the delivery.
    pub(super) async fn signed(&self, secret: Option<&Secret>) -> Verdict<Delivery> {
        let secret = secret.ok_or_else(|| {
            let message = "It needs the secret of the webhook endpoint: use --secret.";
            Flaw::Skipped(message.to_owned())
        })?;
        let now = self.api.clock().await?.real_now;
        let delivery = Delivery::new(now, std::slice::from_ref(secret));
        let message = "A delivery signed with the secret is accepted".to_owned();
        match self.send(&delivery).await? {
            status if is_accepted(status) => Ok((format!("{message}: {status}."), delivery)),
            status => Err(Flaw::Failed(format!(
                "A delivery signed with the given secret was answered with {status}; give the endpoint's current \
                 secret, and verify with the whole text, `whsec_` included, or with a library for Standard Webhooks."
            ))),
        }
    }

    /// Checks that the receiver refuses a signed delivery whose body was changed.
    pub(super) async fn tampered(&self, delivery: &Delivery) -> Verdict {
        let tampered = delivery.with_body("{\"id\":\"evt_00000000000000000000000000\"}");
        let advice = "compute the signature over the raw body, and compare the whole of it";
        let status = self
            .refuses(
                &tampered,
                "a changed body under the signature of another",
                advice,
            )
            .await?;
        Ok((format!("A changed body is refused: {status}."), ()))
    }

    /// Checks that the receiver refuses a delivery that was signed some minutes ago.
    pub(super) async fn stale(&self, secret: &Secret) -> Verdict {
        let now = self.api.clock().await?.real_now;
        let then = now - TimeDelta::minutes(STALE_MINUTES);
        let delivery = Delivery::new(then, std::slice::from_ref(secret));
        let name = format!("a delivery that was signed {STALE_MINUTES} minutes ago");
        let advice = "refuse a timestamp that is more than five minutes from your clock, and synchronize that clock";
        let status = self.refuses(&delivery, &name, advice).await?;
        Ok((format!("A stale delivery is refused: {status}."), ()))
    }

    /// Checks that the receiver acknowledges a delivery that it has already accepted.
    pub(super) async fn replay(&self, delivery: &Delivery) -> Verdict {
        match self.send(delivery).await? {
            status if is_accepted(status) => Ok((
                format!("A repeated delivery is acknowledged: {status}."),
                (),
            )),
            status => Err(Flaw::Failed(format!(
                "A delivery that was already accepted was answered with {status} when it was repeated; respond with \
                 2xx to an event that you know, and ignore it."
            ))),
        }
    }

    /// Sends a delivery that must not be accepted, and returns the status.
    async fn refuses(&self, delivery: &Delivery, name: &str, advice: &str) -> Result<u16, Flaw> {
        match self.send(delivery).await? {
            status if is_accepted(status) => Err(Flaw::Failed(format!(
                "The receiver accepts {name} with {status}: {advice}."
            ))),
            status => Ok(status),
        }
    }

    async fn send(&self, delivery: &Delivery) -> Result<u16, Flaw> {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(
            delivery
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let call = Call {
            method: Method::POST,
            url: &self.url,
            headers: &headers,
            body: delivery.body.clone(),
        };
        match self.client.send(&call).await {
            Ok(response) => Ok(response.status),
            Err(unreachable @ NoResponse::Unreachable(_)) => Err(Flaw::Skipped(format!(
                "The endpoint {unreachable}; run this again from where it can be reached."
            ))),
            Err(cause @ (NoResponse::TooLate | NoResponse::Protocol(_))) => {
                Err(Flaw::Failed(format!(
                    "The endpoint {cause}; respond to every delivery at once, also to one that you refuse."
                )))
            }
        }
    }
}

fn is_accepted(status: u16) -> bool {
    (200..300).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_delivery_has_the_other_headers() {
        let delivery = Delivery::unsigned(DateTime::UNIX_EPOCH);
        let names: Vec<_> = delivery.headers.iter().map(|(name, _)| *name).collect();
        let expected = [
            "x-lmn-event-id",
            "x-lmn-timestamp",
            "webhook-id",
            "webhook-timestamp",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn delivery_without_secrets_has_empty_signatures() {
        let delivery = Delivery::new(DateTime::UNIX_EPOCH, &[]);
        let signatures = delivery
            .headers
            .iter()
            .filter(|(name, _)| name.ends_with("signature"));
        let signatures: Vec<_> = signatures.map(|(_, value)| value.as_str()).collect();
        assert_eq!(signatures, ["t=0", ""]);
    }
}
