//! Calls of the API with the partner's key.

use std::{fmt, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::{HeaderMap, Method, header::RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::sleep;
use url::Url;
use uuid::Uuid;

use super::{
    http::{Call, Client, NoResponse},
    report::Flaw,
};
use crate::values::timestamp::Timestamp;

/// The maximum number of attempts of a call that is refused for now.
const ATTEMPTS_MAX: u32 = 4;
/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The API of a sandbox.
pub(super) struct Api<'a> {
    client: &'a Client,
    url: &'a str,
    key: &'a SecretString,
}

/// The reason why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// There was no response.
    #[error("{call}: the API {cause}.")]
    NoResponse { call: String, cause: NoResponse },
    /// The response is an error, or not LMN's.
    #[error("{call}: {refusal}")]
    Refused { call: String, refusal: Refusal },
}

/// An error response. The code is empty if the response is not LMN's.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status code.
    pub status: u16,
    /// The error code.
    pub code: String,
    /// The error message, one sentence.
    pub message: String,
    retry_after: Option<Duration>,
}

/// The clock of a sandbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// The partner's time, which orders have.
    pub now: DateTime<Utc>,
    /// The real time, which signatures have.
    pub real_now: DateTime<Utc>,
}

impl<'a> Api<'a> {
    /// Returns the API at a base URL.
    pub(super) fn new(client: &'a Client, url: &'a str, key: &'a SecretString) -> Self {
        let url = url.trim_end_matches('/');
        Self { client, url, key }
    }

    /// Reads what the server says about itself, without the key.
    pub(super) async fn index(&self) -> Result<Value, Problem> {
        self.attempt(&Method::GET, "/", &[("accept", "application/json")], None)
            .await
    }

    /// Reads a resource.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.call(&Method::GET, path, None).await
    }

    /// Makes a change, every attempt with the same new idempotency key.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        self.call(&Method::POST, path, Some(body)).await
    }

    /// Reads the clock of the sandbox.
    pub(super) async fn clock(&self) -> Result<Clock, Flaw> {
        let clock = self.get("/v1/sandbox/clock").await?;
        let offset = clock.get("offset_seconds").and_then(Value::as_i64);
        let offset = offset.and_then(TimeDelta::try_seconds);
        let clock = Timestamp::parse(text(&clock, "now"))
            .ok()
            .zip(offset)
            .map(|(now, offset)| (now.instant(), offset));
        let (now, offset) = clock.ok_or_else(|| {
            Flaw::Failed("GET /v1/sandbox/clock: the response has no time.".to_owned())
        })?;
        Ok(Clock {
            now,
            real_now: now - offset,
        })
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Problem> {
        let idempotency_key = Uuid::new_v4().to_string();
        let mut headers = vec![("x-api-key", self.key.expose_secret())];
        if body.is_some() {
            headers.push(("idempotency-key", idempotency_key.as_str()));
            headers.push(("content-type", "application/json"));
        }
        let mut attempt = 1;
        loop {
            let answered = self.attempt(method, path, &headers, body).await;
            match answered.as_ref().err().and_then(Problem::pause) {
                Some(pause) if attempt < ATTEMPTS_MAX => sleep(pause).await,
                _ => return answered,
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Problem> {
        let call = || {
            let path = path.split('?').next().unwrap_or(path);
            format!("{method} {path}")
        };
        let no_response = |cause| Problem::NoResponse {
            call: call(),
            cause,
        };
        let url = Url::parse(&format!("{}{path}", self.url));
        let url = url.map_err(|error| no_response(NoResponse::Protocol(error.to_string())))?;
        let sent = Call {
            method: method.clone(),
            url: &url,
            headers,
            body: body.map_or_else(Bytes::new, |it| it.to_string().into()),
        };
        let response = self.client.send(&sent).await.map_err(no_response)?;
        let body = serde_json::from_slice::<Value>(&response.body).ok();
        match body {
            Some(body) if (200..300).contains(&response.status) => Ok(body),
            body => Err(Problem::Refused {
                call: call(),
                refusal: Refusal::new(response.status, &response.headers, body.as_ref()),
            }),
        }
    }
}

impl Problem {
    /// Returns whether the call was refused with this code.
    pub(super) fn is(&self, code: &str) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.code == code,
            Self::NoResponse { .. } => false,
        }
    }

    /// Returns the pause after which the same call can succeed.
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Refused { refusal, .. } if matches!(refusal.status, 429 | 503) => {
                refusal.retry_after.filter(|it| *it <= PAUSE_MAX)
            }
            Self::Refused { .. } | Self::NoResponse { .. } => None,
        }
    }
}

impl From<Problem> for Flaw {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem.to_string())
    }
}

impl Refusal {
    fn new(status: u16, headers: &HeaderMap, body: Option<&Value>) -> Self {
        let error = body.and_then(|it| it.get("error"));
        let member = |name: &str| error.map_or("", |it| text(it, name)).to_owned();
        let retry_after = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
        let retry_after = retry_after.and_then(|it| it.parse().ok());
        Self {
            status,
            code: member("code"),
            message: member("message"),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.is_empty() {
            true => write!(f, "a response {} that is not LMN's.", self.status),
            false => write!(f, "{} {}: {}", self.status, self.code, self.message),
        }
    }
}

/// Returns a member that is a text; empty if it is absent or not a text.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns a member that is a number.
pub(super) fn number(value: &Value, name: &str) -> Option<i64> {
    value.get(name).and_then(Value::as_i64)
}

/// Returns the rows of a list.
pub(super) fn rows(list: &Value) -> &[Value] {
    let rows = list.get("data").and_then(Value::as_array);
    rows.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, retry_after: Option<&'static str>, body: Option<&Value>) -> Problem {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.parse().unwrap());
        }
        Problem::Refused {
            call: "GET /v1/orders".to_owned(),
            refusal: Refusal::new(status, &headers, body),
        }
    }

    #[test]
    fn call_that_is_refused_for_now_is_repeated_after_the_pause_that_is_asked_for() {
        assert_eq!(
            refused(429, Some("2"), None).pause(),
            Some(Duration::from_secs(2))
        );
        assert_eq!(refused(503, Some("30"), None).pause(), Some(PAUSE_MAX));
        for (status, retry_after) in [
            (503, Some("31")),
            (503, None),
            (409, Some("1")),
            (500, None),
        ] {
            assert_eq!(refused(status, retry_after, None).pause(), None, "{status}");
        }
    }

    #[test]
    fn problem_has_the_message_of_the_api() {
        let body =
            json!({"error": {"code": "order_not_found", "message": "There is no such order."}});
        let problem = refused(404, None, Some(&body));
        assert!(problem.is("order_not_found"));
        let expected = "GET /v1/orders: 404 order_not_found: There is no such order.";
        assert_eq!(problem.to_string(), expected);
        let problem = refused(502, None, Some(&json!([1])));
        assert_eq!(
            problem.to_string(),
            "GET /v1/orders: a response 502 that is not LMN's."
        );
    }
}
