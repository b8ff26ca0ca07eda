//! The IP allowlist and the detection of the client's address.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;

use crate::support::{Partner, Reply, Service, eventually, settings};

async fn from(partner: &Partner, address: &str) -> Reply {
    partner
        .ask(Method::GET, "/v1/orders")
        .header("x-forwarded-for", address)
        .send()
        .await
}

#[tokio::test]
async fn partner_is_served_from_its_allowed_networks_only() {
    let service = Service::with(&[settings::BEHIND_A_PROXY]).await;
    let acme = service.partner("acme").await;
    from(&acme, "203.0.113.7").await.ok();
    let networks = ["203.0.113.0/24", "198.51.100.7/32", "2001:db8::/48"];
    acme.allow_networks(service.db(), &networks).await;
    eventually("the allowlist is in force", async || {
        (from(&acme, "192.0.2.1").await.status == 403).then_some(())
    })
    .await;
    for admitted in [
        "203.0.113.7",
        "198.51.100.7",
        "2001:db8::1",
        "::ffff:203.0.113.9",
        "192.0.2.1, 203.0.113.7",
    ] {
        from(&acme, admitted).await.ok();
    }
    for outside in [
        "198.51.100.8",
        "2001:db8:1::1",
        "::1",
        "203.0.113.7, 192.0.2.1",
        "203.0.113.7, nonsense",
    ] {
        let reply = from(&acme, outside).await;
        let details = reply.refused(403, Code::IpNotAllowed);
        assert!(
            reply.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("integrations@lmnauto.com")
        );
        let seen = details["client_ip"].as_str().unwrap();
        assert!(
            outside.contains(seen) || seen == "127.0.0.1",
            "{outside} was seen as {seen}"
        );
        assert_eq!(
            reply.header("ratelimit"),
            "",
            "a refused address uses no quota"
        );
    }
}

#[tokio::test]
async fn client_address_headers_count_from_a_trusted_proxy_only() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    acme.allow_networks(service.db(), &["203.0.113.0/24"]).await;
    for header in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "true-client-ip",
    ] {
        let details = eventually("the allowlist is in force", async || {
            let reply = acme
                .ask(Method::GET, "/v1/orders")
                .header(header, "203.0.113.7")
                .send()
                .await;
            (reply.status == 403).then(|| reply.refused(403, Code::IpNotAllowed))
        })
        .await;
        assert_eq!(details["client_ip"], "127.0.0.1");
    }
}

#[tokio::test]
async fn empty_allowlist_admits_no_address_in_production() {
    let (service, acme) = Service::in_production().await;
    let sandbox_key = acme.api_key.replace("lmn_prd_", "lmn_stg_");
    let details = acme
        .with_key(&sandbox_key)
        .get("/v1/orders")
        .await
        .refused(401, Code::InvalidApiKey);
    assert_eq!(details["reason"], "wrong_environment");
    acme.get("/v1/orders")
        .await
        .refused(403, Code::IpNotAllowed);
    acme.allow_networks(service.db(), &["127.0.0.1"]).await;
    eventually("the allowlist is in force", async || {
        (acme.get("/v1/orders").await.status == 200).then_some(())
    })
    .await;
}
