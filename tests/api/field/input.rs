//! Input that is unusual but valid, input that is invalid although libraries accept it, and the responses.

use lmn_partner_api::{
    errors::catalogue::Code, operators::model::Role, values::environment::Environment,
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Document, OperatorApi, Partner, Reply, Service, Vehicle, eventually, key};

/// Sends a request as bytes, and returns the status and the JSON of the response.
async fn send(partner: &Partner, line: &str, key: &str, rest: &str) -> (u16, Value) {
    let address = partner.url.trim_start_matches("http://");
    let head = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-api-key: {}\r\nidempotency-key: {key}\r\n",
        partner.api_key
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Encodes a query.
fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs).finish()
}

/// Returns an issue as [`Reply::issues`] does.
fn issue(path: &str, kind: &str) -> (String, String) {
    (path.to_owned(), kind.to_owned())
}

/// Headers of a request without a body, and its framing.
const EMPTY_BODIES: [&str; 13] = [
    "\r\n",
    "content-length: 0\r\n\r\n",
    "content-type: application/json\r\n\r\n",
    "content-type: application/json\r\ncontent-length: 0\r\n\r\n",
    "content-type: application/json; charset=utf8\r\ncontent-length: 0\r\n\r\n",
    "content-type: application/x-www-form-urlencoded\r\ncontent-length: 0\r\n\r\n",
    "content-type: text/plain;charset=UTF-8\r\ncontent-length: 0\r\n\r\n",
    "content-type: \r\ncontent-length: 0\r\n\r\n",
    "content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "content-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-trailer: 1\r\n\r\n",
];

#[tokio::test]
async fn empty_body_is_none_whatever_its_type_and_framing() {
    let service = Service::with(&[("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8")]).await;
    let acme = service.partner("acme").await;
    let settings = json!({"url": "http://127.0.0.1:9/"});
    let put = acme.ask(Method::PUT, "/v1/webhook_endpoint");
    put.json(&settings).send().await.expect(201);
    let test = "POST /v1/webhook_endpoint/test";
    for rest in EMPTY_BODIES {
        let key = key();
        let (status, event) = send(&acme, test, &key, rest).await;
        assert_eq!(status, 202, "{rest:?}: {event}");
        // It is the same request as one with an empty object.
        let again = acme
            .post_once(&key, "/v1/webhook_endpoint/test", json!({}))
            .await;
        assert_eq!(again.ok(), event, "{rest:?}");
        // An operation that needs a body lists what is missing.
        let (status, refusal) = send(&acme, "POST /v1/orders", &crate::support::key(), rest).await;
        assert_eq!(status, 400, "{rest:?}: {refusal}");
        let issues = &refusal["error"]["details"]["issues"];
        assert_eq!(issues[0]["issue"], "REQUIRED_FIELD_MISSING", "{rest:?}");
        assert_eq!(issues[0]["path"], "vehicle_id", "{rest:?}");
    }
}

#[tokio::test]
async fn body_that_is_not_empty_must_still_be_json() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let test = "POST /v1/webhook_endpoint/test";
    for (rest, code) in [
        (
            "content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}",
            "unsupported_media_type",
        ),
        (
            "content-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "unsupported_media_type",
        ),
        ("content-length: 2\r\n\r\n{}", "unsupported_media_type"),
        (
            "content-type: application/json; charset=latin1\r\ncontent-length: 2\r\n\r\n{}",
            "unsupported_media_type",
        ),
        (
            "content-type: application/json\r\ncontent-length: 1\r\n\r\n ",
            "validation_error",
        ),
        (
            "content-type: application/json\r\ncontent-length: 4\r\n\r\nnull",
            "validation_error",
        ),
    ] {
        let (_, refusal) = send(&acme, test, &key(), rest).await;
        assert_eq!(refusal["error"]["code"], code, "{rest:?}");
    }
}

#[tokio::test]
async fn any_spelling_of_utf8_is_accepted_as_charset() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (n, charset) in ["utf-8", "UTF-8", "utf8", "UTF8", "\"utf-8\"", "Utf_8"]
        .into_iter()
        .enumerate()
    {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        let body = json!({"vehicle_id": vehicle.id, "max_bid_amount_usd": 12_000});
        let content_type = format!("application/json; charset={charset}");
        let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
        let ask = ask.header("content-type", &content_type);
        ask.body(body.to_string()).send().await.created();
    }
}

