//! The endpoint: made, changed, paused, given another secret, tested and taken away by its partner.

use lmn_partner_api::{error::catalogue::Code, orders::advance::Advance};
use reqwest::Method;
use serde_json::{Value, json};

use super::scene::{ENDPOINT, Scene};
use crate::support::{Car, Service, key};

#[tokio::test]
async fn an_endpoint_is_made_changed_and_taken_away() {
    let scene = Scene::set().await;
    let (acme, url) = (&scene.acme, scene.sink.url());
    assert!(scene.secret.starts_with("whsec_"));
    let made = acme.get(ENDPOINT).await.ok();
    assert_eq!(made["secret"], Value::Null, "it is shown once");
    assert_eq!(made["url"], url);
    assert_eq!(made["enabled"], true);
    assert_eq!(made["event_types"], Value::Null);

    let again = acme.hook(json!({"url": url})).await.ok();
    assert_eq!(again, made, "what is the same is not touched");
    let types = json!(["order.price_updated", "order.price_updated"]);
    let wish = json!({"url": url, "enabled": false, "event_types": types, "description": "shop"});
    let changed = acme.hook(wish).await.ok();
    assert_eq!(changed["enabled"], false);
    assert_eq!(
        changed["disabled_reason"],
        Value::Null,
        "its partner did it"
    );
    assert_eq!(changed["event_types"], json!(["order.price_updated"]));
    assert_eq!(changed["description"], "shop");
    assert_eq!(changed["secret"], Value::Null);
    assert_eq!(acme.get(ENDPOINT).await.ok(), changed);

    assert_eq!(acme.unhook().await.ok(), changed);
    for reply in [acme.get(ENDPOINT).await, acme.unhook().await] {
        reply.refused(404, Code::WebhookEndpointNotFound);
    }
    let anew = acme.hook(json!({"url": url})).await;
    assert_eq!(anew.header("location"), ENDPOINT);
    assert_ne!(anew.expect(201)["secret"], scene.secret.as_str());
    let rows =
        "select count(*) from audit_log where action like 'webhook.%' and actor like 'key:%'";
    assert_eq!(scene.service.count(rows).await, 4);
}

#[tokio::test]
async fn everything_wrong_with_a_wish_is_said_at_once() {
    let scene = Scene::set().await;
    let wish = json!({"url": "ftp://example.com", "enabled": "yes", "event_types": ["order.gone", 7],
                      "description": "x".repeat(257)});
    let issues = scene.acme.hook(wish).await.issues();
    let paths: Vec<_> = issues.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(
        paths,
        [
            "enabled",
            "event_types[0]",
            "event_types[1]",
            "description",
            "url"
        ]
    );
    let issues = scene.acme.hook(json!({"event_types": []})).await.issues();
    assert_eq!(issues.len(), 2, "{issues:?}");
}

#[tokio::test]
async fn a_rotation_shows_the_secret_once_and_its_replay_does_not() {
    let scene = Scene::set().await;
    let (path, key) = (format!("{ENDPOINT}/rotate_secret"), key());
    let first = scene.acme.post_once(&key, &path, json!({})).await;
    let secret = first.ok()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret != scene.secret);
    let second = scene.acme.post_once(&key, &path, json!({})).await;
    assert_eq!(second.outcome(), ("replayed", "true"));
    assert_eq!(second.ok()["secret"], Value::Null);
    let stored = "select count(*) from idempotency_keys where convert_from(reply_body, 'utf8') like '%whsec_%'";
    assert_eq!(scene.service.count(stored).await, 0);
    let logged = "select count(*) from audit_log where details::text like '%whsec_%'";
    assert_eq!(scene.service.count(logged).await, 0);
    let live = "select count(*) from webhook_secrets";
    assert_eq!(scene.service.count(live).await, 2);
    scene.acme.post(&path, json!({})).await.ok();
    assert_eq!(
        scene.service.count(live).await,
        2,
        "the oldest ends at once"
    );
}

#[tokio::test]
async fn what_nobody_wants_is_skipped() {
    let service = Service::with(&[super::scene::OPEN]).await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let operator = service.operator();
    operator.reprice("glovis_1", 10_500).await.unwrap();
    let wish = json!({"url": "http://127.0.0.1:9/", "event_types": ["order.status_changed"]});
    acme.hook(wish).await.expect(201);
    operator.reprice("glovis_1", 11_000).await.unwrap();
    operator.takes(&order, &[Advance::Acquire]).await;
    let of_status = async |status: &str| {
        let path = format!("/v1/events?delivery_status={status}");
        let rows = acme.rows(&path).await;
        let sequence = rows.iter().map(|it| it["sequence"].as_i64().unwrap());
        sequence.collect::<Vec<_>>()
    };
    assert_eq!(of_status("delivery_skipped").await, [2, 1]);
    assert_eq!(of_status("pending").await, [3]);
    acme.unhook().await.ok();
    assert_eq!(of_status("delivery_skipped").await, [3, 2, 1]);
    assert_eq!(service.count("select count(*) from webhook_lanes").await, 0);
}

#[tokio::test]
async fn an_endpoint_that_goes_while_events_are_written_leaves_none_waiting() {
    let scene = Scene::set().await;
    let mut orders = Vec::new();
    for n in 0..12 {
        orders.push(scene.order(&format!("glovis_{n}")).await);
    }
    let writers: Vec<_> = orders
        .into_iter()
        .map(|order| {
            let operator = scene.service.operator();
            let steps = [
                Advance::Acquire,
                crate::support::secure(11_000, 0),
                Advance::Ship,
            ];
            tokio::spawn(async move { operator.takes(&order, &steps).await })
        })
        .collect();
    for _ in 0..6 {
        scene.acme.unhook().await.ok();
        scene
            .acme
            .hook(json!({"url": scene.sink.url()}))
            .await
            .expect(201);
        scene.check_lanes().await;
    }
    scene.acme.unhook().await.ok();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(scene.count("pending").await, 0);
    assert_eq!(scene.count("delivery_skipped").await, 36);
    scene.check_lanes().await;
}

#[tokio::test]
async fn a_put_needs_no_key_and_a_post_does() {
    let scene = Scene::set().await;
    let test = scene.acme.ask(Method::POST, &format!("{ENDPOINT}/test"));
    let refused = test.json(&json!({})).send().await;
    refused.refused(400, Code::MissingIdempotencyKey);
    let put = scene.acme.hook(json!({"url": scene.sink.url()})).await;
    assert_eq!(put.outcome(), ("", ""));
    assert!(put.header("ratelimit").starts_with("\"write\""));
}
