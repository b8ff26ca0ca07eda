//! Changes of the clock, the endpoint and its secret while an event is being sent or waits for a lock.

use lmn_partner_api::{orders::state_machine::Transition, webhooks::worker::Outcome};
use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::{ENDPOINT, Sink, wait_for_blocked_session};

/// The outcome of one failed attempt.
const POSTPONED: Outcome = Outcome {
    delivered: 0,
    postponed: 1,
    given_up: 0,
    lost: 0,
};

#[tokio::test]
async fn clock_reset_during_a_failing_attempt_keeps_the_wait_for_the_next_attempt() {
    let (scene, order) = Scene::ahead().await;
    scene.ships(&order).await;
    let sending = scene.sending(500).await;
    scene.acme.reset_clock().await;
    assert_eq!(sending.ends().await, POSTPONED);
    assert_eq!(scene.drain().await, 0, "the event is not due");
    scene.acme.wait(66).await;
    assert_eq!(scene.drain().await, 3);
}

#[tokio::test]
async fn clock_reset_during_a_successful_attempt_leaves_the_next_event_due() {
    let (scene, order) = Scene::ahead().await;
    scene.ships(&order).await;
    let sending = scene.sending(200).await;
    scene.acme.reset_clock().await;
    assert_eq!(sending.ends().await.delivered, 1);
    assert_eq!(scene.drain().await, 2);
}

#[tokio::test]
async fn clock_reset_while_an_event_waits_for_the_feed_leaves_the_event_due() {
    let (scene, order) = Scene::ahead().await;
    // The lock order of the reset: the partner's clock, then the feed.
    let mut tx = scene.service.db().begin().await.unwrap();
    for statement in [
        "update partners set clock_offset_seconds = 0",
        "update event_feeds set last_position = last_position",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    let operator = scene.service.operator();
    let taken = tokio::spawn(async move { operator.takes(&order, &[Transition::Acquire]).await });
    wait_for_blocked_session(scene.service.db()).await;
    tx.commit().await.unwrap();
    taken.await.unwrap();
    assert_eq!(scene.drain().await, 1);
}

#[tokio::test]
async fn enabling_an_endpoint_starts_anew_whatever_the_outcome_of_the_attempt_before() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene.sink.answers(500);
    assert_eq!(scene.drain().await, 1);
    scene.acme.wait(66).await;
    let sending = scene.sending(410).await;
    let url = scene.sink.url();
    for enabled in [false, true] {
        let settings = json!({"url": url, "enabled": enabled});
        scene.acme.hook(settings).await.ok();
    }
    assert_eq!(sending.ends().await, POSTPONED);
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
    let event = scene.acme.rows("/v1/events").await.pop().unwrap();
    assert_eq!(
        (&event["attempts"], &event["last_response_code"]),
        (&json!(2), &json!(410))
    );
    assert_eq!(scene.drain().await, 3);
    scene.check_queues().await;
}

#[tokio::test]
async fn another_url_starts_anew_whatever_the_outcome_at_the_former_one() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(410).await;
    let other = Sink::start().await;
    scene.acme.hook(json!({"url": other.url()})).await.ok();
    assert_eq!(sending.ends().await, POSTPONED);
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
    assert_eq!(scene.drain().await, 3);
    assert_eq!((scene.sink.count(), other.count()), (1, 3));
}

#[tokio::test]
async fn endpoint_paused_by_its_partner_is_not_disabled() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(410).await;
    let settings = json!({"url": scene.sink.url(), "enabled": false});
    let paused = scene.acme.hook(settings).await.ok();
    assert_eq!(sending.ends().await, POSTPONED);
    let endpoint = scene.acme.get(ENDPOINT).await.ok();
    assert_eq!(endpoint, paused);
    assert_eq!(endpoint["disabled_reason"], Value::Null);
    assert_eq!(scene.service.audit_count("webhook.disabled").await, 0);
}

#[tokio::test]
async fn success_clears_failures_recorded_since_it_was_sent() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(200).await;
    scene.mark_as_failing().await;
    assert_eq!(sending.ends().await.delivered, 1);
    assert_eq!(scene.failing_endpoints().await, 0);
}

#[tokio::test]
async fn rotation_does_not_undo_the_disabling_by_a_worker() {
    let scene = Scene::set().await;
    let mut tx = scene.service.db().begin().await.unwrap();
    let gone = "update webhook_endpoints set enabled = false, disabled_reason = 'endpoint_gone'";
    sqlx::query(gone).execute(&mut *tx).await.unwrap();
    let path = format!("{ENDPOINT}/rotate_secret");
    let (rotated, ()) = tokio::join!(scene.acme.post(&path, json!({})), async {
        wait_for_blocked_session(scene.service.db()).await;
        tx.commit().await.unwrap();
    });
    let rotated = rotated.ok();
    assert_eq!(
        (&rotated["enabled"], &rotated["disabled_reason"]),
        (&json!(false), &json!("endpoint_gone"))
    );
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], false);
}
