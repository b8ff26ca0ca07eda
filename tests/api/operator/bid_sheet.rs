//! The bid sheet of an auction day.

use lmn_partner_api::operators::model::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{OperatorApi, Service, Vehicle};

#[tokio::test]
async fn sheet_has_the_bids_on_each_vehicle_of_the_day() {
    let service = Service::start().await;
    let (acme, bolt) = (service.partner("acme").await, service.partner("bolt").await);
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    for (id, source) in [
        ("sk_1", "sk"),
        ("glovis_1", "glovis"),
        ("glovis_2", "glovis"),
    ] {
        let lot = Vehicle {
            source,
            ..Vehicle::lot(id)
        };
        service
            .vehicle(lot.auction_at("2100-04-20T13:00:00+09:00"))
            .await;
    }
    acme.place_order("glovis_1", 12_000).await.created();
    let leading = bolt.place_order("glovis_1", 13_000).await.id();
    acme.place_order("sk_1", 11_000).await.created();
    let cancelled = bolt.place_order("glovis_2", 11_000).await.id();
    bolt.cancel(&cancelled).await.ok();

    let day = "2100-04-20";
    let sheet = vera.get(&format!("/bid-sheet?date={day}")).await.ok();
    assert_eq!(sheet["next_cursor"], Value::Null);
    let rows = sheet["data"].as_array().unwrap();
    let ids: Vec<_> = rows
        .iter()
        .map(|row| row["vehicle"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["glovis_1", "sk_1"]);
    let first = &rows[0];
    assert_eq!(
        (&first["orders"], &first["highest_bid_usd"]),
        (&json!(2), &json!(13_000))
    );
    assert_eq!(
        (&first["second_bid_usd"], &first["is_closed"]),
        (&json!(12_000), &json!(false))
    );
    assert_eq!(first["leader"]["order_id"], leading);
    assert_eq!(first["leader"]["partner"]["name"], "bolt");
    assert!(first["vehicle"].get("location").is_some());
    assert_eq!(
        (&rows[1]["orders"], &rows[1]["second_bid_usd"]),
        (&json!(1), &Value::Null)
    );

    let of_sk = vera
        .get(&format!("/bid-sheet?date={day}&source=sk"))
        .await
        .ok();
    assert_eq!(of_sk["data"].as_array().unwrap().len(), 1);
    let before = vera.get("/bid-sheet?date=2001-01-01").await.ok();
    assert_eq!(before["data"], json!([]));

    let ask = vera.ask(Method::GET, &format!("/bid-sheet?date={day}&source=glovis"));
    let csv = ask.header("accept", "text/csv").send().await;
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("source,auction_date,lot_number,vehicle_id,"),
        "{text}"
    );
    assert!(
        lines[1].contains(&format!(",2,13000,12000,{leading},bolt,")),
        "{text}"
    );
}

#[tokio::test]
async fn sheet_needs_a_day() {
    let service = Service::start().await;
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    let missing = vera.get("/bid-sheet?source=ebay").await.issues();
    let expected = [
        ("source", "INVALID_VALUE"),
        ("date", "REQUIRED_FIELD_MISSING"),
    ];
    assert_eq!(
        missing,
        expected.map(|(path, kind)| (path.to_owned(), kind.to_owned()))
    );
    let wrong = vera.get("/bid-sheet?date=2026-4-20").await.issues();
    assert_eq!(wrong, [("date".to_owned(), "INVALID_FORMAT".to_owned())]);
}
