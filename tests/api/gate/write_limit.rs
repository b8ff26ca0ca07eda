//! The limit of concurrent writes of one partner.

use lmn_partner_api::errors::catalogue::Code;

use crate::support::{Service, Vehicle, wait_for_blocked_session};

#[tokio::test]
async fn writes_beyond_the_partner_write_limit_wait_and_other_requests_pass() {
    let settings = [
        ("LIMITS__PARTNER_WRITES_MAX", "1"),
        ("LIMITS__PARTNER_WRITE_WAIT_SECONDS", "1"),
        ("DATABASE__LOCK_SECONDS", "7"),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let mut holder = service.db().begin().await.unwrap();
    sqlx::query("select from vehicles where id = 'glovis_1' for update")
        .execute(&mut *holder)
        .await
        .unwrap();
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
