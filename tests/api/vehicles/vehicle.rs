//! Reads of one vehicle.

use lmn_partner_api::errors::catalogue::Code;
use serde_json::Value;

use crate::support::{Service, Vehicle};

#[tokio::test]
async fn vehicle_is_shown_with_every_member() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let vehicle = Vehicle {
        options: &["sunroof", "hud"],
        accident_grade: Some("A"),
        auction_count: Some(2),
        ..Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00")
    };
    service.vehicle(vehicle).await;
    service
        .sql(
            r#"update vehicles set photos = '{https://images.example.com/1.jpg}', first_registered_on = '2021-03-04',
                   inspection = '{"inspected_on":"2026-04-01","summary":"Sound.","items":[{"part":"hood","finding":"scratch"}]}',
                   lot_number = '2345'"#,
        )
        .await;
    let vehicle = acme.get("/v1/vehicles/glovis_1").await.ok();
    insta::assert_json_snapshot!(vehicle);
    let summary = &acme.get("/v1/vehicles?source=glovis").await.ok()["data"][0];
    let detail_only = [
        "vin",
        "license_plate",
        "first_registered_on",
        "location",
        "photos",
        "inspection",
        "description",
    ];
    for (field, value) in summary.as_object().unwrap() {
        match field.as_str() {
            "pricing" => assert_eq!(value, &serde_json::json!({"listing_usd": 10_000})),
            _ => assert_eq!(value, &vehicle[field], "{field}"),
        }
    }
    let fields = |value: &Value| value.as_object().unwrap().len();
    assert_eq!(fields(&vehicle), fields(summary) + detail_only.len());
}

#[tokio::test]
async fn unknown_or_withdrawn_vehicle_returns_404() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.withdraw_vehicle("glovis_1").await;
    for id in ["glovis_1", "glovis_2", "%00", "a%20b", "%F0%9F%9A%97"] {
        acme.get(&format!("/v1/vehicles/{id}"))
            .await
            .refused(404, Code::VehicleNotFound);
    }
    let reply = acme.get("/v1/vehicles/%ff").await;
    reply.refused(400, Code::ValidationError);
}

#[tokio::test]
async fn buy_now_vehicle_is_marked_and_has_no_cutoff() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    service.vehicle(Vehicle::no_bid("glovis_1")).await;
    service.vehicle(Vehicle::lot("glovis_2")).await;
    for (id, buy_now) in [("encar_1", true), ("glovis_1", true), ("glovis_2", false)] {
        let vehicle = acme.get(&format!("/v1/vehicles/{id}")).await.ok();
        assert_eq!(vehicle["buy_now"], buy_now, "{id}");
        assert_eq!(vehicle["order_cutoff_at"].is_null(), buy_now, "{id}");
    }
}
