//! Reads of one order, of the list, and of an order's vehicle and history.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::json;

use crate::support::{Service, Vehicle, eventually};

#[tokio::test]
async fn order_of_another_partner_is_indistinguishable_from_a_missing_one() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let without_request_id = |mut body: serde_json::Value| {
        body["error"]["request_id"].take();
        body
    };
    let mut answers = Vec::new();
    for id in [
        order.as_str(),
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "nonsense",
        "%00",
        &order.to_lowercase(),
    ] {
        let (read, cancelled) = (rival.order(id).await, rival.cancel(id).await);
        assert_eq!(cancelled.outcome(), ("unbound", "false"));
        for reply in [read, cancelled] {
            reply.refused(404, Code::OrderNotFound);
            answers.push(without_request_id(reply.json()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    for reply in [rival.order("%ff").await, rival.cancel("%ff").await] {
        reply.refused(400, Code::ValidationError);
    }
    assert_eq!(rival.get("/v1/orders").await.ids(), [""; 0]);
    acme.order(&order).await.ok();
}

#[tokio::test]
async fn list_is_paged_newest_first_despite_new_orders() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let mut placed = Vec::new();
    for n in 0..7 {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        placed.insert(0, acme.place_order(&vehicle.id, 12_000).await.id());
    }
    assert_eq!(acme.get("/v1/orders").await.ids(), placed);

    let mut listed = Vec::new();
    let mut path = "/v1/orders?limit=3".to_owned();
    let mut pages = 0;
    loop {
        pages += 1;
        let page = acme.get(&path).await;
        listed.extend(page.ids());
        // Orders placed between pages are newer, so they sort before the cursor.
        let vehicle = service
            .vehicle(Vehicle::lot(&format!("late_{pages}")))
            .await;
        acme.place_order(&vehicle.id, 12_000).await.created();
        match page.json()["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/orders?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(listed, placed);
}

#[tokio::test]
async fn cursor_of_another_partner_or_another_list_is_refused() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    for n in 0..2 {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        acme.place_order(&vehicle.id, 12_000).await.created();
    }
    let page = acme.get("/v1/orders?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/v1/orders?cursor={cursor}");
    assert_eq!(acme.get(&path).await.ids().len(), 1);
    let reason = |details: serde_json::Value| details["reason"].clone();
    assert_eq!(
        reason(rival.get(&path).await.refused(400, Code::InvalidCursor)),
        "malformed"
    );
    let elsewhere = format!("/v1/vehicles?source=glovis&cursor={cursor}");
    assert_eq!(
        reason(acme.get(&elsewhere).await.refused(400, Code::InvalidCursor)),
        "malformed"
    );
    let filtered = format!("{path}&idempotency_key={}", crate::support::key());
    assert_eq!(
        reason(acme.get(&filtered).await.refused(400, Code::InvalidCursor)),
        "filter_mismatch"
    );
    for cursor in ["", "nonsense", "%00"] {
        let path = format!("/v1/orders?cursor={cursor}");
        assert_eq!(
            reason(acme.get(&path).await.refused(400, Code::InvalidCursor)),
            "malformed"
        );
    }
    for limit in ["0", "201", "-1", "x", "1.5", ""] {
        let issues = acme
            .get(&format!("/v1/orders?limit={limit}"))
            .await
            .issues();
        assert_eq!(issues[0].0, "limit", "{limit}");
    }
}

#[tokio::test]
async fn conditional_read_returns_304_until_the_order_or_its_standing_changes() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    let path = format!("/v1/orders/{id}");
    let first = acme.order(&id).await;
    let tag = first.header("etag").to_owned();
    let again = async |tag: &str| {
        acme.ask(Method::GET, &path)
            .header("if-none-match", tag)
            .send()
            .await
    };
    let same = again(&tag).await;
    assert_eq!(
        (same.status, same.body.len(), same.header("etag")),
        (304, 0, tag.as_str())
    );
    assert_eq!(same.header("cache-control"), "private, no-cache");
    assert!(
        same.header("x-request-id").starts_with("req_") && !same.header("ratelimit").is_empty()
    );
    let second_key = "lmn_stg_secondAAAAAAAAAAAAAAAAAAAAAA";
    acme.issue(service.db(), second_key).await;
    assert_eq!(
        acme.with_key(second_key).order(&id).await.header("etag"),
        tag
    );

    rival.place_order("glovis_1", 15_000).await.created();
    let outbid = again(&tag).await;
    assert_eq!(outbid.ok()["is_highest_bid"], false);
    assert_eq!(outbid.json()["updated_at"], first.json()["updated_at"]);
    assert_ne!(outbid.header("etag"), tag);
    assert_eq!(again("*").await.status, 304);
    // `If-None-Match: *` does not reveal the order to another partner.
    let stranger = rival
        .ask(Method::GET, &path)
        .header("if-none-match", "*")
        .send()
        .await;
    stranger.refused(404, Code::OrderNotFound);
}

#[tokio::test]
async fn vehicle_snapshot_stays_as_it_was_when_ordered() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let seen = acme.get("/v1/vehicles/glovis_1").await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    service.set_price("glovis_1", 11_000).await;
    service.set_color("glovis_1", "black").await;
    let path = format!("/v1/orders/{id}/vehicle");
    let snapshot = acme.get(&path).await;
    assert_eq!((snapshot.status, &snapshot.body), (200, &seen.body));
    assert_eq!(
        acme.ask(Method::GET, &path)
            .header("if-none-match", snapshot.header("etag"))
            .send()
            .await
            .status,
        304
    );
    eventually("the new price is shown", async || {
        let reply = acme.get("/v1/vehicles/glovis_1").await;
        (reply.ok()["pricing"]["listing_usd"] == 11_000).then_some(())
    })
    .await;
    rival.get(&path).await.refused(404, Code::OrderNotFound);
    acme.get("/v1/orders/nonsense/vehicle")
        .await
        .refused(404, Code::OrderNotFound);

    // A withdrawn vehicle is shown only to the partner that ordered it.
    service.withdraw_vehicle("glovis_1").await;
    let recovered = eventually("the snapshot is shown", async || {
        let reply = acme.get("/v1/vehicles/glovis_1").await;
        (reply.header("x-lmn-snapshot") == "true").then_some(reply)
    })
    .await;
    assert_eq!(recovered.body, seen.body);
    rival
        .get("/v1/vehicles/glovis_1")
        .await
        .refused(404, Code::VehicleNotFound);

    service.delete_snapshots().await;
    acme.get(&path)
        .await
        .refused(404, Code::OrderVehicleSnapshotNotFound);
    acme.get("/v1/vehicles/glovis_1")
        .await
        .refused(404, Code::VehicleNotFound);
}

#[tokio::test]
async fn history_lists_every_step_page_by_page() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.time_is("2026-04-01T10:00:00.25+09:00").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    service.time_is("2026-04-02T10:00:00+09:00").await;
    acme.cancel(&id).await.ok();
    let path = format!("/v1/orders/{id}/history");
    let step = |n: i32, status: &str, at: &str| {
        json!({
            "n": n, "status": status, "fulfillment_detail": null, "by": "partner",
            "occurred_at": at, "recorded_at": at, "notes": null,
        })
    };
    let steps = [
        step(1, "proceed", "2026-04-01T10:00:00.250+09:00"),
        step(2, "cancelled", "2026-04-02T10:00:00+09:00"),
    ];
    assert_eq!(
        acme.get(&path).await.ok(),
        json!({"data": steps, "next_cursor": null})
    );
    let first = acme.get(&format!("{path}?limit=1")).await;
    assert_eq!(first.ok()["data"], json!([steps[0]]));
    let link = first.header("link");
    let next = acme.get(&link[1..link.find('>').unwrap()]).await;
    assert_eq!(next.ok(), json!({"data": [steps[1]], "next_cursor": null}));
    for path in [path, "/v1/orders/nonsense/history".to_owned()] {
        rival.get(&path).await.refused(404, Code::OrderNotFound);
    }
}

#[tokio::test]
async fn head_request_returns_the_get_response_without_its_body() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    for (path, status) in [
        ("/v1/orders", 200),
        ("/v1/vehicles/glovis_1", 200),
        ("/v1/vehicles/none", 404),
        ("/none", 404),
    ] {
        let (head, get) = (
            acme.ask(Method::HEAD, path).send().await,
            acme.get(path).await,
        );
        assert_eq!(
            (head.status, get.status, head.body.len()),
            (status, status, 0),
            "{path}"
        );
        assert_eq!(head.header("etag"), get.header("etag"));
    }
}