#[tokio::test]
async fn query_that_is_not_utf8_is_refused_with_the_name_of_its_parameter() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    let format = |path: &str| issue(path, "INVALID_FORMAT");
    for (path, expected) in [
        ("/v1/vehicles?make=%C7%F6%B4%EB", vec![format("make")]),
        // Both issues of one request, in the order of the query; the readable value stays.
        (
            "/v1/vehicles?keyword=%ff&make=kia,%C7%F6&limit=0",
            vec![
                format("keyword"),
                format("make"),
                issue("limit", "OUT_OF_RANGE"),
            ],
        ),
        ("/v1/vehicles?make=kia&%C7%F6=1", vec![format("query")]),
        // Truncated, overlong and surrogate sequences are not UTF-8 either.
        ("/v1/vehicles?make=%ED%98", vec![format("make")]),
        ("/v1/vehicles?make=%C0%AF", vec![format("make")]),
        ("/v1/vehicles?make=%ED%A0%80", vec![format("make")]),
        // Also in parameters that are ignored, and in operations without parameters.
        ("/v1/orders?utm_source=%E9", vec![format("utm_source")]),
        ("/v1/vehicles/encar_1?x=%E9", vec![format("x")]),
        ("/v1/orders?cursor=%FF", vec![format("cursor")]),
        ("/v1/orders?vehicle_id=%FF", vec![format("vehicle_id")]),
        ("/v1/events?type=webhook.test%FF", vec![format("type")]),
    ] {
        let reply = acme.get(path).await;
        assert_eq!(reply.issues(), expected, "{path}");
    }
    let received = acme.get("/v1/vehicles?make=%C7%F6%B4%EB").await;
    let details = received.refused(400, Code::ValidationError);
    assert_eq!(details["issues"][0]["received"], "%C7%F6%B4%EB");
    let many = vec!["a=%FF"; 5_000].join("&");
    let bounded = acme.get(&format!("/v1/orders?{many}")).await;
    assert_eq!(bounded.issues().len(), 50);
    // The replacement character itself is UTF-8.
    let replaced = acme.get("/v1/vehicles?make=%EF%BF%BD").await;
    assert_eq!(replaced.ids(), Vec::<String>::new());
    let korean = acme.get("/v1/vehicles?make=%ED%98%84%EB%8C%80").await;
    assert_eq!(korean.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn path_that_is_not_utf8_is_refused_with_the_name_of_its_parameter() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for path in [
        "/v1/vehicles/%C7%F6",
        "/v1/orders/%FF",
        "/v1/orders/%FF/history",
        "/v1/events/evt_%FF",
    ] {
        let reply = acme.get(path).await;
        assert_eq!(reply.issues(), [issue("id", "INVALID_FORMAT")], "{path}");
    }
    let code = acme.get("/v1/errors/%FF").await;
    assert_eq!(code.issues(), [issue("code", "INVALID_FORMAT")]);
    let cancel = acme.cancel("%FF").await;
    assert_eq!(cancel.issues(), [issue("id", "INVALID_FORMAT")]);
    assert_eq!(cancel.outcome(), ("unbound", "false"));
    acme.get("/v1/vehicles/%ED%98%84")
        .await
        .refused(404, Code::VehicleNotFound);
}

#[tokio::test]
async fn queries_with_different_bytes_are_different_requests_of_a_key() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (key, order) = (
        key(),
        json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}),
    );
    let post = async |query: &str| {
        let path = format!("/v1/orders?{query}");
        acme.post_once(&key, &path, order.clone()).await
    };
    let first = post("shop=%EF%BF%BD").await;
    first.created();
    post("shop=%ef%bf%bd").await.replays(&first);
    for other in ["shop=%FF", "shop=%C7", "shop=%EF%BF%BD%EF%BF%BD"] {
        let details = post(other).await.refused(422, Code::IdempotencyKeyReused);
        assert_eq!(details["mismatch"], json!(["query"]), "{other}");
    }
}

/// Adds dealers' vehicles with these colors.
async fn add_colors(service: &Service, colors: &[&str]) {
    for (n, color) in colors.iter().enumerate() {
        let vehicle = Vehicle::dealers(&format!("encar_{n}"));
        service.vehicle(vehicle).await;
        let statement = format!(
            "update vehicles set color = '{}' where id = 'encar_{n}'",
            color.replace('\'', "''")
        );
        service.sql(&statement).await;
    }
}

