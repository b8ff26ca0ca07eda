//! Cancellation of an order by its partner.

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use serde_json::json;

use crate::support::{Service, Vehicle, secure};

#[tokio::test]
async fn order_without_operator_steps_can_be_cancelled() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let reply = acme.cancel(&order).await;
    let cancelled = reply.ok();
    assert_eq!(reply.outcome(), ("bound", "false"));
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancellation_reason"], "partner_cancelled");
    assert_eq!(cancelled["allowed_actions"], json!([]));
    assert_eq!(acme.order(&order).await.body, reply.body);

    let steps: Vec<(i32, String, String)> =
        sqlx::query_as("select n, status, by from order_history order by n")
            .fetch_all(service.db())
            .await
            .unwrap();
    let by_partner = |n, status: &str| (n, status.to_owned(), "partner".to_owned());
    assert_eq!(
        steps,
        [by_partner(1, "proceed"), by_partner(2, "cancelled")]
    );
    assert_eq!(service.audit_count("order.cancelled").await, 1);
}

#[tokio::test]
async fn cancellation_in_another_state_returns_409_with_the_current_state() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let operator = service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    let reply = acme.cancel(&order).await;
    let details = reply.refused(409, Code::InvalidStatusTransition);
    assert_eq!(reply.outcome(), ("unbound", "false"));
    assert_eq!(
        details,
        json!({
            "reason": "out_of_sequence",
            "current_status": "acquiring",
            "current_fulfillment_detail": null,
            "allowed_actions": [],
        })
    );
    let steps = [secure(11_000, 0), Transition::Ship];
    operator.takes(&order, &steps).await;
    let report =
        json!({"fulfillment_detail": "customs", "occurred_at": "2026-03-01T10:30:00+01:00"});
    acme.report(&order, report).await.ok();
    let details = acme
        .cancel(&order)
        .await
        .refused(409, Code::InvalidStatusTransition);
    assert_eq!(details["current_fulfillment_detail"], "customs");
    assert_eq!(
        details["allowed_actions"],
        json!(["in_transit", "customs", "delivered"])
    );
}

#[tokio::test]
async fn simultaneous_cancellations_with_different_keys_cancel_once() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let (acme, order) = (acme.clone(), order.clone());
            tokio::spawn(async move { acme.cancel(&order).await })
        })
        .collect();
    let mut cancelled = 0;
    for request in requests {
        let reply = request.await.unwrap();
        match reply.status {
            200 => cancelled += 1,
            _ => assert_eq!(
                reply.refused(409, Code::InvalidStatusTransition)["current_status"],
                "cancelled"
            ),
        }
    }
    assert_eq!(cancelled, 1);
    assert_eq!(service.step_count().await, 2);
}
