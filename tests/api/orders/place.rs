//! Placing an order: every rule and every refusal.

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use serde_json::json;

use crate::support::{Service, Vehicle, secure};

#[tokio::test]
async fn order_on_a_lot_is_accepted_and_shown_with_every_member() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.time_is("2026-04-01T10:00:00.5+09:00").await;
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00"))
        .await;
    let reply = acme.place_order("glovis_1", 15_500).await;
    let order = reply.created();
    assert_eq!(
        reply.header("location"),
        format!("/v1/orders/{}", reply.id())
    );
    assert_eq!(reply.id().len(), 26);
    insta::assert_json_snapshot!(order, { ".id" => "[id]" }, @r#"
    {
      "allowed_actions": [
        "cancel"
      ],
      "amounts": {
        "auction_fee_usd": null,
        "purchase_price_usd": null
      },
      "auction_date": "2026-04-20T13:00:00+09:00",
      "cancellation_reason": null,
      "created_at": "2026-04-01T10:00:00.500+09:00",
      "current_max_bid_usd": 15500,
      "failure_reason": null,
      "fulfillment_detail": null,
      "id": "[id]",
      "is_highest_bid": true,
      "license_plate": "12가3456",
      "max_bid_amount_usd": 15500,
      "order_cutoff_at": "2026-04-19T00:00:00+09:00",
      "shipment": null,
      "status": "proceed",
      "updated_at": "2026-04-01T10:00:00.500+09:00",
      "vehicle_id": "glovis_1",
      "vin": "KMHF341DBMA000001"
    }
    "#);
    assert_eq!(acme.order(&reply.id()).await.body, reply.body);
}

#[tokio::test]
async fn order_records_its_first_step_a_snapshot_and_an_audit_row() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let seen = acme.get("/v1/vehicles/glovis_1").await;
    let reply = acme.place_order("glovis_1", 12_000).await;
    reply.created();
    let snapshot: String = sqlx::query_scalar("select vehicle::text from order_vehicles")
        .fetch_one(service.db())
        .await
        .unwrap();
    assert_eq!(
        snapshot.as_bytes(),
        seen.body,
        "the vehicle is kept as the partner saw it, byte for byte"
    );
    let step: (i32, String, String, i16) =
        sqlx::query_as("select n, status, by, occurred_offset_minutes from order_history")
            .fetch_one(service.db())
            .await
            .unwrap();
    assert_eq!(step, (1, "proceed".into(), "partner".into(), 540));
    let audit: (String, String, String, String) =
        sqlx::query_as("select actor, action, subject, request_id from audit_log")
            .fetch_one(service.db())
            .await
            .unwrap();
    let request_id = reply.header("x-request-id").to_owned();
    assert_eq!(
        audit,
        (
            format!("key:{}", &acme.api_key[..12]),
            "order.placed".into(),
            reply.id(),
            request_id
        )
    );
}

#[tokio::test]
async fn buy_now_vehicle_is_ordered_without_a_bid() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    service.vehicle(Vehicle::no_bid("glovis_1")).await;
    for id in ["encar_1", "glovis_1"] {
        let issues = acme.place_order(id, 10_000).await.issues();
        assert_eq!(
            issues,
            [("max_bid_amount_usd".into(), "INVALID_VALUE".into())]
        );
    }
    let omitted = acme
        .post("/v1/orders", json!({"vehicle_id": "encar_1"}))
        .await
        .created();
    let null = acme.place_order("glovis_1", None).await.created();
    for order in [omitted, null] {
        for field in [
            "max_bid_amount_usd",
            "is_highest_bid",
            "current_max_bid_usd",
            "auction_date",
            "order_cutoff_at",
        ] {
            assert!(order[field].is_null(), "{field} of {order}");
        }
    }
}

#[tokio::test]
async fn auction_vehicle_requires_a_bid_of_at_least_its_price() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    for bid in [None, Some(0), Some(-1), Some(9_999)] {
        let details = acme
            .place_order("glovis_1", bid)
            .await
            .refused(400, Code::MissingMaxBid);
        assert_eq!(details, json!({"listing_usd": 10_000, "received": bid}));
    }
    for bid in [
        json!("12000"),
        json!(12000.5),
        json!(12000.0),
        json!(true),
        json!([1]),
        json!(10_000_001),
    ] {
        let body = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": bid});
        let issues = acme.post("/v1/orders", body).await.issues();
        let issue = if bid.is_u64() {
            "OUT_OF_RANGE"
        } else {
            "INVALID_TYPE"
        };
        assert_eq!(issues, [("max_bid_amount_usd".into(), issue.into())]);
    }
    acme.place_order("glovis_1", 10_000).await.created();
}

