//! The limit of concurrent writes of one partner.

use lmn_partner_api::errors::catalogue::Code;

use crate::support::{Service, Vehicle, settings, wait_for_blocked_session};

#[tokio::test]
async fn writes_beyond_the_partner_write_limit_wait_and_other_requests_pass() {
    let settings = [
        settings::partner_writes_max(1),
        settings::partner_write_wait_seconds(1),
        settings::lock_seconds(7),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let holder = service.lock_vehicle("glovis_1").await;
    let place = |id: &'static str| {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order(id, 12_000).await })
    };
    let first = place("glovis_1");
    wait_for_blocked_session(service.db()).await;

    let late = acme.place_order("glovis_2", 12_000).await;
    late.refused(503, Code::ServiceUnavailable);
    assert_eq!(late.outcome(), ("unknown", "false"));
    assert!(!late.header("ratelimit").is_empty());
    acme.get("/v1/orders").await.ok();
    rival.place_order("glovis_2", 12_000).await.created();

    let second = place("glovis_2");
    holder.rollback().await.unwrap();
    first.await.unwrap().created();
    second.await.unwrap().created();
}
