//! The attempts to deliver an event, and the cause of each failure.

use std::time::Duration;

use lmn_partner_api::{errors::catalogue::Code, orders::state_machine::Transition};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::scene::Scene;
use crate::support::{Answer, settings};

/// Makes one event, which is due; returns its id.
async fn event(scene: &Scene) -> String {
    let order = scene.order("glovis_1").await;
    let operator = scene.service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    scene.acme.get("/v1/events").await.ids().remove(0)
}

/// Makes one attempt, which fails.
async fn fail_once(scene: &Scene) {
    scene.make_due().await;
    let outcome = scene.worker.deliver_due().await.unwrap();
    assert_eq!(outcome.postponed, 1, "{outcome:?}");
}

/// Returns the attempts of an event.
async fn attempts(scene: &Scene, event: &str) -> Vec<Value> {
    let path = format!("/v1/events/{event}/attempts");
    let page = scene.acme.get(&path).await.ok();
    assert_eq!(page["next_cursor"], Value::Null);
    page["data"].as_array().cloned().unwrap()
}

/// Starts a receiver that closes every connection without a response; returns its URL.
async fn closing_receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    format!("http://{address}/lmn")
}

/// Returns the URL of a port at which nothing listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/lmn", listener.local_addr().unwrap())
}

#[tokio::test]
async fn attempts_are_listed_newest_first_and_include_redeliveries() {
    let scene = Scene::set().await;
    let event = event(&scene).await;
    assert!(attempts(&scene, &event).await.is_empty());
    scene.sink.answers(500);
    fail_once(&scene).await;
    let path = format!("/v1/events/{event}");
    let failed = scene.acme.get(&path).await.ok();
    assert_eq!(
        (&failed["last_response_code"], &failed["last_error"]),
        (&json!(500), &json!("status"))
    );

    scene.sink.answers(202);
    scene.make_due().await;
    assert_eq!(scene.drain().await, 1);
    let redeliver = format!("{path}/redeliver");
    scene.acme.post(&redeliver, json!({})).await.expect(202);
    assert_eq!(scene.drain().await, 1);

    let made = attempts(&scene, &event).await;
    let outcomes: Vec<_> = made
        .iter()
        .map(|it| (&it["status"], &it["error"]))
        .collect();
    let (accepted, null) = (json!(202), Value::Null);
    assert_eq!(
        outcomes,
        [
            (&accepted, &null),
            (&accepted, &null),
            (&json!(500), &json!("status"))
        ]
    );
    assert!(made.iter().all(|it| it["duration_ms"].is_u64()), "{made:?}");
    let delivered = scene.acme.get(&path).await.ok();
    assert_eq!(delivered["last_error"], null);
    assert_eq!(made[0]["attempted_at"], delivered["last_attempt_at"]);
    assert_eq!(made[2]["attempted_at"], failed["last_attempt_at"]);
}

#[tokio::test]
async fn failed_attempt_names_its_cause() {
    let scene = Scene::with(&[settings::attempt_seconds(1)]).await;
    let event = event(&scene).await;
    let (sink, closed) = (scene.sink.url(), closed_port().await);
    let late = Answer::from(200).after(Duration::from_secs(5));
    for (url, answer, expected) in [
        (sink.clone(), Answer::from(503), "status"),
        (sink.clone(), late, "timeout"),
        (sink.replace("http://", "https://"), 200.into(), "tls"),
        ("http://no-such-host.invalid/lmn".into(), 200.into(), "dns"),
        (closed, 200.into(), "refused"),
        (
            "http://10.0.0.1/lmn".into(),
            200.into(),
            "address_not_public",
        ),
        (closing_receiver().await, 200.into(), "connection"),
    ] {
        scene.set_url(&url).await;
        scene.sink.answers(answer);
        fail_once(&scene).await;
        let last = attempts(&scene, &event).await.remove(0);
        assert_eq!(last["error"], expected, "{url}: {last}");
        let status = (expected == "status").then_some(503);
        assert_eq!(last["status"], json!(status), "{url}");
        let read = scene.acme.get(&format!("/v1/events/{event}")).await.ok();
        assert_eq!(read["last_error"], expected, "{url}");
        assert_eq!(read["last_response_code"], json!(status), "{url}");
    }
    assert_eq!(attempts(&scene, &event).await.len(), 7);
}

#[tokio::test]
async fn event_keeps_its_last_20_attempts() {
    let scene = Scene::set().await;
    let event = event(&scene).await;
    scene.sink.answers(500);
    for _ in 0..21 {
        fail_once(&scene).await;
    }
    scene.sink.answers(418);
    fail_once(&scene).await;
    let kept = attempts(&scene, &event).await;
    assert_eq!((kept.len(), &kept[0]["status"]), (20, &json!(418)));
    let rows = "select count(*) from delivery_attempts";
    assert_eq!(scene.service.count(rows).await, 20);
    assert_eq!(scene.attempts().await, 22);
}

#[tokio::test]
async fn attempts_of_an_event_are_shown_to_its_partner_only() {
    let scene = Scene::set().await;
    let event = event(&scene).await;
    let rival = scene.service.partner("rival").await;
    for event in [event.as_str(), "nothing_like_an_event"] {
        let refused = rival.get(&format!("/v1/events/{event}/attempts")).await;
        refused.refused(404, Code::EventNotFound);
    }
}
