//! [`Reply`]: a response of the service, and expectations of it.

use bytes::Bytes;
use lmn_partner_api::errors::catalogue::Code;
use reqwest::Response;
use serde_json::Value;

/// A response with its complete body.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.bytes().await.expect("the body arrives"),
        }
    }

    /// Returns the value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// Returns the body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Expects a status, and returns the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Expects 200, and returns the body.
    #[track_caller]
    pub fn ok(&self) -> Value {
        self.expect(200)
    }

    /// Expects 201 with a bound key, and returns the order.
    #[track_caller]
    pub fn created(&self) -> Value {
        assert_eq!(self.outcome(), ("bound", "false"), "{self:?}");
        self.expect(201)
    }

    /// Expects the replay of another reply: 200 and the same bytes.
    #[track_caller]
    pub fn replays(&self, original: &Self) {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.body, original.body);
        assert_eq!(self.outcome(), ("replayed", "true"));
    }

    /// Expects an error in the envelope, and returns its details.
    #[track_caller]
    pub fn refused(&self, status: u16, code: Code) -> Value {
        let body = self.expect(status);
        let error = &body["error"];
        assert_eq!(error["code"], code.as_str(), "{self:?}");
        assert!(
            code.entry().statuses.contains(&status),
            "{code:?} is not in the catalogue with {status}"
        );
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(error["request_id"], self.header("x-request-id"));
        let should_retry = code.entry().retry.should_retry();
        assert_eq!(self.header("lmn-should-retry"), should_retry.to_string());
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|it| it.ends_with('.')),
            "{self:?}"
        );
        assert_eq!(self.header("vary"), "Accept");
        let known = |name: &String| code.entry().has_detail(name);
        let details = error.get("details").cloned().unwrap_or(Value::Null);
        assert!(
            details.as_object().is_none_or(|it| it.keys().all(known)),
            "{self:?}"
        );
        details
    }

    /// Expects a `validation_error`, and returns the path and kind of every issue.
    #[track_caller]
    pub fn issues(&self) -> Vec<(String, String)> {
        let details = self.refused(400, Code::ValidationError);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let issues = details["issues"].as_array().expect("issues are listed");
        issues
            .iter()
            .map(|it| (text(&it["path"]), text(&it["issue"])))
            .collect()
    }

    /// Returns `Idempotency-Status` and `Idempotent-Replayed`.
    pub fn outcome(&self) -> (&str, &str) {
        (
            self.header("idempotency-status"),
            self.header("idempotent-replayed"),
        )
    }

    /// Returns the `id` in the body.
    #[track_caller]
    pub fn id(&self) -> String {
        self.json()["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {self:?}"))
            .to_owned()
    }

    /// Returns the `id`s of a list.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        let body = self.ok();
        let rows = body["data"].as_array().expect("a list has data");
        rows.iter()
            .map(|row| row["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}
