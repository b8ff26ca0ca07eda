//! Authentication with API keys.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;

use crate::support::{Service, eventually};

#[tokio::test]
async fn key_that_is_not_in_force_is_refused_with_the_reason() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (api_key, statement) in [
        (
            "lmn_stg_revokedAAAAAAAAAAAAAAAAAAAAA",
            "update api_keys set revoked_at = now()",
        ),
        (
            "lmn_stg_expiredAAAAAAAAAAAAAAAAAAAAA",
            "update api_keys set expires_at = now() - interval '1 second'",
        ),
        (
            "lmn_stg_runningAAAAAAAAAAAAAAAAAAAAA",
            "update api_keys set expires_at = now() + interval '1 hour'",
        ),
    ] {
        acme.issue(service.db(), api_key).await;
        service
            .sql(&format!("{statement} where prefix = '{}'", &api_key[..12]))
            .await;
    }
    for (api_key, reason) in [
        ("lmn_stg_nobodysAAAAAAAAAAAAAAAAAAAAA", "unknown"),
        ("lmn_stg_short", "unknown"),
        ("Bearer x", "unknown"),
        ("lmn_prd_AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "wrong_environment"),
        ("lmn_stg_revokedAAAAAAAAAAAAAAAAAAAAA", "revoked"),
        ("lmn_stg_expiredAAAAAAAAAAAAAAAAAAAAA", "expired"),
    ] {
        let details = acme
            .with_key(api_key)
            .get("/v1/orders")
            .await
            .refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], reason, "{api_key}");
    }
    acme.with_key("lmn_stg_runningAAAAAAAAAAAAAAAAAAAAA")
        .get("/v1/orders")
        .await
        .ok();
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
            service
            .sql(
                "alter table api_keys disable trigger user; update api_keys set revoked_at = now()",
            )
            .await;
            let is_cached = acme.get("/v1/orders").await.status == 200;
            service
            .sql("alter table api_keys enable trigger user; update api_keys set revoked_at = null")
            .await;
            is_cached.then_some(())
        },
    )
    .await;

    // A revocation is announced and reaches every replica.
    let replica = acme.at(&service.url);
    service.sql("update api_keys set revoked_at = now()").await;
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
    service
        .sql("alter table api_keys disable trigger user")
        .await;
    service
        .sql(
            "update api_keys set revoked_at = now();
             select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'lmn heartbeat'",
        )
        .await;
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
