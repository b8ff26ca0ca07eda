//! A client that loses nothing and does nothing twice.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, header::HeaderMap, redirect::Policy};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use crate::{
    journal::Intention,
    retry::{Failure, Patience, Refusal},
};

/// How often a secret is asked for anew whose showing was lost.
const SECRETS_MAX: usize = 5;

/// LMN, as a partner calls it.
pub(crate) struct Client {
    http: reqwest::Client,
    api: String,
    key: String,
    patience: Patience,
}

impl Client {
    /// Makes one that goes where it is told and nowhere else: LMN never redirects, and the key is for nobody else.
    pub(crate) fn new(api: &str, key: &str, patience: Patience) -> reqwest::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .redirect(Policy::none())
                .build()?,
            api: api.trim_end_matches('/').to_owned(),
            key: key.trim().to_owned(),
            patience,
        })
    }

    /// Asks until there is an answer that will not change, or no time is left. Every attempt has the same key.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let begun = Instant::now();
        for nth in 1.. {
            // An attempt has what is left of all the time, at most.
            let left = self.patience.total.saturating_sub(begun.elapsed());
            let timeout = self.patience.attempt.min(left);
            let request = self.request(&method, path, body, key).timeout(timeout);
            let failure = match attempt(request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = self
                .patience
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

    /// Returns the cars that fit a query, page by page, each once.
    pub(crate) fn cars<'a>(&'a self, query: &'a str) -> Cars<'a> {
        Cars {
            client: self,
            query,
            page: VecDeque::new(),
            cursor: None,
            is_last: false,
            given: HashSet::new(),
        }
    }

    /// Places an order. If no answer came in all that time, what the key did is looked up.
    pub(crate) async fn place(&self, wish: &Intention) -> Result<Value, Failure> {
        let body = json!({
            "vehicle_id": wish.vehicle_id,
            "max_bid_amount_usd": wish.max_bid_amount_usd,
        });
        let key = Some(wish.key.as_str());
        let told = self.ask(Method::POST, "/v1/orders", Some(&body), key).await;
        let failure = match told.and_then(|it| order_of(wish, it)) {
            Ok(order) => return Ok(order),
            Err(failure) if !failure.may_pass() => return Err(failure),
            Err(failure) => failure,
        };
        println!("unclear   {}: {failure}; looking it up", wish.vehicle_id);
        let path = format!("/v1/orders?idempotency_key={}", wish.key);
        let found = self.ask(Method::GET, &path, None, None).await?;
        // None yet is not never: the request may still be on its way. Its key stays in the journal and is sent again.
        let order = found["data"].get(0).cloned();
        order.map_or(Err(failure), |it| order_of(wish, it))
    }

    /// Makes `url` the endpoint that events are sent to, and returns the secret that signs them.
    ///
    /// A real partner keeps the secret; this one lets another take its place at every start. It is shown once: where
    /// that answer was lost, the replay hides it, and only a new one helps.
    pub(crate) async fn introduce(&self, url: &str) -> Result<String, Failure> {
        let path = "/v1/webhook_endpoint";
        let body = json!({"url": url});
        let mut endpoint = self.ask(Method::PUT, path, Some(&body), None).await?;
        for _ in 0..SECRETS_MAX {
            if let Some(secret) = endpoint["secret"].as_str() {
                return Ok(secret.to_owned());
            }
            let (path, key) = (format!("{path}/rotate_secret"), Uuid::new_v4().to_string());
            endpoint = self
                .ask(Method::POST, &path, Some(&json!({})), Some(&key))
                .await?;
        }
        Err(Failure::Lost("no secret was ever shown".to_owned()))
    }
}

/// Asks once.
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
    // Whoever stands between may give an answer of its own, or send us elsewhere.
    match body {
        Some(body) if status.is_success() && is_lmns(&headers) => Ok(body),
        _ => Err(Failure::Lost(format!("a {status} that is not LMN's"))),
    }
}

/// Says whether an answer names its request as LMN does.
fn is_lmns(headers: &HeaderMap) -> bool {
    let id = headers.get("x-request-id").and_then(|it| it.to_str().ok());
    let digits = id.and_then(|it| it.strip_prefix("req_"));
    digits.is_some_and(|it| {
        it.len() == 24 && it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Takes an answer for the order that was meant only if it is that.
fn order_of(wish: &Intention, answer: Value) -> Result<Value, Failure> {
    let is_it = answer["id"].is_string() && answer["vehicle_id"] == wish.vehicle_id.as_str();
    is_it
        .then_some(answer)
        .ok_or_else(|| Failure::Lost("an answer that is not this order".to_owned()))
}

/// Cars, one after the other.
pub(crate) struct Cars<'a> {
    client: &'a Client,
    query: &'a str,
    page: VecDeque<Value>,
    cursor: Option<String>,
    is_last: bool,
    given: HashSet<String>,
}

impl Cars<'_> {
    /// Returns the next one; nothing behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(car) = self.page.pop_front() {
                if self.given.insert(car["id"].to_string()) {
                    return Ok(Some(car));
                }
            }
            if self.is_last {
                return Ok(None);
            }
            self.turn().await?;
        }
    }

    /// Reads the next page. It may be short, even empty: only a cursor that is null says that it is the last.
    async fn turn(&mut self) -> Result<(), Failure> {
        let mut path = format!("/v1/vehicles?{}", self.query);
        if let Some(cursor) = &self.cursor {
            path.push_str("&cursor=");
            path.extend(byte_serialize(cursor.as_bytes()));
        }
        let list = match self.client.ask(Method::GET, &path, None, None).await {
            // The class `restart_pagination`: from the first page, and what was given is not given again.
            Err(failure) if failure.is("invalid_cursor") && self.cursor.is_some() => {
                self.cursor = None;
                return Ok(());
            }
            list => list?,
        };
        self.page = list["data"].as_array().cloned().unwrap_or_default().into();
        self.cursor = list["next_cursor"].as_str().map(str::to_owned);
        self.is_last = self.cursor.is_none();
        Ok(())
    }
}

/// Reads an error; an answer that is not LMN's has no code.
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
