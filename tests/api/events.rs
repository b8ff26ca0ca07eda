//! Events as partners read them: lists in both directions, single events, and the events of one order.

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Partner, Service, Vehicle, secure};

/// Makes two orders with three events each, written in turn.
async fn scene(service: &Service) -> (Partner, [String; 2]) {
    let acme = service.partner("acme").await;
    let mut orders = Vec::new();
    for vehicle in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(vehicle)).await;
        orders.push(acme.place_order(vehicle, 12_000).await.id());
    }
    for step in [Transition::Acquire, secure(11_000, 0), Transition::Ship] {
        for order in &orders {
            service
                .operator()
                .takes(order, std::slice::from_ref(&step))
                .await;
        }
    }
    let second = orders.pop().unwrap();
    (acme, [orders.pop().unwrap(), second])
}

fn strings(rows: &[Value], member: &str) -> Vec<String> {
    rows.iter()
        .map(|row| row[member].as_str().unwrap().to_owned())
        .collect()
}

async fn read_pages(acme: &Partner, start: &str) -> Vec<String> {
    let (mut ids, mut next) = (Vec::new(), start.to_owned());
    loop {
        let page = acme.get(&next).await;
        ids.extend(page.ids());
        match page.header("link").strip_prefix('<') {
            Some(link) => next = link.split('>').next().unwrap().to_owned(),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn feed_can_be_read_in_both_directions() {
    let service = Service::start().await;
    let (acme, orders) = scene(&service).await;
    let newest = acme.rows("/v1/events").await;
    assert_eq!(newest.len(), 6);
    let mut ids = strings(&newest, "id");
    assert_eq!(read_pages(&acme, "/v1/events?limit=4").await, ids);
    ids.reverse();
    let all = "/v1/events?after=evt_00000000000000000000000000&limit=4";
    assert_eq!(read_pages(&acme, all).await, ids);
    let after = format!("/v1/events?after={}&limit=1", ids[2]);
    assert_eq!(read_pages(&acme, &after).await, ids[3..]);
    let end = format!("/v1/events?after={}", ids[5]);
    assert_eq!(acme.get(&end).await.ids(), Vec::<String>::new());

    let of_first = acme.rows(&format!("/v1/orders/{}/events", orders[0])).await;
    let sequence: Vec<_> = of_first
        .iter()
        .map(|row| row["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(sequence, [3, 2, 1]);
    assert!(
        of_first
            .iter()
            .all(|row| row["order_id"] == orders[0].as_str())
    );
}

#[tokio::test]
async fn event_shows_its_payload_and_its_delivery() {
    let service = Service::start().await;
    let (acme, orders) = scene(&service).await;
    let event = acme.rows("/v1/events?limit=1").await.remove(0);
    let members: Vec<_> = event
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "attempts",
            "delivery_status",
            "id",
            "last_attempt_at",
            "last_error",
            "last_response_code",
            "next_attempt_at",
            "occurred_at",
            "order_id",
            "payload",
            "sequence",
            "type",
        ]
    );
    assert_eq!(event["delivery_status"], "delivery_skipped");
    assert_eq!(event["attempts"], 0);
    for member in [
        "last_attempt_at",
        "last_error",
        "last_response_code",
        "next_attempt_at",
    ] {
        assert!(event[member].is_null(), "{member}");
    }
    let payload = &event["payload"];
    assert_eq!(payload["id"], event["id"]);
    assert_eq!(payload["type"], "order.status_changed");
    assert_eq!(payload["sequence"], 3);
    assert_eq!(payload["occurred_at"], event["occurred_at"]);
    assert_eq!(payload["data"]["previous_status"], "secured");
    assert_eq!(payload["data"]["order"]["id"], orders[1].as_str());

    let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
    let alone = acme.get(&path).await;
    assert_eq!(alone.ok(), event);
    let ask = acme
        .ask(Method::GET, &path)
        .header("if-none-match", alone.header("etag"));
    assert_eq!(ask.send().await.status, 304);
}

#[tokio::test]
async fn events_are_filtered_by_type_and_delivery() {
    let service = Service::start().await;
    let (acme, orders) = scene(&service).await;
    let step = Transition::Fulfill(
        lmn_partner_api::orders::state_machine::FulfillmentDetail::AwaitingPickup,
    );
    service.operator().takes(&orders[0], &[step]).await;
    let count = async |query: &str| acme.rows(&format!("/v1/events?{query}")).await.len();
    assert_eq!(count("type=order.fulfillment_updated").await, 1);
    assert_eq!(
        count("type=order.fulfillment_updated,order.status_changed").await,
        7
    );
    assert_eq!(count("type=webhook.test").await, 0);
    assert_eq!(count("delivery_status=delivery_skipped").await, 7);
    assert_eq!(count("delivery_status=pending,failed,delivered").await, 0);
    let issues = acme
        .get("/v1/events?type=order.gone&delivery_status=lost&limit=0")
        .await
        .issues();
    let paths: Vec<_> = issues.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["type", "delivery_status", "limit"]);
}

#[tokio::test]
async fn event_of_another_partner_is_indistinguishable_from_a_missing_one() {
    let service = Service::start().await;
    let (acme, orders) = scene(&service).await;
    let id = acme.get("/v1/events?limit=1").await.ids().remove(0);
    let rival = service.partner("rival").await;
    for id in [
        id.as_str(),
        "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "x",
    ] {
        rival
            .get(&format!("/v1/events/{id}"))
            .await
            .refused(404, Code::EventNotFound);
        rival
            .get(&format!("/v1/events?after={id}"))
            .await
            .refused(404, Code::EventNotFound);
    }
    let path = format!("/v1/orders/{}/events", orders[0]);
    rival.get(&path).await.refused(404, Code::OrderNotFound);
    assert_eq!(rival.rows("/v1/events").await.len(), 0);
    // A cursor with another partner, another direction, or another filter.
    let page = acme.get("/v1/events?limit=1").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    for (partner, query, reason) in [
        (&rival, "limit=1".to_owned(), "malformed"),
        (&acme, format!("limit=1&after={id}"), "sort_mismatch"),
        (
            &acme,
            "limit=1&type=webhook.test".to_owned(),
            "filter_mismatch",
        ),
    ] {
        let reply = partner
            .get(&format!("/v1/events?{query}&cursor={cursor}"))
            .await;
        assert_eq!(reply.refused(400, Code::InvalidCursor)["reason"], reason);
    }
}

#[tokio::test]
async fn event_never_appears_before_one_that_was_already_read() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let mut orders = Vec::new();
    for n in 0..24 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        orders.push(acme.place_order(&format!("glovis_{n}"), 12_000).await.id());
    }
    let writers: Vec<_> = orders
        .into_iter()
        .map(|order| {
            let operator = service.operator();
            tokio::spawn(async move { operator.ships(&order).await })
        })
        .collect();
    // A reader that always continues after the last event that it has read misses none.
    let (mut seen, mut last) = (Vec::new(), "evt_00000000000000000000000000".to_owned());
    while seen.len() < 72 {
        let page = acme
            .get(&format!("/v1/events?after={last}&limit=7"))
            .await
            .ids();
        last = page.last().cloned().unwrap_or(last);
        seen.extend(page);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut all = strings(&acme.rows("/v1/events?limit=200").await, "id");
    all.reverse();
    assert_eq!(seen, all);
}
