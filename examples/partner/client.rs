//! A client that loses no order and places none twice.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, header::HeaderMap, redirect::Policy};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    journal::PlannedOrder,
    retry::{Failure, Refusal, RetryPolicy},
    rows::Rows,
};

/// Largest number of rotations to get a secret whose response was lost.
const ROTATIONS_MAX: usize = 5;

/// A client of LMN's API.
pub(crate) struct Client {
    http: reqwest::Client,
    api: String,
    key: String,
    policy: RetryPolicy,
}

impl Client {
    /// Makes a client that follows no redirects: LMN never redirects, and the API key must not reach another server.
    pub(crate) fn new(api: &str, key: &str, policy: RetryPolicy) -> reqwest::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .redirect(Policy::none())
                .build()?,
            api: api.trim_end_matches('/').to_owned(),
            key: key.trim().to_owned(),
            policy,
        })
    }

    /// Sends a request until its response is final or no time is left. Every attempt has the same key.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let begun = Instant::now();
        for nth in 1.. {
            // An attempt takes at most what is left of the total time.
            let left = self.policy.total.saturating_sub(begun.elapsed());
            let timeout = self.policy.attempt.min(left);
            let request = self.request(&method, path, body, key).timeout(timeout);
            let failure = match attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = self
                .policy
                .pause(&failure, nth, begun.elapsed(), rand::random());
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
        Err(Failure::Lost("nothing was tried".to_owned()))
    }

    /// Makes the request of an attempt.
    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> RequestBuilder {
        let url = format!("{}{path}", self.api);
        let mut request = self.http.request(method.clone(), url);
        request = request.header("x-api-key", &self.key);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            let json = "application/json";
            request = request.header("content-type", json).body(body.to_string());
        }
        request
    }

    /// Returns the vehicles that match a query.
    pub(crate) fn vehicles<'a>(&'a self, query: &'a str) -> Rows<'a> {
        Rows::new(self, "/v1/vehicles", query)
    }

    /// Returns the orders that match a query.
    pub(crate) fn orders<'a>(&'a self, query: &'a str) -> Rows<'a> {
        Rows::new(self, "/v1/orders", query)
    }

    /// Returns events: newest first, or with `after=evt_…` in the query those after an event, oldest first.
    pub(crate) fn events<'a>(&'a self, query: &'a str) -> Rows<'a> {
        Rows::new(self, "/v1/events", query)
    }

    /// Places an order. If no final response came in time, looks up the order by its idempotency key.
    pub(crate) async fn place(&self, planned: &PlannedOrder) -> Result<Value, Failure> {
        let body = json!({
            "vehicle_id": planned.vehicle_id,
            "max_bid_amount_usd": planned.max_bid_amount_usd,
        });
        let key = Some(planned.key.as_str());
        let placed = self.ask(Method::POST, "/v1/orders", Some(&body), key).await;
        let failure = match placed.and_then(|it| order_of(planned, it)) {
            Ok(order) => return Ok(order),
            Err(failure) if !failure.is_retryable() => return Err(failure),
            Err(failure) => failure,
        };
        println!("unclear   {}: {failure}; looking it up", planned.vehicle_id);
        let path = format!("/v1/orders?idempotency_key={}", planned.key);
        let found = self.ask(Method::GET, &path, None, None).await?;
        // An order that is not found may still be placed by a request on its way, so the key stays in the journal and
        // is sent again later.
        let order = found["data"].get(0).cloned();
        order.map_or(Err(failure), |it| order_of(planned, it))
    }

    /// Makes `url` the webhook endpoint; returns the secret that signs its events.
    ///
    /// A real partner stores the secret; this example rotates it at every start. The secret is shown once: if that
    /// response was lost, the replay hides the secret, and only another rotation shows one.
    pub(crate) async fn register_endpoint(&self, url: &str) -> Result<String, Failure> {
        let path = "/v1/webhook_endpoint";
        let body = json!({"url": url});
        let mut endpoint = self.ask(Method::PUT, path, Some(&body), None).await?;
        for _ in 0..ROTATIONS_MAX {
            if let Some(secret) = endpoint["secret"].as_str() {
                return Ok(secret.to_owned());
            }
            let (path, key) = (format!("{path}/rotate_secret"), Uuid::new_v4().to_string());
            endpoint = self
                .ask(Method::POST, &path, Some(&json!({})), Some(&key))
                .await?;
        }
        Err(Failure::Lost("no response showed a secret".to_owned()))
    }
}

/// Sends one attempt of a request.
async fn attempt(request: RequestBuilder) -> Result<Value, Failure> {
    let lost = |error: reqwest::Error| Failure::Lost(error.to_string());
    let answer = request.send().await.map_err(lost)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = answer.bytes().await.map_err(lost)?;
    let body = serde_json::from_slice::<Value>(&bytes).ok();
    if status.is_client_error() || status.is_server_error() {
        let body = body.unwrap_or_default();
        return Err(Failure::Refused(refusal(status.as_u16(), &headers, &body)));
    }
    // A proxy in between may send a response or a redirect of its own.
    match body {
        Some(body) if status.is_success() && is_lmns(&headers) => Ok(body),
        _ => Err(Failure::Lost(format!("a {status} that is not LMN's"))),
    }
}

/// Returns whether a response has a request id in LMN's form.
fn is_lmns(headers: &HeaderMap) -> bool {
    let id = headers.get("x-request-id").and_then(|it| it.to_str().ok());
    let digits = id.and_then(|it| it.strip_prefix("req_"));
    digits.is_some_and(|it| {
        it.len() == 24 && it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Returns a response if it is the planned order.
fn order_of(planned: &PlannedOrder, answer: Value) -> Result<Value, Failure> {
    let is_it = answer["id"].is_string() && answer["vehicle_id"] == planned.vehicle_id.as_str();
    is_it
        .then_some(answer)
        .ok_or_else(|| Failure::Lost("a response that is not this order".to_owned()))
}

/// Reads an error; a response that is not LMN's has no code.
fn refusal(status: u16, headers: &HeaderMap, body: &Value) -> Refusal {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    let seconds = header("retry-after").and_then(|it| it.parse().ok());
    Refusal {
        status,
        code: text("code"),
        message: text("message"),
        details: body["error"]["details"].clone(),
        should_retry: header("lmn-should-retry").map(|it| it == "true"),
        retry_after: seconds.map(Duration::from_secs),
    }
}