#[tokio::test]
async fn every_color_of_the_facets_can_be_asked_for() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let colors = [
        "White, pearl",
        "black",
        "5\" stripes",
        "\"quoted\"",
        "a, b, \"c\"",
        "명품, 흰색",
    ];
    add_colors(&service, &colors).await;
    let facets = acme.get("/v1/vehicles/facets").await.ok();
    let shown = facets["colors"].as_array().unwrap().clone();
    assert_eq!(shown.len(), colors.len());
    for color in &shown {
        let color = color.as_str().unwrap();
        let quoted = format!("\"{}\"", color.replace('"', "\"\""));
        let list = query(&[("make", "hyundai"), ("color", quoted.as_str())]);
        let found = acme.get(&format!("/v1/vehicles?{list}")).await.ok();
        let found: Vec<_> = found["data"].as_array().unwrap().iter().collect();
        assert_eq!(found.len(), 1, "{color}");
        assert_eq!(found[0]["color"], color);
    }
}

#[tokio::test]
async fn lists_in_a_query_are_quoted_repeated_and_spaced() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_colors(&service, &["White, pearl", "black", "pearl", "red"]).await;
    let list = async |pairs: &[(&str, &str)]| {
        let pairs = [&[("make", "hyundai")], pairs].concat();
        acme.get(&format!("/v1/vehicles?{}", query(&pairs))).await
    };
    let count = async |pairs: &[(&str, &str)]| list(pairs).await.ids().len();
    let lists: [(&[(&str, &str)], usize); 8] = [
        (&[("color", "\"white, PEARL\"")], 1),
        (&[("color", "White, pearl")], 1),
        (&[("color", " \"White, pearl\" , black ")], 2),
        (&[("color", "black"), ("color", "red")], 2),
        (&[("color", "black,red"), ("color", "\"White, pearl\"")], 3),
        (&[("color", "black"), ("color", "black")], 1),
        (&[("ids", "encar_0"), ("ids", "encar_1, encar_2")], 3),
        (&[("source", "dealer"), ("source", "sk,aj")], 4),
    ];
    for (pairs, expected) in lists {
        assert_eq!(count(pairs).await, expected, "{pairs:?}");
    }
    for wrong in ["\"White, pearl", "\"White\" pearl", "black,\""] {
        let reply = list(&[("color", wrong)]).await;
        assert_eq!(
            reply.issues(),
            [issue("color", "INVALID_FORMAT")],
            "{wrong}"
        );
    }
    let ids = vec!["encar_0"; 60].join(",");
    let reply = list(&[("ids", ids.as_str()), ("ids", ids.as_str())]).await;
    assert_eq!(reply.issues(), [issue("ids", "TOO_MANY")]);
    // What takes one value still takes one.
    let reply = list(&[("limit", "1"), ("limit", "1")]).await;
    assert_eq!(reply.issues(), [issue("limit", "DUPLICATE")]);
    // The next page is the one of the same list, however it is written.
    let pairs = [
        ("color", "\"White, pearl\""),
        ("color", "black"),
        ("limit", "1"),
    ];
    let first = list(&pairs).await;
    let next = first.header("link").trim_start_matches('<');
    let (next, _) = next.split_once('>').unwrap();
    let second = acme.get(next).await;
    assert_eq!(second.ids().len(), 1);
    assert_ne!(second.ids(), first.ids());
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let other_spelling = [
        ("color", "BLACK,\"white, pearl\""),
        ("cursor", cursor.as_str()),
    ];
    assert_eq!(list(&other_spelling).await.ids(), second.ids());
}

#[tokio::test]
async fn signs_of_times_are_ascii() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    for time in [
        "2025-06-15T12:00:00\u{2212}05:00",
        "2025-06-15T12:00:00\u{ff0b}09:00",
        "2025\u{2212}06\u{2212}15T12:00:00-05:00",
        "2025-06-15T12:00:00.\u{661}+09:00",
    ] {
        let report = json!({"status": "delivered", "occurred_at": time});
        let reply = acme.report(&order, report).await;
        let expected = [issue("occurred_at", "INVALID_FORMAT")];
        assert_eq!(reply.issues(), expected, "{time}");
        let to = query(&[("to", time)]);
        let reply = acme.get(&format!("/v1/orders?{to}")).await;
        assert_eq!(reply.issues(), [issue("to", "INVALID_FORMAT")], "{time}");
    }
    let ascii = query(&[("to", "2025-06-15T12:00:00-05:00")]);
    acme.get(&format!("/v1/orders?{ascii}")).await.ok();
}

