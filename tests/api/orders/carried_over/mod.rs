//! Orders placed before migration 11: a database of the earlier schema is migrated, and its orders can still be used.
//!
//! The files beside this one were recorded from the server of commit 43ab0d5, which had ten migrations. `database.sql`
//! holds the rows that it wrote, `writes.jsonl` the requests that bound a key and their replies, `reads.jsonl` its
//! replies to reads at the end, `audit.jsonl` the output of `lmn audit --json`.

use std::collections::BTreeSet;

use lmn_partner_api::{
    database::MIGRATOR,
    errors::catalogue::Code,
    orders::state_machine::{ShipmentChange, Transition},
    router::router,
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    database::TestDatabase,
    invariants::check_invariants,
    process::{run, words},
    support::{Ask, Partner, Reply, Service, limit},
};

const DATABASE: &str = include_str!("database.sql");
const WRITES: &str = include_str!("writes.jsonl");
const READS: &str = include_str!("reads.jsonl");
const AUDIT: &str = include_str!("audit.jsonl");

/// Names of the recorded partners.
const PARTNERS: [&str; 3] = ["acme", "rival", "late"];

/// The schema of the recorded database: the newest migration of its server.
const RECORDED: i64 = 10;

/// Makes the recorded database, and applies the later migrations up to a version of the schema.
async fn recorded_database(version: i64) -> TestDatabase {
    let database = TestDatabase::empty().await;
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::query("select set_config('lmn.environment', 'sandbox', false)")
        .execute(&mut *connection)
        .await
        .unwrap();
    let recorded = MIGRATOR.run_to(RECORDED, &mut *connection);
    recorded.await.unwrap();
    sqlx::raw_sql(DATABASE)
        .execute(&mut *connection)
        .await
        .unwrap();
    let migrated = MIGRATOR.run_to(version, &mut *connection);
    migrated.await.unwrap();
    drop(connection);
    database
}

/// Starts the service on the recorded database at a version of the schema, migrated by `lmn migrate`, at a time after the
/// recording.
async fn migrated_from(version: i64) -> Service {
    let database = recorded_database(version).await;
    let migrated = run(&["migrate"], &[("DATABASE_URL", &database.url())]);
    assert!(migrated.status.success(), "{}", words(&migrated));
    let service = Service::on(database, &[], router).await;
    for name in PARTNERS {
        let partner = partner(&service, name).await;
        // No test reaches it.
        let unreached = limit(100_000, 1, 100_000);
        partner.set_read_limit(service.db(), unreached).await;
        partner.set_write_limit(service.db(), unreached).await;
    }
    service.time_is("2026-07-01T10:00:00+09:00").await;
    service
}

/// Starts the service on the database as it was recorded.
async fn migrated_service() -> Service {
    migrated_from(RECORDED).await
}

