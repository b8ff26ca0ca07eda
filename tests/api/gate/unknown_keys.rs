//! The throttle of unknown API keys that come from one address.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;

use crate::support::{Partner, Reply, Service, end_heartbeats, eventually, limit, settings};

/// Starts a service behind a proxy that allows three unknown keys of an address, and one further key per 1000 s.
async fn slow_service() -> Service {
    let settings = [
        settings::BEHIND_A_PROXY,
        settings::unknown_key_window_seconds(1000),
        settings::unknown_key_burst(3),
    ];
    Service::with(&settings).await
}

async fn from(partner: &Partner, address: &str) -> Reply {
    partner
        .ask(Method::GET, "/v1/orders")
        .header("x-forwarded-for", address)
        .send()
        .await
}

/// Returns the partner with a key of the right form that belongs to no partner.
fn with_unknown_key(partner: &Partner, n: usize) -> Partner {
    partner.with_key(&format!("lmn_stg_nobodys{n:0>21}"))
}

/// Sends as many unknown keys from an address as its burst allows, and one more; returns the reply to that one.
async fn exhaust(partner: &Partner, address: &str, burst: usize) -> Reply {
    for n in 0..burst {
        let reply = from(&with_unknown_key(partner, n), address).await;
        let details = reply.refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], "unknown");
    }
    from(&with_unknown_key(partner, burst), address).await
}

#[tokio::test]
async fn address_that_sends_unknown_keys_must_wait_and_no_key_is_looked_up() {
    let service = slow_service().await;
    let acme = service.partner("acme").await;
    let early = exhaust(&acme, "203.0.113.7", 3).await;
    let details = early.refused(429, Code::RateLimited);
    let retry_after: i64 = early.header("retry-after").parse().unwrap();
    assert!((900..=1000).contains(&retry_after), "{retry_after}");
    assert_eq!(details["retry_after"], retry_after);
    assert_eq!(details["policy"], "unknown_key");
    assert_eq!(details["limit"], 1);
    assert_eq!(details["window_seconds"], 1000);
    assert_eq!(details["burst"], 3);
    assert_eq!(details["remaining"], 0);
    assert!(details["reset_at"].as_str().unwrap().ends_with("+09:00"));
    for limit in ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining"] {
        assert_eq!(early.header(limit), "", "no partner's quota is shown");
    }
    // Even a valid key is not looked up now from this address; from another address it is.
    let hit = from(&acme, "203.0.113.7").await;
    hit.refused(429, Code::RateLimited);
    from(&acme, "203.0.113.8").await.ok();
    assert_eq!(service.metric("lmn_unknown_keys_total").await, 3.0);
    assert_eq!(service.metric("lmn_throttled_keys_total").await, 2.0);
}

#[tokio::test]
async fn cached_key_is_never_throttled() {
    let service = slow_service().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let before = from(&acme, "203.0.113.7").await;
    before.ok();
    // The first request with the key was not counted, because the look-up found it.
    let early = exhaust(&rival, "203.0.113.7", 3).await;
    early.refused(429, Code::RateLimited);
    let after = from(&acme, "203.0.113.7").await;
    after.ok();
    let left = |reply: &Reply| -> u32 { reply.header("x-ratelimit-remaining").parse().unwrap() };
    assert!(left(&before) >= 99_999);
    assert!(
        left(&after) >= 99_998,
        "unknown keys use no partner's quota"
    );

    // A change makes every replica read the key again, and so does a lost connection: neither counts as unknown.
    acme.set_read_limit(service.db(), limit(100_000, 1, 90_000))
        .await;
    eventually("the new limit is in force", async || {
        let reply = from(&acme, "203.0.113.7").await;
        reply.ok();
        (reply.header("x-ratelimit-limit") == "90000").then_some(())
    })
    .await;
    end_heartbeats(service.db()).await;
    for _ in 0..10 {
        from(&acme, "203.0.113.7").await.ok();
    }
    // The first request of another partner from this address must wait.
    from(&rival, "203.0.113.7")
        .await
        .refused(429, Code::RateLimited);
}

#[tokio::test]
async fn ipv4_address_has_one_throttle_and_so_has_an_ipv6_network() {
    let service = slow_service().await;
    let acme = service.partner("acme").await;
    exhaust(&acme, "2001:db8:1:2::1", 3)
        .await
        .refused(429, Code::RateLimited);
    exhaust(&acme, "198.51.100.1", 3)
        .await
        .refused(429, Code::RateLimited);
    for (address, status) in [
        ("2001:db8:1:2:ffff::7", 429),
        ("2001:db8:1:3::1", 401),
        ("198.51.100.1", 429),
        ("::ffff:198.51.100.1", 429),
        ("198.51.100.2", 401),
        // Entries that the caller itself put into the header change nothing.
        ("192.0.2.9, 198.51.100.1", 429),
    ] {
        let reply = from(&with_unknown_key(&acme, 9), address).await;
        assert_eq!(reply.status, status, "{address}: {reply:?}");
    }
}

#[tokio::test]
async fn key_that_needs_no_lookup_is_not_counted_as_unknown() {
    let service = slow_service().await;
    let acme = service.partner("acme").await;
    for _ in 0..5 {
        for key in ["", "lmn_stg_short", "lmn_prd_AAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let reply = from(&acme.with_key(key), "203.0.113.7").await;
            assert_eq!(reply.status, 401, "{reply:?}");
        }
    }
    exhaust(&acme, "203.0.113.7", 3)
        .await
        .refused(429, Code::RateLimited);
}

#[tokio::test]
async fn many_first_requests_with_one_key_are_not_counted() {
    let service = slow_service().await;
    let acme = service.partner("acme").await;
    let racers: Vec<_> = (0..32)
        .map(|_| {
            let acme = acme.clone();
            tokio::spawn(async move { from(&acme, "203.0.113.7").await })
        })
        .collect();
    for racer in racers {
        racer.await.unwrap().ok();
    }
    exhaust(&acme, "203.0.113.7", 3)
        .await
        .refused(429, Code::RateLimited);
}

#[tokio::test]
async fn unknown_keys_pass_twenty_at_once_and_then_one_a_second() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    // However slow the machine is, some request is throttled, and none within the burst is.
    for n in 0..10_000 {
        let reply = with_unknown_key(&acme, n).get("/v1/orders").await;
        if reply.status == 429 {
            assert!(n >= 20, "{n}");
            let details = reply.refused(429, Code::RateLimited);
            assert_eq!(reply.header("retry-after"), "1");
            assert_eq!(
                (&details["limit"], &details["burst"]),
                (&1.into(), &20.into())
            );
            return;
        }
        reply.refused(401, Code::InvalidApiKey);
    }
    panic!("no request was throttled");
}