#[tokio::test]
async fn equal_numbers_are_one_request_of_a_key_in_every_member() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let post = async |bid: &str, note: &str| {
        let body = format!(
            r#"{{"vehicle_id":"glovis_1","max_bid_amount_usd":{bid},"note":{{"tags":[{note},"a"]}}}}"#
        );
        let ask = acme.ask(Method::POST, "/v1/orders").key(&key);
        let ask = ask.header("content-type", "application/json");
        ask.body(body).send().await
    };
    let first = post("12000", "1").await;
    first.created();
    for (bid, note) in [
        ("12000", "1.0"),
        ("12000", "1e0"),
        ("12000.0", "10e-1"),
        ("12e3", "1"),
    ] {
        post(bid, note).await.replays(&first);
    }
    for (bid, note, mismatch) in [
        ("12000", "1.5", "body"),
        ("12000", "\"1\"", "body"),
        ("12000", "true", "body"),
        ("12001.0", "1", "max_bid_amount_usd"),
    ] {
        let details = post(bid, note)
            .await
            .refused(422, Code::IdempotencyKeyReused);
        assert_eq!(details["mismatch"], json!([mismatch]), "{bid} {note}");
    }
}

#[tokio::test]
async fn partners_behind_one_address_are_all_served_after_a_start() {
    let service = Service::start().await;
    let mut partners = Vec::new();
    for n in 0..100 {
        partners.push(service.partner(&format!("partner {n}")).await);
    }
    // Three times the burst at once, and the others one after the other.
    let others = partners.split_off(60);
    let mut askers = JoinSet::new();
    for partner in partners {
        askers.spawn(async move { partner.get("/v1/orders").await });
    }
    for reply in askers.join_all().await {
        reply.ok();
    }
    for partner in &others {
        partner.get("/v1/orders").await.ok();
    }
    assert_eq!(service.metric("lmn_throttled_keys_total").await, 0.0);
}

#[tokio::test]
async fn unknown_keys_tried_at_once_pass_exactly_the_burst() {
    let service = Service::with(&[
        ("LIMITS__UNKNOWN_KEY__WINDOW_SECONDS", "1000"),
        ("LIMITS__UNKNOWN_KEY__BURST", "3"),
    ])
    .await;
    let acme = service.partner("acme").await;
    let mut askers = JoinSet::new();
    for n in 0..24 {
        let stranger = acme.with_key(&format!("lmn_stg_nobodys{n:0>21}"));
        askers.spawn(async move { stranger.get("/v1/orders").await });
    }
    let replies: Vec<Reply> = askers.join_all().await;
    let count = |status| replies.iter().filter(|it| it.status == status).count();
    assert_eq!((count(401), count(429)), (3, 21));
    assert_eq!(service.metric("lmn_unknown_keys_total").await, 3.0);
}

