//! `GET /v1/status`.

use serde_json::Value;

use crate::{
    support::{Partner, Service, count_backlog, eventually, settings},
    webhooks::scene::Scene,
};

/// Waits until a component has a status; returns the whole status of the service, and that of the component.
async fn becomes(partner: &Partner, component: &str, status: &str) -> (Value, Value) {
    eventually(status, async || {
        let body = partner.get("/v1/status").await.ok();
        let components = body["components"].as_array()?;
        let named = components
            .iter()
            .find(|it| it["name"] == component)?
            .clone();
        (named["status"] == status).then_some((body, named))
    })
    .await
}

#[tokio::test]
async fn status_needs_no_key_and_no_database_session() {
    let service = Service::with(&[settings::database_connections_max(1)]).await;
    let keyless = service.partner("acme").await.with_key("");
    becomes(&keyless, "catalogue", "operational").await;
    // The only session for requests is in use.
    let _held = service.app.database().acquire().await.unwrap();
    let reply = keyless.get("/v1/status").await;
    let body = reply.ok();
    assert_eq!(body["status"], "operational");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!((reply.header("etag"), reply.header("ratelimit")), ("", ""));
    let as_of = body["as_of"].as_str().unwrap();
    assert!(as_of.ends_with("+09:00"), "{as_of}");
    let components = body["components"].as_array().unwrap();
    let names: Vec<_> = components.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["orders", "catalogue", "webhooks"]);
    for component in components {
        assert_eq!(component["status"], "operational");
        let since = component["since"].as_str().unwrap();
        assert!(since.ends_with("+09:00") && since <= as_of, "{component}");
    }
}

#[tokio::test]
async fn webhooks_are_degraded_while_a_due_delivery_waits_for_more_than_a_minute() {
    let scene = Scene::set().await;
    let (_, before) = becomes(&scene.acme, "webhooks", "operational").await;
    scene.add_deliveries(&scene.acme, 1, 300).await;
    count_backlog(&scene.service.app).await.unwrap();
    let (service, late) = becomes(&scene.acme, "webhooks", "degraded").await;
    assert_eq!(service["status"], "degraded");
    assert_ne!(late["since"], before["since"]);

    assert_eq!(scene.drain().await, 1);
    count_backlog(&scene.service.app).await.unwrap();
    let (_, after) = becomes(&scene.acme, "webhooks", "operational").await;
    assert_ne!(after["since"], late["since"]);
}