/// Returns a recorded partner with its recorded key.
async fn partner(service: &Service, name: &str) -> Partner {
    let id: Uuid = sqlx::query_scalar("select id from partners where name = $1")
        .bind(name)
        .fetch_one(service.db())
        .await
        .unwrap();
    let api_key = format!("lmn_stg_{name:0<28}");
    Partner::known(&service.url, id, &api_key)
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Returns the id of the order that a partner placed on a vehicle.
fn order(partner: &str, vehicle: &str) -> String {
    let placed = lines(WRITES).into_iter().find(|it| {
        it["partner"] == partner && text(it, "body").contains(&format!("\"{vehicle}\""))
    });
    let placed: Value = serde_json::from_str(text(&placed.unwrap(), "reply")).unwrap();
    text(&placed, "id").to_owned()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn body(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

/// Returns the names of an order's members in the order in which they are written.
fn members(order: &str) -> Vec<&str> {
    let names = order
        .split(['{', ','])
        .filter_map(|it| it.split_once("\":"));
    names.map(|(name, _)| name).collect()
}

/// Builds the request of a recorded write again, with its key.
fn replay(partner: &Partner, write: &Value) -> Ask {
    request(partner, write, text(write, "path"), write["body"].as_str())
}

/// Builds another request with the key of a recorded write, and returns the part in which the two differ.
fn conflicting(partner: &Partner, write: &Value) -> (Ask, &'static str) {
    let path = text(write, "path");
    match write["body"].as_str() {
        Some(body) => {
            let body = body.replace('}', ",\"note\":1}");
            (request(partner, write, path, Some(&body)), "body")
        }
        None => {
            let path = path.to_ascii_lowercase();
            (request(partner, write, &path, None), "path")
        }
    }
}

fn request(partner: &Partner, write: &Value, path: &str, body: Option<&str>) -> Ask {
    let method = Method::from_bytes(text(write, "method").as_bytes()).unwrap();
    let ask = partner.ask(method, path).key(text(write, "key"));
    match body {
        Some(body) => ask
            .header("content-type", "application/json")
            .body(body.to_owned()),
        None => ask,
    }
}

#[tokio::test]
async fn migrated_order_is_answered_byte_for_byte_as_before() {
    let service = migrated_service().await;
    check_reads(&service).await;
}

/// Repeats every recorded read.
async fn check_reads(service: &Service) {
    let reads = lines(READS);
    assert!(reads.len() > 60, "all was recorded");
    for read in &reads {
        let reader = partner(service, text(read, "partner")).await;
        let reply = reader.get(text(read, "path")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(body(&reply), current(read), "{}", text(read, "path"));
    }
}

/// Returns a recorded reply to a read in its current form: events have gained a member.
fn current(read: &Value) -> String {
    let next = "\"next_attempt_at\":";
    text(read, "reply").replace(next, &format!("\"last_error\":null,{next}"))
}

#[tokio::test]
async fn migrated_key_replays_its_reply_and_refuses_another_request() {
    let service = migrated_service().await;
    check_keys(&service).await;
}

/// Repeats every recorded write, and sends another request with its key.
async fn check_keys(service: &Service) {
    let before = service.step_count().await;
    for write in &lines(WRITES) {
        let writer = partner(service, text(write, "partner")).await;
        let replay = replay(&writer, write).send().await;
        assert_eq!(replay.status, 200, "{write}: {replay:?}");
        assert_eq!(body(&replay), text(write, "reply"));
        assert_eq!(replay.outcome(), ("replayed", "true"));
        assert_eq!(replay.header("location"), text(write, "location"));

        let (other, part) = conflicting(&writer, write);
        let refused = other.send().await;
        let details = refused.refused(422, Code::IdempotencyKeyReused);
        assert_eq!(details["mismatch"], json!([part]), "{write}");
    }
    let after = service.step_count().await;
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_every_earlier_schema_is_migrated_and_serves_as_before() {
    let newest = MIGRATOR.iter().map(|it| it.version).max().unwrap();
    for version in RECORDED + 1..=newest {
        let mut service = migrated_from(version).await;
        check_invariants(service.db()).await;
        check_reads(&service).await;
        check_keys(&service).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn audit_log_still_names_the_actor_of_each_placement_and_step() {
    let service = migrated_service().await;
    let printed = run(
        &["audit", "--json"],
        &[("DATABASE_URL", &service.database.url())],
    );
    assert!(printed.status.success(), "{}", words(&printed));
    let printed = lines(std::str::from_utf8(&printed.stdout).unwrap());
    let recorded = lines(AUDIT);
    let expected: Vec<_> = recorded.iter().flat_map(entries_of).collect();
    assert_eq!(printed.len(), expected.len());
    let sorted =
        |entries: &[Value]| -> BTreeSet<String> { entries.iter().map(Value::to_string).collect() };
    let (printed, expected) = (sorted(&printed), sorted(&expected));
    let missing: Vec<_> = expected.difference(&printed).collect();
    let unexpected: Vec<_> = printed.difference(&expected).collect();
    assert!(
        missing.is_empty() && unexpected.is_empty(),
        "missing: {missing:#?}\nunexpected: {unexpected:#?}"
    );
}

/// Returns a recorded audit entry in its current form: an entry with several steps has become one entry for each step.
fn entries_of(entry: &Value) -> Vec<Value> {
    let details = &entry["details"];
    if !["order.cancelled", "order.reported", "order.advanced"].contains(&text(entry, "action")) {
        return vec![entry.clone()];
    }
    let steps = details["steps"].as_array().unwrap();
    let from = std::iter::once(&details["from"]).chain(steps);
    let entries = from.zip(steps).map(|(from, to)| {
        let mut entry = entry.clone();
        entry["details"] =
            json!({"from": from, "to": to, "fulfillment_detail": details["fulfillment_detail"]});
        entry
    });
    entries.collect()
}

#[tokio::test]
async fn migrated_order_can_be_advanced_reported_and_cancelled() {
    let service = migrated_service().await;
    let (acme, rival) = (
        partner(&service, "acme").await,
        partner(&service, "rival").await,
    );
    // A step of the operator changes the status, and keeps every other member as the migration wrote it.
    let outbid = order("acme", "glovis_rivals");
    let before = acme.order(&outbid).await;
    service
        .operator()
        .takes(&outbid, &[Transition::Acquire])
        .await;
    let after = acme.order(&outbid).await;
    let expected = body(&before)
        .replace("\"proceed\"", "\"acquiring\"")
        .replace("[\"cancel\"]", "[]");
    assert_eq!(updated_now(&expected), body(&after));
    let history = acme.rows(&format!("/v1/orders/{outbid}/history")).await;
    let steps: Vec<_> = history.iter().map(|it| (&it["n"], &it["status"])).collect();
    assert_eq!(
        steps,
        [
            (&json!(1), &json!("proceed")),
            (&json!(2), &json!("acquiring"))
        ]
    );
    assert_eq!(acme.events_of(&outbid).await.len(), 2);

    // The same for a shipment with escaped characters.
    let shipping = order("acme", "glovis_settled");
    let before = acme.order(&shipping).await;
    let change = ShipmentChange {
        bl_number: Some(Some("GLV-2".to_owned())),
        ..ShipmentChange::default()
    };
    let operator = service.operator();
    operator
        .takes(&shipping, &[Transition::Shipment(change)])
        .await;
    let after = acme.order(&shipping).await;
    assert_eq!(
        updated_now(&body(&before).replace("GLV-1", "GLV-2")),
        body(&after)
    );
    let report = json!({"status": "delivered", "occurred_at": "2026-06-30T10:30:00-03:30"});
    let delivered = acme.report(&shipping, report).await.ok();
    assert_eq!(delivered["status"], "delivered");

    // The highest bid is cancelled, and the other one leads.
    let highest = order("rival", "glovis_rivals");
    let cancelled = rival.cancel(&highest).await.ok();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["is_highest_bid"], true);
    let leads = acme.order(&outbid).await.ok();
    assert_eq!(leads["is_highest_bid"], true);
    assert_eq!(leads["current_max_bid_usd"], 12_000);
}

/// Returns the text of an order with `updated_at` set to the time of the tests.
fn updated_now(order: &str) -> String {
    let (before, _) = order.split_once("\"updated_at\":").unwrap();
    format!("{before}\"updated_at\":\"2026-07-01T10:00:00+09:00\"}}")
}

#[tokio::test]
async fn new_order_takes_migrated_orders_into_account() {
    let service = migrated_service().await;
    let (acme, late) = (
        partner(&service, "acme").await,
        partner(&service, "late").await,
    );
    let sole_bid = order("acme", "glovis_left");
    let before = acme.order(&sole_bid).await;
    assert_eq!(before.ok()["is_highest_bid"], true);
    // Orders on a vehicle with one bid, on a vehicle with two bids, and on a secured vehicle.
    let first = late.place_order("glovis_left", 13_000).await;
    assert_eq!(first.created()["is_highest_bid"], true);
    assert_eq!(members(body(&before)), members(body(&first)));
    let outbid = acme.order(&sole_bid).await.ok();
    assert_eq!(outbid["is_highest_bid"], false);
    assert_eq!(outbid["current_max_bid_usd"], 13_000);

    let lower = late.place_order("glovis_rivals", 13_000).await.created();
    assert_eq!(lower["is_highest_bid"], false);
    assert_eq!(lower["current_max_bid_usd"], 15_000);

    let refused_order = late.place_order("dealer_secured", None).await;
    refused_order.refused(410, Code::VehicleUnavailable);
    // A migrated open order prevents another order of its partner on the vehicle.
    let refused = acme.place_order("dealer_open", None).await;
    let details = refused.refused(409, Code::DuplicateOrder);
    assert_eq!(details["existing_order_id"], order("acme", "dealer_open"));
}
