//! The document as a whole: who we are, where, and everything that operations share.

use serde_json::{Map, Value, json};
use utoipa::openapi::{OpenApi, path::Parameter};

use super::{
    examples, forms, headers, links,
    operation::{self, Kind},
    refusals, schemas, webhooks,
};
use crate::{environment::Environment, error::catalogue::Code, http::describe};

/// Shapes that partners send; we read them, and ignore what we do not know.
const REQUESTS: &[&str] = &[
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
];

/// What a reader should know before the first operation.
const INTRODUCTION: &str = include_str!("../../docs/introduction.md");

/// Makes the document of gated and open routes; `public_url` is where partners reach them.
pub(crate) fn document(
    gated: &OpenApi,
    open: &OpenApi,
    environment: Environment,
    public_url: &str,
) -> Value {
    let is_sandbox = environment == Environment::Sandbox;
    let (mut paths, mut shapes) = (Map::new(), Map::new());
    for (routes, is_gated) in [(gated, true), (open, false)] {
        // Our own types always serialize.
        let mut routes = serde_json::to_value(routes).unwrap_or_default();
        take(&mut routes, "/components/schemas", &mut shapes);
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
                    operation::let_force(operation);
                }
            }
            paths.insert(path, item);
        }
    }
    schemas::close(&mut shapes, REQUESTS);
    shapes.extend(refusals::schemas());
    shapes.extend(forms::schemas());
    shapes.extend(issue());
    schemas::allow_null(&mut shapes);
    links::add(&mut paths);
    let (paths, responses) = (Value::from(paths), Value::from(refusals::components()));
    schemas::drop_unused(&mut shapes, &[&paths, &responses]);
    json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": public_url}],
        "tags": [
            {"name": "vehicles", "description": "The catalogue."},
            {"name": "orders", "description": "What you commit to, and every step from there to the hand-over."},
            {"name": "events", "description": "What LMN's steps did to your orders, in order and without a gap."},
            {"name": "webhooks", "description": "Where your events are sent, and sent again."},
            {"name": "sandbox", "description": "LMN's part, played by you, in a time of your own. Absent in production."},
            {"name": "service", "description": "The API itself."},
        ],
        "security": [{"api_key": []}],
        "paths": paths,
        "webhooks": webhooks::all(),
        "components": {
            "schemas": shapes,
            "responses": responses,
            "parameters": parameters(is_sandbox),
            "headers": headers::components(),
            "examples": examples::components(public_url),
            "securitySchemes": {"api_key": {
                "type": "apiKey", "in": "header", "name": "x-api-key",
                "description": "`lmn_prd_…` opens production, `lmn_stg_…` the sandbox.",
            }},
        },
    })
}

fn info() -> Value {
    json!({
        "title": "LMN partner API",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Browse Korean used cars and order them.",
        "description": INTRODUCTION,
        "contact": {"name": "LMN integrations", "email": "integrations@lmnauto.com"},
        "license": {"name": "Proprietary"},
    })
}

/// Moves the members of an object elsewhere.
fn take(from: &mut Value, pointer: &str, to: &mut Map<String, Value>) {
    if let Some(Value::Object(members)) = from.pointer_mut(pointer).map(Value::take) {
        to.extend(members);
    }
}

/// Returns the headers that the gate reads.
fn parameters(is_sandbox: bool) -> Value {
    let key = "A fresh UUID v4 for every new request, and the same one for every repetition of it: the effect happens \
               once. A key is spent only by a success (contract, section 4).";
    let user = "Whom in your organisation the request is for: opaque, never returned.";
    let key = describe::header("Idempotency-Key", key, describe::uuid_v4());
    let key = key.required(utoipa::openapi::Required::True).build();
    let user = describe::header("X-User-Id", user, describe::text().max_length(Some(128))).build();
    let always = [("Idempotency-Key", key), ("X-User-Id", user)];
    let sandbox = is_sandbox.then(|| (operation::FORCE, force()));
    let all = always.into_iter().chain(sandbox);
    all.map(|(name, it)| (name.to_owned(), json!(it)))
        .collect::<Map<_, _>>()
        .into()
}

/// Returns the header by which a sandbox is asked for an error.
fn force() -> Parameter {
    let what = "Ask for an error, and get it in full; nothing else happens. Of a code with two statuses, say which: \
                 `invalid_status_transition;status=403`. The sandbox alone knows it.";
    let codes = Code::ALL.map(Code::as_str).join("|");
    let forced = describe::text().pattern(Some(format!("^({codes})( *; *status=[0-9]{{3}})?$")));
    describe::header(operation::FORCE, what, forced).build()
}

/// Returns the shape of an issue, whose last two members are there when there is something to say.
fn issue() -> impl Iterator<Item = (String, Value)> {
    use utoipa::{PartialSchema, ToSchema};

    use crate::error::{Issue, IssueKind};
    let mut issue = json!(Issue::schema());
    for name in ["expected", "received"] {
        // Absent rather than null, as nothing else is.
        if let Some(kind) = issue.pointer_mut(&format!("/properties/{name}/type")) {
            *kind = "string".into();
        }
    }
    if let Some(issue) = issue.as_object_mut() {
        issue.insert("additionalProperties".to_owned(), false.into());
    }
    let kind = json!(IssueKind::schema());
    [(Issue::name(), issue), (IssueKind::name(), kind)]
        .into_iter()
        .map(|(name, schema)| (name.into_owned(), schema))
}
