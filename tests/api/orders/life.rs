//! The life of an order: steps of the operator, reports of the partner, and the history, events and bytes they leave.

use lmn_partner_api::{
    errors::catalogue::Code,
    orders::state_machine::{FulfillmentDetail, Transition},
};
use serde_json::{Value, json};

use crate::support::{Partner, Service, Vehicle, secure};

/// Places an order and brings it to `shipping`; returns its id.
async fn shipping_order(service: &Service, acme: &Partner, vehicle: &str) -> String {
    service.vehicle(Vehicle::lot(vehicle)).await;
    let id = acme.place_order(vehicle, 12_000).await.created()["id"].clone();
    let id = id.as_str().unwrap().to_owned();
    let steps = [Transition::Acquire, secure(11_000, 150), Transition::Ship];
    service.operator().takes(&id, &steps).await;
    id
}

fn statuses(rows: &[Value]) -> Vec<String> {
    let text = |row: &Value| match row["fulfillment_detail"].as_str() {
        Some(detail) => format!("{}/{detail}", row["status"].as_str().unwrap()),
        None => row["status"].as_str().unwrap().to_owned(),
    };
    rows.iter().map(text).collect()
}

#[tokio::test]
async fn order_is_bought_shipped_and_delivered_with_a_gapless_history() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = shipping_order(&service, &acme, "glovis_1").await;
    let at = "2026-09-01T10:30:00+01:00";
    let report =
        |member: &str, value: &str| json!({member: value, "occurred_at": at, "notes": "Apapa"});
    for detail in ["customs", "in_transit", "in_transit"] {
        let order = acme
            .report(&id, report("fulfillment_detail", detail))
            .await
            .ok();
        assert_eq!(order["fulfillment_detail"], detail);
        assert_eq!(
            order["allowed_actions"],
            json!(["in_transit", "customs", "delivered"])
        );
    }
    let delivered = acme.report(&id, report("status", "delivered")).await;
    let order = delivered.ok();
    assert_eq!(order["status"], "delivered");
    assert_eq!(order["fulfillment_detail"], "in_transit");
    assert_eq!(
        order["amounts"],
        json!({"purchase_price_usd": 11_000, "auction_fee_usd": 150})
    );
    assert_eq!(order["allowed_actions"], json!([]));
    assert_eq!(acme.order(&id).await.body, delivered.body);

    let history = acme.rows(&format!("/v1/orders/{id}/history")).await;
    assert_eq!(
        statuses(&history),
        [
            "proceed",
            "acquiring",
            "secured",
            "shipping/export_processing",
            "shipping/customs",
            "shipping/in_transit",
            "delivered/in_transit",
        ]
    );
    let numbers: Vec<_> = history
        .iter()
        .map(|row| row["n"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(history[4]["occurred_at"], at);
    assert_eq!(history[4]["notes"], "Apapa");
    assert_eq!(history[4]["by"], "partner");
    assert_eq!(history[1]["by"], "operator");
    // A partner's own steps make no events.
    let events = acme.events_of(&id).await;
    let announced: Vec<_> = events
        .iter()
        .map(|it| it["data"]["order"]["status"].clone())
        .collect();
    assert_eq!(announced, ["acquiring", "secured", "shipping"]);
}

#[tokio::test]
async fn event_holds_the_bytes_that_a_reader_gets_at_that_version() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    let steps = [
        Transition::Acquire,
        secure(11_000, 0),
        Transition::Ship,
        Transition::Fulfill(FulfillmentDetail::AwaitingPickup),
    ];
    for (n, step) in steps.iter().enumerate() {
        service
            .operator()
            .takes(&id, std::slice::from_ref(step))
            .await;
        let read = acme.order(&id).await;
        let payload: String =
            sqlx::query_scalar("select payload::text from events order by sequence desc limit 1")
                .fetch_one(service.db())
                .await
                .unwrap();
        let bytes = std::str::from_utf8(&read.body).unwrap();
        assert!(
            payload.contains(&format!("\"order\":{bytes}")),
            "{payload}\n{bytes}"
        );
        let payload: Value = serde_json::from_str(&payload).unwrap();
        assert_eq!(payload["sequence"], n + 1);
    }
    let types: Vec<_> = acme
        .events_of(&id)
        .await
        .into_iter()
        .map(|it| it["type"].clone())
        .collect();
    let status = "order.status_changed";
    assert_eq!(types, [status, status, status, "order.fulfillment_updated"]);
}

