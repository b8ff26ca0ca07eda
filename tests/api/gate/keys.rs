//! Authentication with API keys.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;

use crate::support::{Service, end_heartbeats, eventually};

const REVOKED: &str = "lmn_stg_revokedAAAAAAAAAAAAAAAAAAAAA";
const EXPIRED: &str = "lmn_stg_expiredAAAAAAAAAAAAAAAAAAAAA";
const RUNNING: &str = "lmn_stg_runningAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test]
async fn key_that_is_not_in_force_is_refused_with_the_reason() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for api_key in [REVOKED, EXPIRED, RUNNING] {
        acme.issue(service.db(), api_key).await;
    }
    acme.revoke(service.db(), REVOKED).await;
    acme.expire(service.db(), EXPIRED, -1).await;
    acme.expire(service.db(), RUNNING, 3_600).await;
    for (api_key, reason) in [
        ("lmn_stg_nobodysAAAAAAAAAAAAAAAAAAAAA", "unknown"),
        ("lmn_stg_short", "unknown"),
        ("Bearer x", "unknown"),
        ("lmn_prd_AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "wrong_environment"),
        (REVOKED, "revoked"),
        (EXPIRED, "expired"),
    ] {
        let details = acme
            .with_key(api_key)
            .get("/v1/orders")
            .await
            .refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], reason, "{api_key}");
    }
    acme.with_key(RUNNING).get("/v1/orders").await.ok();
    acme.get("/v1/orders").await.ok();
    acme.with_key("")
        .get("/v1/orders")
        .await
        .refused(401, Code::MissingApiKey);
}

#[tokio::test]
async fn two_different_keys_in_one_request_are_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let same = acme
        .ask(Method::GET, "/v1/orders")
        .header("x-api-key", &acme.api_key);
    same.send().await.ok();
    let other = acme
        .ask(Method::GET, "/v1/orders")
        .header("x-api-key", "lmn_stg_AAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    other.send().await.refused(401, Code::InvalidApiKey);
}

/// Makes the database announce changes of keys to the replicas, as it does by default, or not.
async fn announce_changes(service: &Service, are_announced: bool) {
    let triggers = if are_announced { "enable" } else { "disable" };
    service
        .sql(&format!("alter table api_keys {triggers} trigger user"))
        .await;
}

#[tokio::test]
async fn key_is_cached_until_a_change_is_announced() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    acme.get("/v1/orders").await.ok();

    // A change made without the triggers is not announced: a cached key keeps working.
    eventually(
        "the heartbeat is received and the key is cached",
        async || {
            acme.get("/v1/orders").await.ok();
            announce_changes(&service, false).await;
            acme.revoke(service.db(), &acme.api_key).await;
            let is_cached = acme.get("/v1/orders").await.status == 200;
            announce_changes(&service, true).await;
            service.sql("update api_keys set revoked_at = null").await;
            is_cached.then_some(())
        },
    )
    .await;

    // A revocation is announced and reaches every replica.
    let replica = acme.at(&service.url);
    acme.revoke(service.db(), &acme.api_key).await;
    let refused = eventually("the revocation reaches the replica", async || {
        let reply = replica.get("/v1/orders").await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(
        refused.refused(401, Code::InvalidApiKey)["reason"],
        "revoked"
    );
}

#[tokio::test]
async fn cached_key_is_read_again_when_the_listening_connection_is_lost() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    acme.get("/v1/orders").await.ok();
    // No change is announced any more, and the heartbeat is lost, so a cached key must expire soon.
    announce_changes(&service, false).await;
    acme.revoke(service.db(), &acme.api_key).await;
    end_heartbeats(service.db()).await;
    let refused = eventually("the key is read again", async || {
        let reply = acme.get("/v1/orders").await;
        (reply.status != 200).then_some(reply)
    })
    .await;
    assert_eq!(
        refused.refused(401, Code::InvalidApiKey)["reason"],
        "revoked"
    );
}
