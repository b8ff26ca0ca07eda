//! The OpenAPI document as a whole: general information, servers, deliveries, the marks of deprecated operations, and
//! everything that operations share.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::{OpenApi, path::Parameter};

use super::{
    examples, forms, headers,
    operation::{self, Kind},
    refusals, schemas, strictness,
};
use crate::{
    config::{Deprecation, Settings},
    errors::catalogue::Code,
    events::model::EventType,
    http::{describe, headers::PublicPath},
    values::{environment::Environment, string_enum::StringEnum},
    webhooks::signature::{EVENT_ID, SIGNATURE, TIMESTAMP},
};

/// Schemas of request bodies, whose members may be absent.
pub(super) const REQUESTS: &[&str] = &[
    "CreateOrder",
    "ReportStatus",
    "SandboxStep",
    "ShipmentUpdate",
    "SettleAuction",
    "Reschedule",
    "Reprice",
    "Nothing",
    "AdvanceClock",
    "PutEndpoint",
    "Acquire",
    "AuctionResults",
    "VehicleResult",
    "Shipments",
    "OrderShipment",
    "AdvanceOrder",
    "FulfillOrder",
    "CorrectAmounts",
    "AddPartner",
    "SetLimits",
    "SetContact",
    "AllowlistEntry",
    "IssueKey",
    "RotateKey",
    "ReplayEvents",
];

/// Schemas of responses whose members may be absent: those of an event's `data` depend on its type.
pub(super) const PARTIAL: &[&str] = &["EventData"];

/// Schemas of words to which others may be added.
pub(super) const GROWING: &[&str] = &[
    "Action",
    "AuctionResult",
    "CancellationReason",
    "DeliveryError",
    "DeliveryStatus",
    "DisabledReason",
    "ErrorCode",
    "EventType",
    "FailureReason",
    "FulfillmentDetail",
    "Fuel",
    "IssueKind",
    "OrderStatus",
    "Owner",
    "ServiceComponent",
    "ServiceCondition",
    "Source",
    "Transmission",
];

/// The introduction before the first operation.
const INTRODUCTION: &str = include_str!("../../docs/introduction.md");

/// The headers of a delivery, with their descriptions.
const DELIVERY_HEADERS: &[(&str, &str)] = &[
    (EVENT_ID, "The event's id, the same in every attempt."),
    (TIMESTAMP, "When this attempt was signed, in unix seconds."),
    (
        SIGNATURE,
        "`t=<timestamp>,v1=<hex>`: HMAC-SHA256 of `<timestamp>.<raw body>`, keyed with the text of the secret. \
         While the secret is being rotated there is a second `v1`.",
    ),
    ("webhook-id", "The event's id (Standard Webhooks)."),
    ("webhook-timestamp", "The timestamp (Standard Webhooks)."),
    ("webhook-signature", "`v1,<base64>` (Standard Webhooks)."),
];

/// Builds the document of gated and open routes.
pub(crate) fn document(gated: &OpenApi, open: &OpenApi, settings: &Settings) -> Value {
    let is_sandbox = settings.environment == Environment::Sandbox;
    let public_url = &settings.public_url;
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for (routes, is_gated) in [(gated, true), (open, false)] {
        // The types of utoipa always serialize.
        let mut routes = serde_json::to_value(routes).unwrap_or_default();
        take(&mut routes, "/components/schemas", &mut schemas);
        let mut found = Map::new();
        take(&mut routes, "/paths", &mut found);
        for (path, mut item) in found {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                let kind = if is_gated {
                    Kind::of(method)
                } else {
                    Kind::Open
                };
                operation::complete(operation, kind);
                if is_gated && is_sandbox {
                    operation::add_force_parameter(operation);
                }
                mark(operation, &settings.deprecations);
            }
            paths.insert(path, item);
        }
    }
    schemas::require_members(&mut schemas, &[REQUESTS, PARTIAL].concat());
    schemas.extend(refusals::schemas(&Code::ALL));
    schemas.extend(forms::schemas());
    schemas.extend(issue());
    for name in GROWING {
        if let Some(words) = schemas.get_mut(*name) {
            strictness::mark_growing(words);
        }
    }
    schemas::allow_null(&mut schemas);
    strictness::separate(&mut schemas, REQUESTS);
    operation::add_links(&mut paths);
    let (paths, webhooks) = (Value::from(paths), Value::from(webhooks()));
    let components = components(schemas, &[&paths, &webhooks], is_sandbox, public_url);
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": public_url}],
        "tags": [
            {"name": "vehicles", "description": "The catalogue."},
            {"name": "orders", "description": "Orders, and every step of an order up to the hand-over."},
            {"name": "events", "description": "The changes that LMN makes to your orders, in order and without gaps."},
            {"name": "webhooks", "description": "The endpoint that your events are sent to."},
            // A tag of their own: generators make one class of each tag, and these are not operations of this server.
            {"name": "deliveries", "description": "The requests to your endpoint, one for each type of event."},
            {"name": "requests", "description": "The log of your requests that were refused, that failed or that wrote."},
            {"name": "sandbox", "description": "Simulates LMN's steps, on a clock of your own. Absent in production."},
            {"name": "service", "description": "The API itself."},
        ],
        "security": [{"api_key": []}],
        "paths": paths,
        "webhooks": webhooks,
        "components": components,
    })
}

