//! Response headers: one table, and which of them stand on which answer.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::operation::Kind;

/// Name, meaning, schema, example.
type Row = (&'static str, &'static str, fn() -> Value, &'static str);

/// Every header that the document tells of.
const ROWS: &[Row] = &[
    (
        "X-Request-Id",
        "Names this request, for support. On an error it equals `error.request_id`.",
        || json!({"type": "string", "pattern": "^req_[0-9a-f]{24}$"}),
        "req_5f3a9c0e1b7d42a8c6e04f19",
    ),
    (
        "traceresponse",
        "Our step of the trace that the request's `traceparent` (W3C Trace Context) named; absent without one.",
        || json!({"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$"}),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    (
        "Cache-Control",
        "`no-store`; on answers with an `ETag` `private, no-cache`.",
        || json!({"type": "string", "enum": ["no-store", "private, no-cache"]}),
        "no-store",
    ),
    (
        "Vary",
        "`Accept`: the body's form depends on it.",
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
        "How the key stands: `r` requests would pass right now, the whole burst in `t` seconds.",
        || json!({"type": "string", "pattern": "^\"(read|write)\";r=\\d+;t=\\d+$"}),
        "\"write\";r=29;t=1",
    ),
    (
        "X-RateLimit-Limit",
        "The burst: how many requests pass at once.",
        || json!({"type": "integer", "minimum": 1}),
        "30",
    ),
    (
        "X-RateLimit-Remaining",
        "How many requests would pass right now.",
        || json!({"type": "integer", "minimum": 0}),
        "29",
    ),
    (
        "X-RateLimit-Reset",
        "When the whole burst passes again, in unix seconds.",
        || json!({"type": "integer"}),
        "1775800800",
    ),
    (
        "Retry-After",
        "When to try again, in whole seconds.",
        || json!({"type": "integer", "minimum": 1}),
        "2",
    ),
    (
        "LMN-Should-Retry",
        "Whether the unchanged request, under the same Idempotency-Key, is worth repeating.",
        || json!({"type": "string", "enum": ["true", "false"]}),
        "false",
    ),
    (
        "Idempotency-Status",
        "What became of the key: `bound` this request did it, `replayed` an earlier one did, `unbound` nothing was \
         done and the key is free, `conflict` the key did something else, `unknown` retry with the same key.",
        || json!({"type": "string", "enum": ["bound", "replayed", "unbound", "conflict", "unknown"]}),
        "bound",
    ),
    (
        "Idempotent-Replayed",
        "Whether this is the answer to an earlier request with the key.",
        || json!({"type": "string", "enum": ["true", "false"]}),
        "false",
    ),
    (
        "Location",
        "The path of what was made.",
        || json!({"type": "string", "pattern": "^/v1/"}),
        "/v1/orders/01KNVD7K402JY0W9P0X3A6T4QB",
    ),
    (
        "Link",
        "The next page, as `<relative URL>; rel=\"next\"`; absent on the last one.",
        || json!({"type": "string", "pattern": "^<.+>; rel=\"next\"$"}),
        "</v1/orders?limit=50&cursor=eyJz>; rel=\"next\"",
    ),
    (
        "Allow",
        "The methods of the path.",
        || json!({"type": "string"}),
        "GET,HEAD,POST",
    ),
    (
        "X-LMN-Filtered-Out",
        "How many dealers' cars the filters dropped that no dealer's car can satisfy, exact to 10,000. There exactly \
         when such a filter is used and dealers' cars were asked for.",
        || json!({"type": "string", "pattern": "^dealer=(\\d+|10000\\+)$"}),
        "dealer=42",
    ),
    (
        "X-LMN-Snapshot",
        "`true`: the car was withdrawn, and this is how it was when you ordered it.",
        || json!({"type": "string", "enum": ["true"]}),
        "true",
    ),
];

/// Returns `components.headers`: each header twice, as one that is always there and as one that can be.
pub(super) fn components() -> Value {
    let mut headers = Map::new();
    for (name, what, schema, example) in ROWS {
        let schema = schema();
        let example = match schema.get("type").and_then(Value::as_str) {
            Some("integer") => example.parse::<i64>().ok().into(),
            _ => Value::from(*example),
        };
        let header = |required: bool| json!({"description": what, "required": required, "schema": schema, "example": example});
        headers.insert((*name).to_owned(), header(true));
        headers.insert(format!("{name}.optional"), header(false));
    }
    headers.into()
}

/// Refers to a header that is always there.
pub(super) fn always(name: &str) -> (String, Value) {
    (
        name.to_owned(),
        json!({"$ref": format!("#/components/headers/{name}")}),
    )
}

/// Refers to a header that can be there.
pub(super) fn sometimes(name: &str) -> (String, Value) {
    (
        name.to_owned(),
        json!({"$ref": format!("#/components/headers/{name}.optional")}),
    )
}

/// Returns the headers that an answer has because of where in the gate it comes from.
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
    // Who is refused before the limit is not told of it; what can also be refused before it tells it if it came that far.
    let limit = match status {
        _ if kind == Kind::Open => None,
        StatusCode::UNAUTHORIZED => None,
        StatusCode::FORBIDDEN => Some(false),
        StatusCode::TOO_MANY_REQUESTS => Some(false),
        _ => Some(!status.is_server_error()),
    };
    if let Some(known) = limit {
        let names = [
            "RateLimit-Policy",
            "RateLimit",
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ];
        headers.extend(names.map(if known { always } else { sometimes }));
    }
    if kind.takes_key() {
        // A handler and a reuse answer under a key; whatever is refused earlier may have come without one.
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

/// Adds a header that is always there.
pub(super) fn add(headers: &mut Map<String, Value>, name: &str) {
    headers.extend([always(name)]);
}
