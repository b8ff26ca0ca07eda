//! Spans of requests, in the JSON form of OTLP, which collectors of OpenTelemetry read.

use chrono::{DateTime, Utc};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::values::id::{PartnerId, RequestId, SpanId};

/// The name of this service in traces.
const SERVICE: &str = "lmn-partner-api";
/// The number of the span kind "server" in OTLP.
const SERVER: u8 = 2;
/// The number of the status "error" in OTLP, for failures caused by the server.
const ERROR: u8 = 2;

/// The span of a request that has ended. Of the caller's text it contains only the ids of the trace and of the
/// parent.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The id of the trace.
    pub(crate) trace: String,
    /// The id of this span.
    pub(crate) id: SpanId,
    /// The id of the caller's span, if the caller started the trace.
    pub(crate) parent: Option<String>,
    /// When the request ended.
    pub(crate) ended_at: DateTime<Utc>,
    /// The duration in nanoseconds.
    pub(crate) took_nanoseconds: i64,
    /// The template of the route, if a route matched.
    pub(crate) route: Option<String>,
    /// The method of the request. An unknown one is exported as `other`.
    pub(crate) method: Method,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The error code of the response, if it is an error.
    pub(crate) code: Option<&'static str>,
    /// The id of the request.
    pub(crate) request: RequestId,
    /// The partner, if the request had a valid key.
    pub(crate) partner: Option<PartnerId>,
}

impl Span {
    fn to_json(&self) -> Value {
        let ended = self.ended_at.timestamp_nanos_opt().unwrap_or_default();
        let method = super::requests::method(&self.method);
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let status = self.status.as_u16().to_string();
        let mut attributes = vec![
            text("http.request.method", method),
            json!({"key": "http.response.status_code", "value": {"intValue": status}}),
            text("lmn.request_id", &self.request.to_string()),
        ];
        let route = self.route.as_deref();
        let partner = self.partner.map(|it| it.to_string());
        for (key, value) in [
            ("http.route", route),
            ("error.type", self.code),
            ("lmn.partner", partner.as_deref()),
        ] {
            attributes.extend(value.map(|it| text(key, it)));
        }
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        json!({
            "traceId": self.trace,
            "spanId": self.id.to_string(),
            "parentSpanId": self.parent.as_deref().unwrap_or_default(),
            "name": name,
            "kind": SERVER,
            "startTimeUnixNano": ended.saturating_sub(self.took_nanoseconds).to_string(),
            "endTimeUnixNano": ended.to_string(),
            "attributes": attributes,
            "status": if self.status.is_server_error() { json!({"code": ERROR}) } else { json!({}) },
        })
    }
}

/// Serializes spans as the body of one request to a collector.
pub(super) fn export(spans: &[Span], environment: &str) -> String {
    let spans: Vec<_> = spans.iter().map(Span::to_json).collect();
    let resource = [
        ("service.name", SERVICE),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", environment),
    ]
    .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}));
    let scope = json!({"scope": {"name": SERVICE}, "spans": spans});
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_serialized_as_otlp_without_text_of_the_caller() {
        let span = Span {
            trace: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            id: SpanId::random(),
            parent: None,
            ended_at: DateTime::from_timestamp(1_700_000_000, 5).unwrap(),
            took_nanoseconds: 7,
            route: None,
            method: Method::from_bytes(b"SECRET").unwrap(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: Some("service_unavailable"),
            request: RequestId::random(),
            partner: None,
        };
        let written: Value = serde_json::from_str(&export(&[span], "sandbox")).unwrap();
        let span = &written["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["name"], "other");
        assert_eq!(span["startTimeUnixNano"], "1699999999999999998");
        assert_eq!(span["endTimeUnixNano"], "1700000000000000005");
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["attributes"].as_array().map(Vec::len), Some(4));
        assert!(!written.to_string().contains("SECRET"));
    }
}