#[tokio::test]
async fn report_reserved_to_the_operator_returns_403_and_an_early_one_409() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    let at = "2026-09-01T10:30:00+01:00";
    let with = |member: &str, value: &str| json!({member: value, "occurred_at": at});

    // Statuses reserved to the operator, refused in every state.
    for body in [
        with("status", "acquiring"),
        with("status", "proceed"),
        with("status", "cancelled"),
        with("fulfillment_detail", "export_processing"),
        with("fulfillment_detail", "awaiting_pickup"),
    ] {
        let details = acme
            .report(&id, body)
            .await
            .refused(403, Code::InvalidStatusTransition);
        assert_eq!(details["reason"], "partner_not_authorized");
        assert_eq!(details["current_status"], "proceed");
        assert_eq!(details["allowed_actions"], json!(["cancel"]));
    }
    // Statuses that a partner reports, but not for an order in `proceed`.
    for body in [
        with("status", "delivered"),
        with("fulfillment_detail", "in_transit"),
        with("fulfillment_detail", "customs"),
    ] {
        let reply = acme.report(&id, body).await;
        let details = reply.refused(409, Code::InvalidStatusTransition);
        assert_eq!(details["reason"], "out_of_sequence");
        assert_eq!(reply.outcome(), ("unbound", "false"));
    }
    // An order that does not exist, and an order of another partner.
    let unknown_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let rival = service.partner("rival").await;
    for (partner, id) in [(&acme, unknown_id), (&rival, id.as_str()), (&acme, "x")] {
        let reply = partner.report(id, with("status", "acquiring")).await;
        reply.refused(404, Code::OrderNotFound);
    }
}

#[tokio::test]
async fn report_requires_one_status_and_a_time_not_in_the_future() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = shipping_order(&service, &acme, "glovis_1").await;
    let at = "2026-09-01T10:30:00+01:00";
    let issue = |path: &str, kind: &str| (path.to_owned(), kind.to_owned());
    for (body, issues) in [
        (
            json!({}),
            vec![
                issue("status", "REQUIRED_FIELD_MISSING"),
                issue("occurred_at", "REQUIRED_FIELD_MISSING"),
            ],
        ),
        (
            json!({"status": "delivered", "fulfillment_detail": "customs", "occurred_at": at}),
            vec![issue("fulfillment_detail", "INVALID_VALUE")],
        ),
        (
            json!({"status": "gone", "occurred_at": "yesterday", "notes": 7}),
            vec![
                issue("status", "INVALID_VALUE"),
                issue("occurred_at", "INVALID_FORMAT"),
                issue("notes", "INVALID_TYPE"),
            ],
        ),
        (
            json!({"status": "delivered", "occurred_at": "2026-09-01T09:30:00Z"}),
            vec![issue("occurred_at", "INVALID_FORMAT")],
        ),
        (
            json!({"status": "delivered", "occurred_at": "0000-06-01T00:00:00+00:00"}),
            vec![issue("occurred_at", "INVALID_FORMAT")],
        ),
        (
            json!({"status": "delivered", "occurred_at": at, "notes": "x".repeat(2_001)}),
            vec![issue("notes", "OUT_OF_RANGE")],
        ),
        (
            json!({"status": "delivered", "occurred_at": "2126-09-01T10:30:00+01:00"}),
            vec![issue("occurred_at", "OUT_OF_RANGE")],
        ),
    ] {
        assert_eq!(
            acme.report(&id, body.clone()).await.issues(),
            issues,
            "{body}"
        );
    }
    service.time_is("2026-09-01T10:25:00+01:00").await;
    let body =
        |at: &str| json!({"fulfillment_detail": "customs", "occurred_at": at, "notes": null});
    let late = acme
        .report(&id, body("2026-09-01T10:30:00.001+01:00"))
        .await;
    assert_eq!(late.issues(), [issue("occurred_at", "OUT_OF_RANGE")]);
    acme.report(&id, body(at)).await.ok();
    // There is no lower bound.
    let early = json!({"status": "delivered", "occurred_at": "0001-01-02T00:00:00+00:00"});
    acme.report(&id, early).await.ok();
}

#[tokio::test]
async fn repeated_sub_status_changes_nothing_and_binds_its_key() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = shipping_order(&service, &acme, "glovis_1").await;
    let body = json!({"fulfillment_detail": "customs", "occurred_at": "2026-09-01T10:30:00+01:00"});
    let first = acme.report(&id, body.clone()).await;
    first.ok();
    let again = acme.report(&id, body).await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.outcome(), ("bound", "false"));
    let steps = service.step_count().await;
    assert_eq!(steps, 5);
}

#[tokio::test]
async fn vehicle_named_in_a_report_body_is_not_locked() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = shipping_order(&service, &acme, "glovis_1").await;
    service.vehicle(Vehicle::lot("glovis_2")).await;
    let holder = service.lock_vehicle("glovis_2").await;
    let report = json!({
        "fulfillment_detail": "customs", "occurred_at": "2026-09-01T10:30:00+01:00", "vehicle_id": "glovis_2",
    });
    acme.report(&id, report).await.ok();
    holder.rollback().await.unwrap();
}
