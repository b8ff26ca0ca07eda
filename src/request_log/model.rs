//! A request as it is logged, its JSON, and the limit of refused requests that are logged. Pure.

use std::{collections::HashMap, net::IpAddr, time::Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use utoipa::{
    ToSchema,
    openapi::{
        ObjectBuilder, Schema, Type,
        schema::{AdditionalProperties, SchemaType},
    },
};

use crate::{
    errors::catalogue::Code,
    values::{
        environment::contains_api_key_prefix,
        id::{PartnerId, RequestId},
        rate_limit::Policy,
        timestamp::Timestamp,
    },
};

/// Maximum size of the logged details of an error, in bytes of JSON.
const DETAILS_BYTES_MAX: usize = 2048;
/// Number of partners from which on the limit forgets those whose burst is whole.
const PARTNERS_MAX: usize = 1000;

/// A request, as it is logged.
#[derive(Debug, Clone)]
pub(crate) struct LoggedRequest {
    /// Its id.
    pub id: RequestId,
    /// The time of the response.
    pub at: DateTime<Utc>,
    /// The partner, if its key was accepted.
    pub partner: Option<PartnerId>,
    /// The public prefix of the key.
    pub key_prefix: Option<String>,
    /// The method and the template of the path, such as `POST /v1/orders`.
    pub operation: String,
    /// The status of the response.
    pub status: u16,
    /// The error code, unless the request succeeded.
    pub code: Option<String>,
    /// The details of the error as JSON, if it has any.
    pub details: Option<String>,
    /// Time from the complete head of the request to the response, in milliseconds.
    pub duration_ms: i32,
    /// The client's address.
    pub client: IpAddr,
}

/// A row of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    /// The request.
    pub request: LoggedRequest,
    /// The name of its partner.
    pub partner_name: Option<String>,
}

/// Returns the details of an error as JSON, without the values that the caller sent; `None` if there are none.
///
/// A list of issues that is too long is truncated. Details that contain the beginning of an API key, for example as the
/// name of a member of the body, are left out.
pub(crate) fn logged_details(mut details: Map<String, Value>) -> Option<String> {
    if details.is_empty() {
        return None;
    }
    if let Some(Value::Array(issues)) = details.get_mut("issues") {
        for issue in issues.iter_mut().filter_map(Value::as_object_mut) {
            issue.remove("received");
        }
    }
    loop {
        let text = serde_json::to_string(&details).ok()?;
        if contains_api_key_prefix(&text) {
            return None;
        }
        if text.len() <= DETAILS_BYTES_MAX {
            return Some(text);
        }
        match details.get_mut("issues") {
            Some(Value::Array(issues)) if issues.len() > 1 => issues.truncate(issues.len() / 2),
            _ => return None,
        }
    }
}

/// Limits how many refused and failed requests of one partner are logged, so that a flood cannot fill the log. All
/// requests without an accepted key count as one partner.
#[derive(Debug)]
pub(crate) struct RefusalLimit {
    policy: Policy,
    /// The times at which the bursts of partners are whole again.
    whole_at: HashMap<Option<PartnerId>, Instant>,
}

impl RefusalLimit {
    /// Creates the limit.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            whole_at: HashMap::new(),
        }
    }

    /// Counts a refused request of a partner, and returns whether it is logged.
    pub(crate) fn admits(&mut self, partner: Option<PartnerId>, now: Instant) -> bool {
        let interval = self.policy.interval();
        let known = self.whole_at.get(&partner).copied();
        let whole_at = known.unwrap_or(now).max(now) + interval;
        if whole_at > now + interval * self.policy.burst() {
            return false;
        }
        if self.whole_at.len() >= PARTNERS_MAX {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        self.whole_at.insert(partner, whole_at);
        true
    }
}