/// Returns the components that the `others`, the other parts of the document, refer to.
fn components(
    schemas: Map<String, Value>,
    others: &[&Value],
    is_sandbox: bool,
    public_url: &str,
) -> Map<String, Value> {
    let kinds = [
        ("schemas", schemas.into()),
        ("responses", refusals::components().into()),
        ("parameters", parameters(is_sandbox)),
        ("headers", headers::components(&PublicPath::of(public_url))),
        ("examples", examples::components(public_url).into()),
    ];
    let mut components = Map::from_iter(kinds.map(|(kind, named)| (kind.to_owned(), named)));
    schemas::drop_unused(&mut components, others);
    let key = json!({
        "type": "apiKey", "in": "header", "name": "x-api-key",
        "description": "Keys `lmn_prd_…` are for production, keys `lmn_stg_…` for the sandbox.",
    });
    components.insert("securitySchemes".to_owned(), json!({"api_key": key}));
    components
}

fn info() -> Value {
    json!({
        "title": "LMN partner API",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Browse Korean used vehicles and order them.",
        "description": INTRODUCTION,
        "contact": {"name": "LMN integrations", "email": "integrations@lmnauto.com"},
        "license": {"name": "Proprietary", "identifier": env!("CARGO_PKG_LICENSE")},
    })
}

/// Moves the members of an object in `from` into `to`.
pub(super) fn take(from: &mut Value, pointer: &str, to: &mut Map<String, Value>) {
    if let Some(Value::Object(members)) = from.pointer_mut(pointer).map(Value::take) {
        to.extend(members);
    }
}

/// Returns `components.parameters`: the request headers that the layers read.
fn parameters(is_sandbox: bool) -> Value {
    let user = "The user in your organization on whose behalf the request is made: opaque, never returned.";
    let user = describe::header("X-User-Id", user, describe::text().max_length(Some(128))).build();
    let always = [("Idempotency-Key", idempotency_key()), ("X-User-Id", user)];
    let sandbox = is_sandbox.then(|| (operation::FORCE, force()));
    let all = always.into_iter().chain(sandbox);
    all.map(|(name, it)| (name.to_owned(), json!(it)))
        .collect::<Map<_, _>>()
        .into()
}

/// Describes the header with the key of a write.
pub(super) fn idempotency_key() -> Parameter {
    let key = "A new UUID v4 for every new request, and the same one for every repetition of it, so that its effect \
               happens only once. Only a successful request binds a key.";
    let key = describe::header("Idempotency-Key", key, describe::uuid_v4());
    key.required(utoipa::openapi::Required::True).build()
}

/// Describes the header that requests an error in a sandbox.
fn force() -> Parameter {
    let description = "Requests an error: the response is that error, and nothing else happens. For a code with two \
                       statuses, name one: `invalid_status_transition;status=403`. Only the sandbox accepts it.";
    let codes = Code::ALL.map(Code::as_str).join("|");
    let forced = describe::text().pattern(Some(format!("^({codes})( *; *status=[0-9]{{3}})?$")));
    describe::header(operation::FORCE, description, forced).build()
}

