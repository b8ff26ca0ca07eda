//! Reading: one order, and the list.

use lmn_partner_api::error::catalogue::Code;

use crate::support::{Car, Service};

#[tokio::test]
async fn somebody_elses_order_is_indistinguishable_from_none() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let without_its_id = |mut body: serde_json::Value| {
        body["error"]["request_id"].take();
        body
    };
    let mut answers = Vec::new();
    for id in [
        order.as_str(),
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "nonsense",
        "%00",
        "%ff",
        &order.to_lowercase(),
    ] {
        let (read, cancelled) = (rival.order(id).await, rival.cancel(id).await);
        assert_eq!(cancelled.outcome(), ("unbound", "false"));
        for reply in [read, cancelled] {
            reply.refused(404, Code::OrderNotFound);
            answers.push(without_its_id(reply.json()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(rival.get("/v1/orders").await.ids(), [""; 0]);
    acme.order(&order).await.ok();
}

#[tokio::test]
async fn the_list_is_walked_newest_first_page_by_page() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let mut placed = Vec::new();
    for n in 0..7 {
        let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
        placed.insert(0, acme.place_order(&car.id, 12_000).await.id());
    }
    assert_eq!(acme.get("/v1/orders").await.ids(), placed);

    let mut walked = Vec::new();
    let mut path = "/v1/orders?limit=3".to_owned();
    let mut pages = 0;
    loop {
        pages += 1;
        let page = acme.get(&path).await;
        walked.extend(page.ids());
        // Whatever is placed meanwhile stands before the place where the walk is.
        let car = service.car(Car::lot(&format!("late_{pages}"))).await;
        acme.place_order(&car.id, 12_000).await.created();
        match page.json()["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/orders?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(walked, placed);
}

#[tokio::test]
async fn a_cursor_of_somebody_else_or_somewhere_else_is_refused() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    for n in 0..2 {
        let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
        acme.place_order(&car.id, 12_000).await.created();
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