#[tokio::test]
async fn order_window_closes_at_midnight_in_korea_to_the_second() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let rival = service.partner("rival").await;
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00"))
        .await;

    service.time_is("2026-04-18T23:59:59+09:00").await;
    acme.place_order("glovis_1", 12_000).await.created();
    for (now, shown) in [
        ("2026-04-19T00:00:00+09:00", "2026-04-19T00:00:00+09:00"),
        ("2026-04-18T15:00:01+00:00", "2026-04-19T00:00:01+09:00"),
    ] {
        service.time_is(now).await;
        let details = rival
            .place_order("glovis_1", 12_000)
            .await
            .refused(409, Code::PastOrderCutoff);
        assert_eq!(
            details,
            json!({"cutoff_at": "2026-04-19T00:00:00+09:00", "now": shown})
        );
    }
    // The earlier order is unchanged; a missing bid is refused before the cutoff is checked.
    assert_eq!(
        acme.get("/v1/orders").await.ok()["data"][0]["status"],
        "proceed"
    );
    rival
        .place_order("glovis_1", None)
        .await
        .refused(400, Code::MissingMaxBid);
}

#[tokio::test]
async fn order_after_an_auction_result_is_refused_as_past_its_cutoff() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for result in ["sold", "negotiation_sold", "negotiation_requested"] {
        let vehicle = Vehicle {
            auction_result: Some(result),
            ..Vehicle::lot(result).auction_in_days(-1)
        };
        service.vehicle(vehicle).await;
        acme.place_order(result, 12_000)
            .await
            .refused(409, Code::PastOrderCutoff);
    }
}

#[tokio::test]
async fn partner_has_one_open_order_for_a_vehicle() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let first = acme.place_order("glovis_1", 12_000).await.id();
    let details = acme
        .place_order("glovis_1", 13_000)
        .await
        .refused(409, Code::DuplicateOrder);
    assert_eq!(details, json!({"existing_order_id": first}));
    acme.cancel(&first).await.ok();
    acme.place_order("glovis_1", 13_000).await.created();
}

#[tokio::test]
async fn unknown_vehicle_returns_404_and_withdrawn_vehicle_410() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.withdraw_vehicle("glovis_1").await;
    for id in [
        "glovis_2",
        "",
        "facets",
        "a b",
        "a\0b",
        "차",
        &"x".repeat(65),
    ] {
        acme.place_order(id, 12_000)
            .await
            .refused(404, Code::VehicleNotFound);
    }
    let details = acme
        .place_order("glovis_1", None)
        .await
        .refused(410, Code::VehicleUnavailable);
    assert_eq!(details, json!({"vehicle_id": "glovis_1"}));
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_missing_fields_are_named() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let issues = acme.post("/v1/orders", json!({})).await.issues();
    assert_eq!(
        issues,
        [("vehicle_id".into(), "REQUIRED_FIELD_MISSING".into())]
    );
    let body =
        json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000, "colour": {"deep": [1]}});
    acme.post("/v1/orders?utm=x", body).await.created();
}

#[tokio::test]
async fn buy_now_vehicle_secured_for_another_partner_returns_410() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::dealers("encar_1")).await;
    let first = acme.place_order("encar_1", None).await.id();
    // Several partners may have an open order for it until it is secured for one of them.
    let second = rival.place_order("encar_1", None).await;
    rival.cancel(&second.id()).await.ok();
    let steps = [Transition::Acquire, secure(10_000, 0)];
    service.operator().takes(&first, &steps).await;
    let details = rival
        .place_order("encar_1", None)
        .await
        .refused(410, Code::VehicleUnavailable);
    assert_eq!(details, json!({"vehicle_id": "encar_1"}));
}

#[tokio::test]
async fn numbers_beyond_64_bits_are_refused_for_their_range_not_their_type() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let post = async |bid: &str| {
        let body = format!(r#"{{"vehicle_id":"glovis_1","max_bid_amount_usd":{bid}}}"#);
        let ask = acme
            .ask(reqwest::Method::POST, "/v1/orders")
            .key(&crate::support::key());
        ask.header("content-type", "application/json")
            .body(body)
            .send()
            .await
    };
    for huge in [
        "99999999999999999999",
        "9223372036854775808",
        "18446744073709551616",
    ] {
        assert_eq!(
            post(huge).await.issues(),
            [("max_bid_amount_usd".into(), "OUT_OF_RANGE".into())]
        );
    }
    post("-99999999999999999999")
        .await
        .refused(400, Code::MissingMaxBid);
    for limit in ["99999999999999999999", "-5"] {
        let issues = acme
            .get(&format!("/v1/orders?limit={limit}"))
            .await
            .issues();
        assert_eq!(issues, [("limit".into(), "OUT_OF_RANGE".into())]);
    }
}