/// Returns the schemas of an issue, whose members `expected` and `received` may be absent.
pub(super) fn issue() -> impl Iterator<Item = (String, Value)> {
    use utoipa::{PartialSchema, ToSchema};

    use crate::errors::{Issue, IssueKind};
    let mut issue = json!(Issue::schema());
    for name in ["expected", "received"] {
        // Unlike all other members, these are absent rather than null.
        if let Some(kind) = issue.pointer_mut(&format!("/properties/{name}/type")) {
            *kind = "string".into();
        }
    }
    let kind = json!(IssueKind::schema());
    [(Issue::name(), issue), (IssueKind::name(), kind)]
        .into_iter()
        .map(|(name, schema)| (name.into_owned(), schema))
}

/// Returns the `webhooks`: one delivery for each type of event.
fn webhooks() -> Map<String, Value> {
    let types = EventType::ALL.iter().map(|it| it.as_str());
    types
        .map(|name| (name.to_owned(), json!({"post": delivery(name)})))
        .collect()
}

fn delivery(name: &str) -> Value {
    let header = |(name, description): &(&str, &str)| {
        json!({
            "name": name, "in": "header", "required": true, "description": description, "schema": {"type": "string"},
        })
    };
    let headers: Vec<Value> = DELIVERY_HEADERS.iter().map(header).collect();
    let id = name.replace('.', "_");
    json!({
        "operationId": format!("receive_{id}"),
        "summary": format!("`{name}` is sent to your endpoint."),
        "description": "Delivered at least once, and in sequence for each order. Verify the signature, respond with \
                        2xx within 10 seconds, and process each id once.",
        "tags": ["deliveries"],
        "security": [],
        "parameters": headers,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}},
        },
        "responses": {
            "2XX": {"description": "The event was received. Up to 64 KiB of the response body are read and ignored."},
            "410": {"description": "No further events are wanted: the endpoint is disabled."},
            "default": {"description": "It is sent again; `Retry-After` is honored up to twice the usual delay."},
        },
    })
}

/// The descriptions of the headers, in the order of [`Deprecation::headers`].
const DESCRIPTIONS: [&str; 3] = [
    "The time from which the operation is deprecated: `@` and unix seconds (RFC 9745).",
    "The time after which the operation may stop (RFC 8594).",
    "The announcement, as `<URL>; rel=\"deprecation\"`. A page of a list has another one before it: the next page, as \
     `<relative URL>; rel=\"next\"`.",
];

/// Returns the id, the method and the path of every operation in a document.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = (&str, Method, &str)> {
    let paths = document.get("paths").and_then(Value::as_object);
    paths.into_iter().flatten().flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.filter_map(move |(method, operation)| {
            let id = operation.get("operationId")?.as_str()?;
            let method: Method = method.to_uppercase().parse().ok()?;
            Some((id, method, path.as_str()))
        })
    })
}

/// Marks an operation and describes the headers of all its responses, if it is deprecated.
pub(super) fn mark(operation: &mut Value, deprecations: &BTreeMap<String, Deprecation>) {
    let id = operation.get("operationId").and_then(Value::as_str);
    let Some(deprecation) = id.and_then(|id| deprecations.get(id)) else {
        return;
    };
    let shared = refusals::components();
    let responses = operation.get_mut("responses");
    let responses = responses.and_then(Value::as_object_mut).into_iter();
    for (status, response) in responses.flatten() {
        // Shared responses are those of operations that are not deprecated as well.
        let reference = response.get("$ref").and_then(Value::as_str);
        let name = reference.and_then(|it| it.rsplit('/').next());
        if let Some(shared) = name.and_then(|name| shared.get(name)) {
            *response = shared.clone();
        }
        if let Some(Value::Object(headers)) = response.get_mut("headers") {
            // A request can be refused with these before its route is known.
            let is_certain = !matches!(status.as_str(), "400" | "503");
            headers.extend(describe_headers(deprecation, is_certain));
        }
    }
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("deprecated".to_owned(), true.into());
    }
}

/// Describes the headers of a deprecation.
fn describe_headers(deprecation: &Deprecation, is_certain: bool) -> Map<String, Value> {
    let headers = deprecation.headers().into_iter().zip(DESCRIPTIONS);
    let described = headers.map(|((name, value), description)| {
        let header = json!({
            "description": description,
            "required": is_certain,
            "schema": {"type": "string"},
            "example": value,
        });
        (name.to_owned(), header)
    });
    described.collect()
}
