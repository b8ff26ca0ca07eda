//! The operator's hand in the life of orders: auctions, steps, shipments, reports, and the audit log of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{desk::Desk, process::Process};

/// Lots of tomorrow's tomorrow and later, as `catalog import` reads them.
pub fn lots(ids: &[&str]) -> String {
    let lot = |id: &&str| {
        json!({
            "id": id, "source": "glovis", "make": "Hyundai", "model": "Grandeur", "year": 2021,
            "mileage_km": 40_000, "auction_date": "2099-04-20T13:00:00+09:00", "auction_result": "upcoming",
            "pricing": {"listing_usd": 10_000}, "listed_at": "2026-01-02T03:04:05+09:00",
        })
    };
    ids.iter().map(|id| format!("{}\n", lot(id))).collect()
}

/// A partner with a key.
pub fn partner(desk: &Desk, name: &str) -> String {
    desk.one(&["partner", "add", name]);
    let issued = desk.one(&["key", "issue", name]);
    let mut texts = issued
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str);
    texts.find(|it| it.len() == 36).unwrap().to_owned()
}

pub async fn order(server: &Process, key: &str, car: &str, bid: impl Into<Option<i64>>) -> String {
    let bid = bid.into();
    let request = reqwest::Client::new().post(format!("{}/v1/orders", server.url()));
    let request = request
        .header("x-api-key", key)
        .header("idempotency-key", Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(json!({"vehicle_id": car, "max_bid_amount_usd": bid}).to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_settles_an_auction_and_ships_the_car() {
    let desk = Desk::new().await;
    let (acme, rival) = (partner(&desk, "acme"), partner(&desk, "rival"));
    let imported = desk.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    assert!(
        imported.status.success(),
        "{}",
        crate::process::words(&imported)
    );
    let server = desk.serve("sandbox");
    let lost = order(&server, &acme, "glovis_1", 12_000).await;
    let won = order(&server, &rival, "glovis_1", 15_000).await;

    let moved = desk.all(&[
        "auction",
        "reschedule",
        "glovis_1",
        "2099-04-25T13:00:00+09:00",
    ]);
    assert_eq!(moved.len(), 2);
    let priced = desk.all(&["catalog", "price", "glovis_1", "11000"]);
    assert_eq!(priced.len(), 2);
    let refused = [
        "auction", "result", "glovis_1", "won", "--price", "15001", "--fee", "0",
    ];
    assert!(desk.refused(&refused).contains("above the bid"));
    let settled = desk.all(&[
        "auction", "result", "glovis_1", "won", "--price", "14000", "--fee", "150",
    ]);
    let ends: BTreeSet<_> = settled
        .iter()
        .map(|it| {
            (
                it["order_id"].as_str().unwrap(),
                it["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        ends,
        BTreeSet::from([(lost.as_str(), "failed"), (won.as_str(), "secured")])
    );

    ship(&desk, &won);

    // Who, when, what, and under which request.
    let audit = desk.all(&["audit", "--partner", "rival"]);
    let settlement = audit.iter().find(|it| it["details"]["to"] == "secured");
    let settlement = settlement.expect("the settlement is in the log");
    assert_eq!(settlement["actor"], "operator:kim");
    assert_eq!(settlement["subject"], won.as_str());
    let request = &settlement["request_id"];
    let all = desk.all(&["audit"]);
    let together: BTreeSet<_> = all
        .iter()
        .filter(|it| it["request_id"] == *request)
        .map(|it| it["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        together.len(),
        3,
        "the car and both orders were settled in one request: {together:?}"
    );
}

/// Ships a secured car, and says how it travels.
fn ship(desk: &Desk, won: &str) {
    desk.one(&["order", "advance", won, "shipping"]);
    desk.one(&["order", "fulfillment", won, "awaiting_pickup"]);
    let eta = "2099-06-05T12:00:00+01:00";
    let shipped = desk.one(&[
        "order",
        "shipment",
        won,
        "--vessel-name",
        "Glovis Sun",
        "--eta",
        eta,
    ]);
    assert_eq!(shipped["shipment"]["eta"], eta);
    assert_eq!(shipped["amounts"]["purchase_price_usd"], 14_000);
    let statuses: Vec<_> = shipped["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].clone())
        .collect();
    assert_eq!(
        statuses,
        ["proceed", "acquiring", "secured", "shipping", "shipping"]
    );
    let cleared = desk.one(&["order", "shipment", won, "--vessel-name", ""]);
    assert!(cleared["shipment"]["vessel_name"].is_null());
    assert!(
        desk.refused(&["order", "advance", won, "acquiring"])
            .contains("`shipping`")
    );
    assert!(
        desk.refused(&["order", "advance", won, "secured"])
            .contains("--purchase-price")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_delivery_is_reported_with_its_contact() {
    let desk = Desk::new().await;
    let acme = partner(&desk, "acme");
    desk.one(&["partner", "contact", "acme", "logistics@acme.example"]);
    let imported = desk.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    assert!(imported.status.success());
    let server = desk.serve("sandbox");
    let id = order(&server, &acme, "glovis_1", 12_000).await;
    assert!(desk.all(&["report", "overdue"]).is_empty());
    desk.one(&["order", "advance", &id, "acquiring"]);
    desk.one(&[
        "order",
        "advance",
        &id,
        "secured",
        "--purchase-price",
        "11000",
        "--auction-fee",
        "0",
    ]);
    desk.one(&["order", "advance", &id, "shipping"]);
    assert!(desk.all(&["report", "overdue"]).is_empty());
    desk.sql("update orders set shipping_since = shipping_since - interval '91 days'")
        .await;
    let overdue = desk.one(&["report", "overdue", "--partner", "acme"]);
    assert_eq!(
        (&overdue["order"], &overdue["days"]),
        (&json!(id), &json!(91))
    );
    assert_eq!(overdue["contact"], "logistics@acme.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_car_takes_its_orders_along_and_a_wrong_word_is_wrong_usage() {
    let desk = Desk::new().await;
    let acme = partner(&desk, "acme");
    desk.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let server = desk.serve("sandbox");
    order(&server, &acme, "glovis_1", 12_000).await;
    let withdrawn = desk.one(&["catalog", "withdraw", "glovis_1"]);
    assert_eq!(withdrawn["status"], "cancelled");
    assert!(
        desk.refused(&["catalog", "withdraw", "glovis_9"])
            .contains("no such vehicle")
    );
    for arguments in [
        &["order", "advance", "x", "acquiring"][..],
        &["order", "advance", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "gone"],
        &["auction", "result", "glovis_1", "won"],
        &["auction", "reschedule", "glovis_1", "2099-04-25T13:00:00Z"],
        &["catalog", "price", "glovis_1", "0"],
    ] {
        let output = desk.run_with(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert!(
        desk.refused(&["order", "advance", nobody, "acquiring"])
            .contains("no such order")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sweeps_apart_from_the_servers() {
    let desk = Desk::new().await;
    let acme = partner(&desk, "acme");
    desk.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let url = desk.database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_LOG__FILTER", "off"),
    ];
    let server = Process::start(&["serve", "--no-worker", "--json"], &variables);
    order(&server, &acme, "glovis_1", 12_000).await;
    desk.sql("update partners set clock_offset_seconds = 3153600000")
        .await;
    let worker = Process::start(&["worker", "--json"], &variables);
    assert_eq!(worker.ready["working"], true);
    let body = crate::desk::eventually(&server, &acme, "/v1/orders", |body| {
        body["data"][0]["failure_reason"] == "auction_passed"
    })
    .await;
    assert_eq!(body["data"][0]["status"], "failed");
    assert!(worker.stop().status.success());
}
