//! Response headers: their descriptions, and the headers of each response.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::operation::Kind;
use crate::http::headers::PublicPath;

/// The name, description, schema and example of a header.
type Row = (&'static str, &'static str, fn() -> Value, &'static str);

/// All headers in the document.
const ROWS: &[Row] = &[
    (
        "X-Request-Id",
        "The id of this request, for support. In an error it equals `error.request_id`.",
        || json!({"type": "string", "pattern": "^req_[0-9a-f]{24}$"}),
        "req_5f3a9c0e1b7d42a8c6e04f19",
    ),
    (
        "traceresponse",
        "This service's span in the trace of the request's `traceparent` (W3C Trace Context); absent without one.",
        || json!({"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$"}),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    (
        "Cache-Control",
        "`no-store`; `private, no-cache` on responses with an `ETag`.",
        || json!({"type": "string", "enum": ["no-store", "private, no-cache"]}),
        "no-store",
    ),
    (
        "Vary",
        "`Accept`: the representation of the body depends on it.",
        || json!({"type": "string", "enum": ["Accept"]}),
        "Accept",
    ),
    (
        "ETag",
        "A strong validator of the body; send it as `If-None-Match`.",
        || json!({"type": "string", "pattern": "^\"[A-Za-z0-9_-]+\"$"}),
        "\"6v0cTtAR2mCHE1vQvX0yXA\"",
    ),
    (
        "RateLimit-Policy",
        "The limit that counted the request: `q` requests in any `w` seconds.",
        || json!({"type": "string", "pattern": "^\"(read|write)\";q=\\d+;w=\\d+$"}),
        "\"write\";q=120;w=60",
    ),
    (
        "RateLimit",
        "The state of the key's limit: `r` requests would be accepted now, the whole burst in `t` seconds.",
        || json!({"type": "string", "pattern": "^\"(read|write)\";r=\\d+;t=\\d+$"}),
        "\"write\";r=29;t=1",
    ),
    (
        "X-RateLimit-Limit",
        "The burst: the number of requests that are accepted at once.",
        || json!({"type": "integer", "minimum": 1}),
        "30",
    ),
    (
        "X-RateLimit-Remaining",
        "The number of requests that would be accepted now.",
        || json!({"type": "integer", "minimum": 0}),
        "29",
    ),
    (
        "X-RateLimit-Reset",
        "The time at which the whole burst is available again, in unix seconds.",
        || json!({"type": "integer"}),
        "1775800800",
    ),
    (
        "Retry-After",
        "The delay before a retry, in whole seconds.",
        || json!({"type": "integer", "minimum": 1}),
        "2",
    ),
    (
        "LMN-Should-Retry",
        "Whether repeating the unchanged request, with the same Idempotency-Key, can help.",
        || json!({"type": "string", "enum": ["true", "false"]}),
        "false",
    ),
    (
        "Idempotency-Status",
        "The status of the key: `bound` this request succeeded, `replayed` an earlier one with the key did, \
         `unbound` nothing was done and the key is free, `conflict` the key belongs to a different request, \
         `unknown` retry with the same key.",
        || json!({"type": "string", "enum": ["bound", "replayed", "unbound", "conflict", "unknown"]}),
        "bound",
    ),
    (
        "Idempotent-Replayed",
        "Whether this is the response to an earlier request with the key.",
        || json!({"type": "string", "enum": ["true", "false"]}),
        "false",
    ),
    (
        "Location",
        "The path of the created resource.",
        || json!({"type": "string", "pattern": "^/([^?#]+/)?v1/"}),
        "/v1/orders/01KNVD7K402JY0W9P0X3A6T4QB",
    ),
    (
        "Link",
        "The next page, as `<relative URL>; rel=\"next\"`; absent on the last one.",
        || json!({"type": "string", "pattern": "^<.+>; rel=\"next\"$"}),
        "</v1/orders?limit=50&cursor=eyJz>; rel=\"next\"",
    ),
    (
        "X-LMN-Filtered-Out",
        "The number of dealer vehicles excluded by filters that no dealer vehicle can satisfy, exact up to 10,000. \
         Present if and only if such a filter is used and dealer vehicles were requested.",
        || json!({"type": "string", "pattern": "^dealer=(\\d+|10000\\+)$"}),
        "dealer=42",
    ),
    (
        "X-LMN-Snapshot",
        "`true`: the vehicle was withdrawn, and the body is the vehicle as it was when you ordered it.",
        || json!({"type": "string", "enum": ["true"]}),
        "true",
    ),
];

/// Returns `components.headers`: each header twice, as one that is always present and as an optional one. Examples of
/// relative URLs begin with the path of the public URL.
pub(super) fn components(public_path: &PublicPath) -> Value {
    let mut headers = Map::new();
    for (name, description, schema, example) in ROWS {
        let schema = schema();
        let example = match (*name, schema.get("type").and_then(Value::as_str)) {
            (_, Some("integer")) => example.parse::<i64>().ok().into(),
            ("Location", _) => public_path.join(example).into(),
            ("Link", _) => {
                let target = example.trim_start_matches('<');
                format!("<{}", public_path.join(target)).into()
            }
            _ => Value::from(*example),
        };
        let header = |required: bool| {
            json!({
                "description": description, "required": required, "schema": schema, "example": example,
            })
        };
        headers.insert((*name).to_owned(), header(true));
        headers.insert(format!("{name}.optional"), header(false));
    }
    headers.into()
}

/// Returns a reference to a header that is always present.
pub(super) fn always(name: &str) -> (String, Value) {
    (
        name.to_owned(),
        json!({"$ref": format!("#/components/headers/{name}")}),
    )
}

/// Returns a reference to a header that may be absent.
pub(super) fn sometimes(name: &str) -> (String, Value) {
    (
        name.to_owned(),
        json!({"$ref": format!("#/components/headers/{name}.optional")}),
    )
}

/// Returns the headers of a response that follow from its status and from the layers of its operation.
pub(super) fn of_answer(kind: Kind, status: StatusCode) -> Map<String, Value> {
    let mut headers = Map::from_iter(["X-Request-Id", "Cache-Control"].map(always));
    headers.extend([sometimes("traceresponse")]);
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error {
        headers.extend([always("LMN-Should-Retry"), always("Vary")]);
    }
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        headers.extend([always("Retry-After")]);
    }
    // Responses to requests refused before rate limiting carry no rate-limit headers; for a status that can occur both
    // before and after it, the headers are optional.
    let limit = match status {
        _ if kind == Kind::Open => None,
        StatusCode::UNAUTHORIZED => None,
        StatusCode::FORBIDDEN => Some(false),
        StatusCode::TOO_MANY_REQUESTS => Some(false),
        _ => Some(!status.is_server_error()),
    };
    if let Some(is_certain) = limit {
        let names = [
            "RateLimit-Policy",
            "RateLimit",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ];
        headers.extend(names.map(if is_certain { always } else { sometimes }));
    }
    if kind.takes_key() {
        // A handler and a key conflict respond under a key; a request that was refused earlier may have had none.
        let keyed = matches!(
            status,
            StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::GONE
                | StatusCode::UNPROCESSABLE_ENTITY
        ) || !is_error;
        let names = ["Idempotency-Status", "Idempotent-Replayed"];
        headers.extend(names.map(if keyed { always } else { sometimes }));
    }
    headers
}

/// Adds a header that is always present.
pub(super) fn add(headers: &mut Map<String, Value>, name: &str) {
    headers.extend([always(name)]);
}
