//! Guessing: keys that nobody knows, tried from one address.

use lmn_partner_api::error::catalogue::Code;
use reqwest::Method;

use crate::support::{Partner, Reply, Service, eventually};

/// The tests call from this machine, which plays the trusted proxy, and a guess comes back after 1000 s only.
const SLOW: [(&str, &str); 3] = [
    ("GATE__TRUSTED_PROXIES", "127.0.0.0/8,::1"),
    ("GATE__GUESS__WINDOW_SECONDS", "1000"),
    ("GATE__GUESS__BURST", "3"),
];

async fn from(partner: &Partner, address: &str) -> Reply {
    partner
        .ask(Method::GET, "/v1/orders")
        .header("x-forwarded-for", address)
        .send()
        .await
}

/// A key of the right form that is nobody's.
fn guess(partner: &Partner, n: usize) -> Partner {
    partner.with_key(&format!("lmn_stg_nobodys{n:0>21}"))
}

/// Guesses until one more guess from the address is refused.
async fn exhaust(partner: &Partner, address: &str, burst: usize) -> Reply {
    for n in 0..burst {
        let reply = from(&guess(partner, n), address).await;
        let details = reply.refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], "unknown");
    }
    from(&guess(partner, burst), address).await
}

#[tokio::test]
async fn who_guesses_keys_is_told_to_wait_and_nothing_is_looked_up() {
    let service = Service::with(&SLOW).await;
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
        assert_eq!(early.header(limit), "", "nobody's quota is told");
    }
    // Even the right key is not looked up now; from elsewhere it is.
    let hit = from(&acme, "203.0.113.7").await;
    hit.refused(429, Code::RateLimited);
    from(&acme, "203.0.113.8").await.ok();
    assert_eq!(service.metric("lmn_unknown_keys_total").await, 3.0);
    assert_eq!(service.metric("lmn_throttled_keys_total").await, 2.0);
}

#[tokio::test]
async fn a_key_in_use_is_never_affected() {
    let service = Service::with(&SLOW).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let before = from(&acme, "203.0.113.7").await;
    before.ok();
    // It was counted once, as the first look at it.
    let early = exhaust(&rival, "203.0.113.7", 2).await;
    early.refused(429, Code::RateLimited);
    let after = from(&acme, "203.0.113.7").await;
    after.ok();
    let left = |reply: &Reply| -> u32 { reply.header("x-ratelimit-remaining").parse().unwrap() };
    assert!(left(&before) >= 99_999);
    assert!(left(&after) >= 99_998, "no partner's quota pays for it");

    // A change makes every replica read the key again, and so does a lost connection: still no guess.
    service
        .sql("update partners set read_burst = 90000 where name = 'acme'")
        .await;
    eventually("the new limit is heard", async || {
        let reply = from(&acme, "203.0.113.7").await;
        reply.ok();
        (reply.header("x-ratelimit-limit") == "90000").then_some(())
    })
    .await;
    service
        .sql(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and application_name = 'lmn heartbeat'",
        )
        .await;
    for _ in 0..10 {
        from(&acme, "203.0.113.7").await.ok();
    }
    // Another's first request from there must wait.
    from(&rival, "203.0.113.7")
        .await
        .refused(429, Code::RateLimited);
}

#[tokio::test]
async fn an_address_is_one_guesser_and_so_is_a_network_of_ipv6() {
    let service = Service::with(&SLOW).await;
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
        // What the caller claims on its way to the proxy changes nothing.
        ("192.0.2.9, 198.51.100.1", 429),
    ] {
        let reply = from(&guess(&acme, 9), address).await;
        assert_eq!(reply.status, status, "{address}: {reply:?}");
    }
}

#[tokio::test]
async fn what_needs_no_look_up_is_no_guess() {
    let service = Service::with(&SLOW).await;
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
async fn many_first_requests_with_one_key_are_one_guess() {
    let service = Service::with(&SLOW).await;
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
    exhaust(&acme, "203.0.113.7", 2)
        .await
        .refused(429, Code::RateLimited);
}

#[tokio::test]
async fn twenty_guesses_at_once_and_then_one_a_second() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    // However slow the machine is, some guess is one too many, and none before the burst is.
    for n in 0..10_000 {
        let reply = guess(&acme, n).get("/v1/orders").await;
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
    panic!("nobody was told to wait");
}