/// A request that was refused, that failed or that wrote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LoggedRequest)]
pub(crate) struct RequestView {
    pub request_id: RequestId,
    /// The time of the response, in real time also in the sandbox.
    pub at: Timestamp,
    /// The method and the template of the path, such as `POST /v1/orders/{id}/status`.
    pub operation: String,
    /// The status of the response.
    pub status: u16,
    /// The error code; null if the request succeeded.
    #[schema(value_type = Option<Code>)]
    pub code: Option<String>,
    #[schema(schema_with = details_schema)]
    pub details: Option<Box<RawValue>>,
    /// Time from the complete head of the request to the response, in milliseconds.
    pub duration_ms: i32,
    /// The address that the request came from.
    #[schema(value_type = String)]
    pub client_address: IpAddr,
    /// The public prefix of the API key: its first 12 characters.
    pub api_key_prefix: Option<String>,
}

/// Returns the schema of the details, which depend on the code.
fn details_schema() -> ObjectBuilder {
    let description = "The details of the error, as in its response, but without the values that were sent, and at most 2 \
                       KiB: a longer list of issues is truncated. Null if there are none.";
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
}

impl From<LogEntry> for RequestView {
    fn from(LogEntry { request, .. }: LogEntry) -> Self {
        // The log's details are JSON, because their column is.
        let details = request
            .details
            .and_then(|it| RawValue::from_string(it).ok());
        Self {
            request_id: request.id,
            at: Timestamp::kst(request.at),
            operation: request.operation,
            status: request.status,
            code: request.code,
            details,
            duration_ms: request.duration_ms,
            client_address: request.client,
            api_key_prefix: request.key_prefix,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn logged(details: &Value) -> Option<Value> {
        let text = logged_details(details.as_object().unwrap().clone())?;
        assert!(text.len() <= DETAILS_BYTES_MAX);
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn details_are_logged_without_the_values_that_were_sent() {
        let issue = json!({"path": "limit", "issue": "OUT_OF_RANGE", "received": "a secret"});
        let logged = logged(&json!({"issues": [issue], "field": "make"}));
        let issue = json!({"path": "limit", "issue": "OUT_OF_RANGE"});
        assert_eq!(logged, Some(json!({"issues": [issue], "field": "make"})));
    }

    #[test]
    fn details_with_the_beginning_of_a_key_are_not_logged() {
        let issue = json!({"path": "lmn_stg_AAAAAAAA", "issue": "DUPLICATE"});
        assert_eq!(logged(&json!({"issues": [issue]})), None);
        assert_eq!(logged(&json!({})), None);
    }

    #[test]
    fn long_list_of_issues_is_truncated() {
        let issue = |n: usize| json!({"path": format!("{n:0>100}"), "issue": "DUPLICATE"});
        let issues: Vec<_> = (0..100).map(issue).collect();
        let logged = logged(&json!({"issues": issues})).unwrap();
        let logged = logged["issues"].as_array().unwrap();
        assert_eq!(logged.as_slice(), &issues[..logged.len()]);
        assert!((10..20).contains(&logged.len()), "{}", logged.len());
    }

    #[test]
    fn details_that_cannot_be_truncated_are_not_logged() {
        assert_eq!(logged(&json!({"reason": "x".repeat(3000)})), None);
        let issue = json!({"path": "x".repeat(3000)});
        assert_eq!(logged(&json!({"issues": [issue]})), None);
    }

    #[test]
    fn refused_requests_of_a_partner_are_logged_up_to_its_burst_and_then_at_the_rate() {
        let mut limit = RefusalLimit::new(Policy::new(2, 1, 3).unwrap());
        let now = Instant::now();
        let one = Some(PartnerId::from(Uuid::new_v4()));
        for partner in [None, one] {
            let admitted = (0..10).filter(|_| limit.admits(partner, now)).count();
            assert_eq!(admitted, 3, "{partner:?}");
        }
        let later = now + Duration::from_millis(1100);
        let admitted = (0..10).filter(|_| limit.admits(one, later)).count();
        assert_eq!(admitted, 2);
    }

    #[test]
    fn partners_whose_burst_is_whole_are_forgotten() {
        let mut limit = RefusalLimit::new(Policy::new(1, 1, 1).unwrap());
        let now = Instant::now();
        for n in 0..3 {
            let now = now + Duration::from_secs(n * 10);
            for _ in 0..PARTNERS_MAX {
                assert!(limit.admits(Some(PartnerId::from(Uuid::new_v4())), now));
            }
            assert!(limit.whole_at.len() <= PARTNERS_MAX);
        }
    }
}
