//! The webhook endpoint: created, changed, paused, given another secret, tested and deleted by its partner.

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use reqwest::Method;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::{ENDPOINT, Service, Vehicle, key, settings};

#[tokio::test]
async fn endpoint_is_created_changed_and_deleted() {
    let scene = Scene::set().await;
    let (acme, url) = (&scene.acme, scene.sink.url());
    assert!(scene.secret.starts_with("whsec_"));
    let made = acme.get(ENDPOINT).await.ok();
    assert_eq!(made["secret"], Value::Null, "the secret is shown once");
    assert_eq!(made["url"], url);
    assert_eq!(made["enabled"], true);
    assert_eq!(made["event_types"], Value::Null);

    let again = acme.hook(json!({"url": url})).await.ok();
    assert_eq!(again, made, "an unchanged endpoint is not touched");
    let types = json!(["order.price_updated", "order.price_updated"]);
    let settings =
        json!({"url": url, "enabled": false, "event_types": types, "description": "shop"});
    let changed = acme.hook(settings).await.ok();
    assert_eq!(changed["enabled"], false);
    assert_eq!(
        changed["disabled_reason"],
        Value::Null,
        "the partner disabled it itself"
    );
    assert_eq!(changed["event_types"], json!(["order.price_updated"]));
    assert_eq!(changed["description"], "shop");
    assert_eq!(changed["secret"], Value::Null);
    assert_eq!(acme.get(ENDPOINT).await.ok(), changed);

    assert_eq!(acme.unhook().await.ok(), changed);
    for reply in [acme.get(ENDPOINT).await, acme.unhook().await] {
        reply.refused(404, Code::WebhookEndpointNotFound);
    }
    let recreated = acme.hook(json!({"url": url})).await;
    assert_eq!(recreated.header("location"), ENDPOINT);
    assert_ne!(recreated.expect(201)["secret"], scene.secret.as_str());
    let rows =
        "select count(*) from audit_log where action like 'webhook.%' and actor like 'key:%'";
    assert_eq!(scene.service.count(rows).await, 4);
}

#[tokio::test]
async fn issues_of_an_endpoint_are_all_reported_at_once() {
    let scene = Scene::set().await;
    let settings = json!({"url": "ftp://example.com", "enabled": "yes", "event_types": ["order.gone", 7],
                      "description": "x".repeat(257)});
    let issues = scene.acme.hook(settings).await.issues();
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
async fn rotation_shows_the_new_secret_once_and_its_replay_does_not() {
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
    assert_eq!(scene.secret_count().await, 2);
    scene.acme.rotate_secret().await;
    assert_eq!(
        scene.secret_count().await,
        2,
        "the oldest secret ends at once"
    );
}

#[tokio::test]
async fn events_of_types_that_are_not_selected_are_skipped() {
    let service = Service::with(&[settings::LOCAL_ENDPOINTS]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let operator = service.operator();
    operator.reprice("glovis_1", 10_500).await.unwrap();
    let settings = json!({"url": "http://127.0.0.1:9/", "event_types": ["order.status_changed"]});
    acme.hook(settings).await.expect(201);
    operator.reprice("glovis_1", 11_000).await.unwrap();
    operator.takes(&order, &[Transition::Acquire]).await;
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
    assert_eq!(service.delivery_queue_count().await, 0);
}

#[tokio::test]
async fn endpoint_deleted_while_events_are_written_leaves_no_delivery_waiting() {
    let scene = Scene::set().await;
    let mut orders = Vec::new();
    for n in 0..12 {
        orders.push(scene.order(&format!("glovis_{n}")).await);
    }
    let writers = scene.ship_at_once(&orders);
    for _ in 0..6 {
        scene.acme.unhook().await.ok();
        scene
            .acme
            .hook(json!({"url": scene.sink.url()}))
            .await
            .expect(201);
        scene.check_queues().await;
    }
    scene.acme.unhook().await.ok();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(scene.count("pending").await, 0);
    assert_eq!(scene.count("delivery_skipped").await, 36);
    scene.check_queues().await;
}

#[tokio::test]
async fn put_needs_no_idempotency_key_and_post_does() {
    let scene = Scene::set().await;
    let test = scene.acme.ask(Method::POST, &format!("{ENDPOINT}/test"));
    let refused = test.json(&json!({})).send().await;
    refused.refused(400, Code::MissingIdempotencyKey);
    let put = scene.acme.hook(json!({"url": scene.sink.url()})).await;
    assert_eq!(put.outcome(), ("", ""));
    assert!(put.header("ratelimit").starts_with("\"write\""));
}
