//! The rate limit and its headers.

use lmn_partner_api::errors::catalogue::Code;

use crate::support::{Partner, Service, burst_alone, eventually, limit};

/// Limits a partner to three reads and two writes; none of them becomes available again while a test runs.
async fn slow_down(service: &Service, partner: &Partner) {
    partner.set_read_limit(service.db(), burst_alone(3)).await;
    let writes = limit(2, 20_000, 2);
    partner.set_write_limit(service.db(), writes).await;
}

#[tokio::test]
async fn burst_passes_and_the_next_request_is_refused_with_the_time_to_wait() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    slow_down(&service, &acme).await;
    for remaining in ["2", "1", "0"] {
        let reply = acme.get("/v1/orders").await;
        reply.ok();
        assert_eq!(reply.header("ratelimit-policy"), r#""read";q=1;w=20000"#);
        assert!(
            reply
                .header("ratelimit")
                .starts_with(&format!(r#""read";r={remaining};t="#))
        );
        assert_eq!(reply.header("x-ratelimit-limit"), "3");
        assert_eq!(reply.header("x-ratelimit-remaining"), remaining);
    }
    let early = acme.get("/v1/orders").await;
    let details = early.refused(429, Code::RateLimited);
    let retry_after: i64 = early.header("retry-after").parse().unwrap();
    assert!((19_000..=20_000).contains(&retry_after), "{retry_after}");
    assert_eq!(details["retry_after"], retry_after);
    assert_eq!(details["policy"], "read");
    assert_eq!(details["limit"], 1);
    assert_eq!(details["window_seconds"], 20_000);
    assert_eq!(details["burst"], 3);
    assert_eq!(details["remaining"], 0);
    assert!(details["reset_at"].as_str().unwrap().ends_with("+09:00"));
    let now = service.unix_time().await;
    let reset: i64 = early.header("x-ratelimit-reset").parse().unwrap();
    assert!(
        (now + 59_000..=now + 60_001).contains(&reset),
        "{reset} at {now}"
    );

    // Writes have a policy of their own, and so has every other key.
    let write = acme.cancel("01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    write.refused(404, Code::OrderNotFound);
    assert_eq!(write.header("ratelimit-policy"), r#""write";q=2;w=20000"#);
    assert_eq!(write.header("x-ratelimit-remaining"), "1");
    let second_key = "lmn_stg_secondAAAAAAAAAAAAAAAAAAAAAA";
    acme.issue(service.db(), second_key).await;
    acme.with_key(second_key).get("/v1/orders").await.ok();
}

#[tokio::test]
async fn refused_requests_count_and_requests_with_refused_keys_do_not() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    slow_down(&service, &acme).await;
    for _ in 0..5 {
        let reply = acme
            .with_key("lmn_stg_AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
            .get("/v1/orders")
            .await;
        reply.refused(401, Code::InvalidApiKey);
        assert_eq!(reply.header("ratelimit"), "");
    }
    acme.cancel("x").await.refused(404, Code::OrderNotFound);
    acme.cancel("x").await.refused(404, Code::OrderNotFound);
    let early = acme.cancel("x").await;
    early.refused(429, Code::RateLimited);
    assert_eq!(early.outcome(), ("unknown", "false"));
}

#[tokio::test]
async fn changed_limit_takes_effect() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    acme.get("/v1/orders").await.ok();
    slow_down(&service, &acme).await;
    eventually("the new limit is in force", async || {
        (acme.get("/v1/orders").await.header("x-ratelimit-limit") == "3").then_some(())
    })
    .await;
}