/// Returns the pointers to all objects in a document that have a member with this value.
fn places(value: &Value, member: &str, expected: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if members.get(member) == Some(expected) {
                found.push(pointer.to_owned());
            }
            for (name, inner) in members {
                places(inner, member, expected, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (n, inner) in items.iter().enumerate() {
                places(inner, member, expected, &format!("{pointer}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn document_allows_members_and_marks_words_that_may_be_added() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let document = acme.get("/v1/openapi.json").await.ok();
    let mut closed = Vec::new();
    places(
        &document,
        "additionalProperties",
        &json!(false),
        "",
        &mut closed,
    );
    assert_eq!(closed, Vec::<String>::new());
    let schemas = &document["components"]["schemas"];
    for pointer in [
        "/EventType",
        "/ErrorCode",
        "/OrderStatus",
        "/DeliveryStatus",
        "/IssueKind",
        "/Action",
        "/Owner",
        "/Source",
        "/Order/properties/fulfillment_detail",
        "/Order/properties/failure_reason",
        "/Order/properties/cancellation_reason",
        "/VehicleSummary/properties/auction_result",
        "/WebhookEndpoint/properties/disabled_reason",
        "/ErrorDetails/properties/reason",
        "/ErrorDetails/properties/mismatch/items",
        "/Problem/properties/code",
    ] {
        let schema = schemas.pointer(pointer).expect(pointer);
        assert!(schema["x-extensible-enum"].is_array(), "{pointer}");
        assert_eq!(
            schema.get("enum"),
            None,
            "{pointer}: a decoder would refuse a word of tomorrow"
        );
    }
    // A strict client accepts an answer of tomorrow, and today's is whole.
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut order = acme.place_order("glovis_1", 12_000).await.created();
    let order_schema = json!({"$ref": "#/components/schemas/Order"});
    let schema = json!({"allOf": [order_schema], "components": {"schemas": schemas}});
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    let validator = options.build(&schema).unwrap();
    assert!(validator.is_valid(&order));
    order["carbon_kg"] = json!({"sea": 1});
    order["amounts"]["insurance_usd"] = json!(1);
    order["status"] = json!("on_hold");
    assert!(validator.is_valid(&order));
    order.as_object_mut().unwrap().remove("vin");
    assert!(!validator.is_valid(&order), "members are always present");
}

#[tokio::test]
async fn links_and_locations_begin_with_the_path_of_the_public_url() {
    let public_url = "https://gateway.example.com/lmn/partners";
    let settings = [
        ("PUBLIC_URL", "https://gateway.example.com/lmn/partners/"),
        ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8"),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    let document = Document::of(Environment::Sandbox, public_url);
    for n in 0..2 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
    }
    let once = key();
    let placed = acme.place_order_once(&once, "glovis_0", 12_000).await;
    placed.created();
    let location = format!("/lmn/partners/v1/orders/{}", placed.id());
    assert_eq!(placed.header("location"), location);
    document.check("create_order", &placed);
    let again = acme.place_order_once(&once, "glovis_0", 12_000).await;
    again.replays(&placed);
    assert_eq!(again.header("location"), location);
    // Decided under the lock, too.
    service.disable_placing_in_one_round_trip().await;
    let locked = acme.place_order("glovis_1", 12_000).await;
    let location = format!("/lmn/partners/v1/orders/{}", locked.id());
    assert_eq!(locked.header("location"), location);
    let put = acme.ask(Method::PUT, "/v1/webhook_endpoint");
    let put = put
        .json(&json!({"url": "http://127.0.0.1:9/"}))
        .send()
        .await;
    assert_eq!(put.expect(201)["enabled"], true);
    assert_eq!(put.header("location"), "/lmn/partners/v1/webhook_endpoint");

    for (path, operation) in [
        ("/v1/orders", "list_orders"),
        ("/v1/vehicles?source=glovis", "list_vehicles"),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = acme.get(&format!("{path}{separator}limit=1")).await;
        let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
        let link = format!("</lmn/partners{path}{separator}limit=1&cursor={cursor}>; rel=\"next\"");
        assert_eq!(page.header("link"), link);
        document.check(operation, &page);
    }

    // Absolute URLs have it as well.
    let problem = acme
        .ask(Method::GET, "/v1/orders/nobodys")
        .header("accept", "application/problem+json");
    let problem = problem.send().await.json();
    assert_eq!(
        problem["type"],
        format!("{public_url}/v1/errors/order_not_found")
    );
    let served = acme.get("/v1/openapi.json").await.ok();
    assert_eq!(served["servers"], json!([{"url": public_url}]));
    let examples = &served["components"]["headers"];
    for (name, begins) in [
        ("Location", "/lmn/partners/v1/"),
        ("Link.optional", "</lmn/partners/v1/"),
    ] {
        let example = examples[name]["example"].as_str().unwrap();
        assert!(example.starts_with(begins), "{example}");
    }
}

/// Orders and events of the history that rare ones are looked for in.
const HISTORY: i64 = 100_000;
/// Rows that all lists together may read; reading the history once takes more.
const READ_MAX: i64 = 40_000;

/// Returns SQL that inserts orders of a partner: the status of number `n` is an SQL expression.
fn insert_orders(partner: &Partner, count: i64, status: &str) -> String {
    format!(
        r#"insert into orders (id, partner_id, vehicle_id, status, placed_by, placed_at, rendered, created_at, updated_at)
           select id, '{}', 'v' || n, status, 'test', at,
                  format('{{"id":"%s","status":"%s","amounts":{{}}}}', case when n <= 1000 then ulid(id) end, status),
                  at, at + (n % 7) * interval '1 hour'
           from (select gen_random_uuid() as id, n, {status} as status,
                        timestamptz '2026-01-01' + (n / 3) * interval '1 minute' as at
                 from generate_series(1, {count}) as n) as made"#,
        partner.id
    )
}

/// Waits until the sessions with these names have ended: then what they have read is counted.
async fn wait_for_end(service: &Service, names: &str) {
    let query = format!(
        "select count(*) from pg_stat_activity
         where datname = current_database() and application_name like '{names}'"
    );
    eventually("the sessions have ended", async || {
        (service.count(&query).await == 0).then_some(())
    })
    .await;
}

/// Returns the number of rows of orders and events that were read so far, by an index or without one.
async fn rows_read(service: &Service) -> i64 {
    let query = "select (select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes
                         where relname in ('orders', 'events'))::bigint
                      + (select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables
                         where relname in ('orders', 'events'))::bigint";
    service.count(query).await
}

/// Runs statements over a session of its own: once it has ended, what it has read is counted and can be subtracted.
async fn fill(service: &Service, statements: impl IntoIterator<Item = String>) {
    let options = (*service.db().connect_options()).clone();
    let options = options.application_name("filler");
    let mut filler = PgConnection::connect_with(&options).await.unwrap();
    for statement in statements {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut filler)
            .await
            .unwrap();
    }
    filler.close().await.unwrap();
    wait_for_end(service, "filler").await;
}

/// Adds a long history of orders and events, of which few are rare.
async fn add_history(service: &Service, acme: &Partner) {
    let rare = format!(
        "case when n in (1, {HISTORY} / 2, {HISTORY}) then 'failed' when n % 25000 = 7 then 'proceed' else 'delivered' end"
    );
    let events = format!(
        "insert into events (id, partner_id, position, type, occurred_at, payload, delivery_status)
         select gen_random_uuid(), '{}', n,
                'webhook.test', now(), '{{}}',
                case when n in (1, {HISTORY} / 2) then 'failed' else 'delivered' end
         from generate_series(1, {HISTORY}) as n",
        acme.id
    );
    let analyze = ["analyze orders", "analyze events"].map(str::to_owned);
    let history = [insert_orders(acme, HISTORY, &rare), events];
    fill(service, history.into_iter().chain(analyze)).await;
}

#[tokio::test]
async fn lists_of_rare_orders_and_events_do_not_read_the_whole_history() {
    let mut service = Service::start().await;
    let acme = service.partner("acme").await;
    add_history(&service, &acme).await;
    let before = rows_read(&service).await;

    for sort in [
        "created_desc",
        "created_asc",
        "updated_desc",
        "auction_date_asc",
    ] {
        for (status, expected) in [
            ("failed", 3),
            ("cancelled", 0),
            ("secured", 0),
            ("proceed", 4),
            ("cancelled,failed,secured,proceed", 7),
            ("failed,delivered", 50),
        ] {
            let path = format!("/v1/orders?sort={sort}&status={status}");
            assert_eq!(acme.get(&path).await.ids().len(), expected, "{path}");
        }
    }
    for (filter, expected) in [
        ("delivery_status=failed", 2),
        ("delivery_status=failed,delivery_skipped,pending", 2),
        ("type=order.price_updated", 0),
        ("type=order.price_updated,order.re_auctioned", 0),
        ("type=webhook.test&delivery_status=failed", 2),
        (
            "type=webhook.test,order.price_updated&delivery_status=pending,failed",
            2,
        ),
        (
            "type=order.price_updated,webhook.test&delivery_status=delivered",
            50,
        ),
        (
            "after=evt_00000000000000000000000000&delivery_status=failed,pending",
            2,
        ),
        (
            "after=evt_00000000000000000000000000&type=order.re_auctioned",
            0,
        ),
    ] {
        let path = format!("/v1/events?{filter}");
        assert_eq!(acme.get(&path).await.ids().len(), expected, "{path}");
    }
    service.stop().await;
    wait_for_end(&service, "lmn%").await;
    let read = rows_read(&service).await - before;
    assert!(read > 0 && read < READ_MAX, "{read} rows were read");
}

#[tokio::test]
async fn lists_of_all_orders_do_not_read_the_whole_history() {
    let mut service = Service::start().await;
    let acme = service.partner("acme").await;
    add_history(&service, &acme).await;
    let before = rows_read(&service).await;

    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    let days = "auction_date_from=2026-01-01&auction_date_to=2026-12-31";
    for sort in [
        "created_desc",
        "created_asc",
        "updated_desc",
        "auction_date_asc",
    ] {
        for (filter, expected) in [
            ("", 50),
            ("&partner=acme", 50),
            ("&status=failed", 3),
            ("&status=proceed,cancelled", 4),
            ("&q=v1", 1),
        ] {
            let path = format!("/orders?sort={sort}{filter}");
            assert_eq!(vera.rows(&path).await.len(), expected, "{path}");
        }
        for days in [days, "auction_date_from=2026-01-01"] {
            let path = format!("/orders?sort={sort}&{days}");
            assert_eq!(vera.rows(&path).await.len(), 0, "{path}");
        }
    }
    for path in [
        "/bid-sheet?date=2026-04-20",
        "/orders?overdue=true",
        "/orders?from=2025-01-01T00:00:00%2B09:00&to=2025-01-02T00:00:00%2B09:00",
    ] {
        assert_eq!(vera.rows(path).await.len(), 0, "{path}");
    }
    service.stop().await;
    wait_for_end(&service, "lmn%").await;
    let read = rows_read(&service).await - before;
    assert!(read > 0 && read < READ_MAX, "{read} rows were read");
}

#[tokio::test]
async fn plan_made_while_there_were_few_orders_does_not_read_all_of_them_later() {
    let mut service = Service::start().await;
    let acme = service.partner("acme").await;
    fill(&service, [insert_orders(&acme, 1, "'proceed'")]).await;
    let path = format!("/v1/orders/{}", acme.get("/v1/orders").await.ids()[0]);
    acme.get(&path).await.ok();
    fill(&service, [insert_orders(&acme, 2_000, "'failed'")]).await;
    let before = rows_read(&service).await;
    for _ in 0..20 {
        acme.get(&path).await.ok();
    }
    service.stop().await;
    wait_for_end(&service, "lmn%").await;
    let rows = rows_read(&service).await - before;
    assert!(rows < 1_000, "{rows} rows were read");
}

#[tokio::test]
async fn pages_of_statuses_are_those_of_the_whole_list() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let status = "(array['proceed', 'acquiring', 'shipping', 'delivered', 'cancelled', 'failed'])[1 + n * 5 % 6]";
    // Shipping and delivered orders need vehicles of their own, which they have.
    let statement = insert_orders(&acme, 100, status);
    service.sql_elsewhere(&statement).await;
    let walk = async |query: &str| {
        let (mut rows, mut next) = (Vec::new(), String::new());
        loop {
            let page = acme.get(&format!("/v1/orders?{query}{next}")).await.ok();
            rows.extend(page["data"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return rows,
            }
        }
    };
    for sort in [
        "created_desc",
        "created_asc",
        "updated_desc",
        "auction_date_asc",
    ] {
        let all = walk(&format!("sort={sort}&limit=200")).await;
        assert_eq!(all.len(), 100);
        for status in [
            "failed",
            "proceed",
            "delivered,failed",
            "proceed,shipping",
            "acquiring,cancelled,delivered",
            "failed,failed,proceed",
            "proceed,acquiring,secured,shipping,delivered,cancelled,failed",
        ] {
            let wanted = |row: &&Value| status.split(',').any(|it| row["status"] == it);
            let expected: Vec<Value> = all.iter().filter(wanted).cloned().collect();
            let found = walk(&format!("sort={sort}&status={status}&limit=7")).await;
            assert_eq!(found, expected, "{sort} {status}");
        }
    }
}

#[tokio::test]
async fn pages_of_all_orders_are_those_of_a_partner_that_placed_them_all() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    let status = "(array['proceed', 'acquiring', 'shipping', 'delivered', 'cancelled', 'failed'])[1 + n * 5 % 6]";
    let statement = insert_orders(&acme, 100, status);
    service.sql_elsewhere(&statement).await;
    for sort in ["updated_desc", "auction_date_asc"] {
        let whole = acme.get(&format!("/v1/orders?sort={sort}&limit=200")).await;
        let expected = whole.ids();
        assert_eq!(expected.len(), 100);
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!("/orders?sort={sort}&limit=7{next}");
            let page = vera.get(&path).await;
            found.extend(page.ids());
            match page.json()["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{sort}");
    }
}
