//! The scheduled order jobs: orders whose auction has passed, and overdue deliveries. Each test runs the passes itself.

use lmn_partner_api::orders::state_machine::Transition;

use crate::support::{Service, Vehicle, fail_passed, remind_overdue};

#[tokio::test]
async fn order_without_operator_steps_fails_a_day_after_its_auction() {
    let service = Service::start().await;
    service.time_is("2026-04-10T12:00:00+09:00").await;
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00"))
        .await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let waiting = acme.place_order("glovis_1", 12_000).await.id();
    let bought = rival.place_order("glovis_1", 15_000).await.id();
    let without_bid = acme.place_order("encar_1", None).await.id();
    service
        .operator()
        .takes(&bought, &[Transition::Acquire])
        .await;

    service.time_is("2026-04-21T12:59:59.999+09:00").await;
    assert_eq!(fail_passed(&service.app).await.unwrap(), 0);
    service.time_is("2026-04-21T13:00:00+09:00").await;
    assert_eq!(fail_passed(&service.app).await.unwrap(), 1);
    assert_eq!(fail_passed(&service.app).await.unwrap(), 0);

    let order = acme.order(&waiting).await.ok();
    assert_eq!(order["failure_reason"], "auction_passed");
    assert_eq!(order["is_highest_bid"], false);
    assert_eq!(order["updated_at"], "2026-04-21T13:00:00+09:00");
    let history = acme.rows(&format!("/v1/orders/{waiting}/history")).await;
    assert_eq!(history[1]["by"], "automatic");
    assert_eq!(acme.events_of(&waiting).await[0]["data"]["order"], order);
    assert_eq!(rival.order(&bought).await.ok()["status"], "acquiring");
    assert_eq!(acme.order(&without_bid).await.ok()["status"], "proceed");
}

#[tokio::test]
async fn concurrent_passes_fail_each_order_once() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 0..20 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        acme.place_order(&format!("glovis_{n}"), 12_000)
            .await
            .created();
    }
    service.set_clocks_ahead(12).await;
    let passes = (0..4).map(|_| {
        let app = service.app.clone();
        tokio::spawn(async move { fail_passed(&app).await.unwrap() })
    });
    let mut failed = 0;
    for pass in passes.collect::<Vec<_>>() {
        failed += pass.await.unwrap();
    }
    assert_eq!(failed, 20);
    assert_eq!(service.event_count().await, 20);
    let last = service.count("select max(position) from events").await;
    assert_eq!(last, 20, "positions have no gap");
}

#[tokio::test]
async fn overdue_delivery_gets_one_reminder_a_day_from_the_ninetieth_day() {
    let service = Service::start().await;
    service.time_is("2026-04-01T12:00:00+09:00").await;
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00"))
        .await;
    let acme = service.partner("acme").await;
    let id = acme.place_order("glovis_1", 12_000).await.id();
    service.operator().ships(&id).await;

    let reminded = async |at: &str| {
        service.time_is(at).await;
        let reminded = remind_overdue(&service.app).await.unwrap();
        reminded
            .iter()
            .map(|it| (it.order.to_string(), it.days))
            .collect::<Vec<_>>()
    };
    assert_eq!(reminded("2026-06-30T11:59:59+09:00").await, []);
    assert_eq!(
        reminded("2026-06-30T12:00:00+09:00").await,
        [(id.clone(), 90)]
    );
    assert_eq!(reminded("2026-06-30T18:00:00+09:00").await, []);
    assert_eq!(
        reminded("2026-07-02T12:00:00+09:00").await,
        [(id.clone(), 92)]
    );
    let body =
        serde_json::json!({"status": "delivered", "occurred_at": "2026-07-02T12:00:00+01:00"});
    service.time_is("2026-07-03T12:00:00+09:00").await;
    acme.report(&id, body).await.ok();
    assert_eq!(reminded("2026-07-04T12:00:00+09:00").await, []);
    assert_eq!(acme.events_of(&id).await.len(), 3, "a reminder is no event");
}
