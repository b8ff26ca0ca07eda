//! Addresses that are refused for deliveries, at registration and at every attempt.

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use serde_json::json;

use super::scene::Scene;
use crate::support::{Answer, ENDPOINT, Service, Sink, settings, start_app};

/// Hosts that lead into a private or reserved network, or nowhere.
const HOSTS: [&str; 60] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "0.0.0.0",
    "0",
    "0.1.2.3",
    "10.0.0.1",
    "167772161",
    "012.0.0.1",
    "0xa.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "0xc0a80001",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[2001:db8::1]",
    "[fc00::1]",
    "[fe80::1]",
    "[ff02::1]",
    "localhost",
    "LOCALHOST.",
    "no-such-host.invalid",
];

#[tokio::test]
async fn hosts_that_are_not_public_are_refused_with_one_reason() {
    let sink = Sink::start().await;
    let port = sink.address.port().to_string();
    let service = Service::with(&[("WEBHOOKS__PORTS", &port)]).await;
    let acme = service.partner("acme").await;
    for host in HOSTS {
        let url = format!("http://{host}:{port}/lmn?shop=1");
        let reply = acme.hook(json!({"url": url})).await;
        let details = reply.refused(400, Code::ValidationError);
        assert_eq!(details["reason"], "address_not_public", "{url}");
        assert_eq!(details["issues"][0]["path"], "url");
        assert_eq!(details["issues"].as_array().unwrap().len(), 1, "{details}");
    }
    assert_eq!(sink.count(), 0);
    acme.get(ENDPOINT)
        .await
        .refused(404, Code::WebhookEndpointNotFound);
    // The port is checked, too, and a public address is accepted without a request to it.
    let issues = acme
        .hook(json!({"url": "https://1.1.1.1:22/"}))
        .await
        .issues();
    assert_eq!(issues.len(), 1);
    acme.hook(json!({"url": format!("https://1.1.1.1:{port}/")}))
        .await
        .expect(201);
    let credentials = acme.hook(json!({"url": "https://a:b@1.1.1.1/"})).await;
    assert_eq!(
        credentials
            .refused(400, Code::ValidationError)
            .get("reason"),
        None
    );
}

#[tokio::test]
async fn delivery_to_an_address_that_is_no_longer_public_is_not_sent() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene
        .service
        .operator()
        .takes(&order, &[Transition::Acquire])
        .await;
    // A worker on the same database that allows no private network, as if the address had changed since registration.
    let port = scene.sink.address.port().to_string();
    let url = scene.service.database.url();
    let app = start_app(&url, &[("WEBHOOKS__PORTS", &port)]).await;
    let strict = crate::support::worker(&app);
    for url in [
        scene.sink.url(),
        scene.sink.url().replace("127.0.0.1", "localhost"),
    ] {
        scene.set_url(&url).await;
        scene.make_due().await;
        assert_eq!(strict.deliver_due().await.unwrap().postponed, 1);
    }
    assert_eq!(scene.sink.count(), 0);
    let event = scene.acme.rows("/v1/events").await.remove(0);
    assert_eq!(event["attempts"], 2);
    assert!(event["last_response_code"].is_null());
    assert_eq!(event["last_error"], "address_not_public");
    app.stop().await;
}

#[tokio::test]
async fn endpoint_whose_host_is_no_longer_found_can_be_paused() {
    let scene = Scene::set().await;
    let lost = "http://no-such-host.invalid/lmn";
    scene.set_url(lost).await;
    let settings = |enabled: bool| json!({"url": lost, "enabled": enabled});
    let paused = scene.acme.hook(settings(false)).await.ok();
    assert_eq!(paused["enabled"], false);
    let refused = scene.acme.hook(settings(true)).await;
    refused.refused(400, Code::ValidationError);
    let elsewhere = json!({"url": "http://no-other-host.invalid/", "enabled": false});
    let refused = scene.acme.hook(elsewhere).await;
    refused.refused(400, Code::ValidationError);
}

#[tokio::test]
async fn response_of_a_receiver_is_read_up_to_a_bound_in_size_and_time() {
    let scene = Scene::with(&[settings::attempt_seconds(1)]).await;
    let endless = Answer {
        body: vec![b'x'; 50_000_000].into(),
        ..Answer::from(200)
    };
    let bomb = endless.clone().with("content-encoding", "gzip");
    let late = Answer::from(200).after(std::time::Duration::from_secs(5));
    let large = Answer::from(200).with("x-large", &"x".repeat(300_000));
    for (n, (answer, is_accepted)) in [(endless, true), (bomb, true), (late, false), (large, false)]
        .into_iter()
        .enumerate()
    {
        let order = scene.order(&format!("glovis_{n}")).await;
        scene.sink.answers(answer);
        scene
            .service
            .operator()
            .takes(&order, &[Transition::Acquire])
            .await;
        let began = std::time::Instant::now();
        let outcome = scene.worker.deliver_due().await.unwrap();
        assert_eq!(outcome.delivered == 1, is_accepted, "{n}: {outcome:?}");
        assert!(began.elapsed() < std::time::Duration::from_secs(3));
    }
}
