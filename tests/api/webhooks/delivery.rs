//! Deliveries: their order, attempts after failures, the end of attempts, disabled endpoints, and redelivery.

use lmn_partner_api::{
    errors::catalogue::Code, orders::state_machine::Transition, webhooks::worker::Outcome,
};
use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::{Answer, ENDPOINT, key};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

fn sequence(events: &[(String, i64)]) -> Vec<i64> {
    events.iter().map(|it| it.1).collect()
}

#[tokio::test]
async fn events_arrive_as_they_are_read_and_in_order() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    assert_eq!(scene.drain().await, 3);
    let received = scene.sink.received();
    let read = scene.acme.rows("/v1/events").await;
    for (received, read) in received.iter().zip(read.iter().rev()) {
        assert_eq!(received.json(), read["payload"]);
        assert_eq!(read["delivery_status"], "delivered");
        assert_eq!(read["attempts"], 1);
        assert_eq!(read["last_response_code"], 200);
        assert!(read["last_attempt_at"].is_string() && read["next_attempt_at"].is_null());
        assert_eq!(received.header("content-type"), "application/json");
        assert_eq!(received.header("user-agent"), "LMN-Webhooks/1");
        assert_eq!(received.header("webhook-id"), received.id());
        assert_eq!(read["id"], received.id());
    }
    assert_eq!(sequence(&scene.sink.taken()), [1, 2, 3]);
    scene.check_queues().await;
}

#[tokio::test]
async fn failed_event_is_sent_again_when_it_is_due_and_later_events_of_its_order_wait() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    let other = scene.order("glovis_2").await;
    let failing = order.clone();
    scene.sink.decides(move |it| match it.place().0 == failing {
        true => 500.into(),
        false => 204.into(),
    });
    scene.ships(&order).await;
    scene.ships(&other).await;
    assert_eq!(
        scene.drain().await,
        4,
        "one event of the failing order, three of the other"
    );
    let event = scene
        .acme
        .rows(&format!("/v1/orders/{order}/events"))
        .await
        .pop()
        .unwrap();
    assert_eq!(event["delivery_status"], "pending");
    assert_eq!(event["last_response_code"], 500);
    let moment = |it: &Value| chrono::DateTime::parse_from_rfc3339(it.as_str().unwrap()).unwrap();
    let wait = moment(&event["next_attempt_at"]) - moment(&event["last_attempt_at"]);
    assert!((54..=66).contains(&wait.num_seconds()), "{wait}");
    scene.acme.wait(40).await;
    assert_eq!(scene.drain().await, 0, "the event is not due");
    scene.acme.wait(26).await;
    assert_eq!(scene.drain().await, 1);
    scene.sink.answers(200);
    scene.acme.wait(5 * MINUTE).await;
    assert_eq!(scene.drain().await, 3);
    let of_order: Vec<_> = scene
        .sink
        .received()
        .into_iter()
        .map(|it| it.place())
        .filter(|it| it.0 == order)
        .collect();
    assert_eq!(sequence(&of_order), [1, 1, 1, 2, 3]);
    scene.check_queues().await;
}

#[tokio::test]
async fn event_is_given_up_after_ten_attempts_and_the_next_event_is_sent() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.sink.decides(|it| match it.place().1 {
        1 => 500.into(),
        _ => 200.into(),
    });
    scene.ships(&order).await;
    for attempt in 1..10 {
        let outcome = scene.worker.deliver_due().await.unwrap();
        assert_eq!((outcome.postponed, outcome.total()), (1, 1), "{attempt}");
        // Twice the longest wait, so that the event is due; after such waits the endpoint would be disabled.
        scene.forget_failures().await;
        scene.acme.wait(2 * DAY).await;
    }
    let last = scene.worker.deliver_due().await.unwrap();
    assert_eq!(
        last,
        Outcome {
            given_up: 1,
            ..Outcome::default()
        }
    );
    let failed = scene.acme.rows("/v1/events?delivery_status=failed").await;
    assert_eq!((failed.len(), &failed[0]["attempts"]), (1, &json!(10)));
    assert_eq!(failed[0]["next_attempt_at"], Value::Null);
    assert_eq!(scene.drain().await, 2);
    assert_eq!(sequence(&scene.sink.taken()), [2, 3]);

    // A redelivery sends it again, with the same id.
    scene.sink.answers(200);
    let path = format!("/v1/events/{}/redeliver", failed[0]["id"].as_str().unwrap());
    let key = key();
    let queued = scene.acme.post_once(&key, &path, json!({})).await;
    assert_eq!(queued.expect(202)["delivery_status"], "pending");
    scene
        .acme
        .post_once(&key, &path, json!({}))
        .await
        .replays(&queued);
    assert_eq!(scene.drain().await, 1);
    assert_eq!(sequence(&scene.sink.taken()), [2, 3, 1]);
    assert_eq!(failed[0]["id"], scene.sink.received().last().unwrap().id());
    assert_eq!(scene.count("delivered").await, 3);
    scene.check_queues().await;
}

#[tokio::test]
async fn redelivery_is_outside_the_sequence_of_the_order() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene
        .service
        .operator()
        .takes(&order, &[Transition::Acquire])
        .await;
    assert_eq!(scene.drain().await, 1);
    // The second event fails; the first one is sent again all the same.
    scene.sink.decides(|it| match it.place().1 {
        2 => 500.into(),
        _ => 200.into(),
    });
    let steps = [crate::support::secure(11_000, 0), Transition::Ship];
    scene.service.operator().takes(&order, &steps).await;
    assert_eq!(scene.drain().await, 1);
    let ids = scene
        .acme
        .get(&format!("/v1/orders/{order}/events"))
        .await
        .ids();
    let redeliver = async |n: usize| {
        let path = format!("/v1/events/{}/redeliver", ids[n]);
        scene.acme.post(&path, json!({})).await.expect(202)
    };
    redeliver(2).await;
    assert_eq!(scene.drain().await, 1);
    assert_eq!(scene.sink.received().last().unwrap().place().1, 1);
    // The third event waits behind the second: a redelivery does not let it overtake.
    redeliver(0).await;
    assert_eq!(scene.drain().await, 0);
    // The second event is the head of the queue: it is tried at once.
    redeliver(1).await;
    assert_eq!(scene.drain().await, 1);
    scene.check_queues().await;
    let rival = scene.service.partner("rival").await;
    let path = format!("/v1/events/{}/redeliver", ids[0]);
    rival
        .post(&path, json!({}))
        .await
        .refused(404, Code::EventNotFound);
}

#[tokio::test]
async fn test_event_is_sent_whichever_event_types_are_selected() {
    let scene = Scene::set().await;
    let settings = json!({"url": scene.sink.url(), "event_types": ["order.price_updated"]});
    scene.acme.hook(settings).await.ok();
    let test = scene.acme.test_endpoint().await;
    assert_eq!(
        (&test["type"], &test["sequence"]),
        (&json!("webhook.test"), &Value::Null)
    );
    assert_eq!(scene.drain().await, 1);
    let received = scene.sink.received().remove(0);
    assert_eq!(received.json(), test["payload"]);
    assert_eq!(received.json()["data"], json!({"order": null}));
    let id = test["id"].as_str().unwrap();
    let read = scene.acme.get(&format!("/v1/events/{id}")).await.ok();
    assert_eq!(read["delivery_status"], "delivered");
}

#[tokio::test]
async fn endpoint_that_answers_410_is_disabled_and_resumes_in_order_when_enabled() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene.sink.answers(410);
    assert_eq!(scene.drain().await, 1);
    let endpoint = scene.acme.get(ENDPOINT).await.ok();
    assert_eq!(
        (&endpoint["enabled"], &endpoint["disabled_reason"]),
        (&json!(false), &json!("endpoint_gone"))
    );
    scene.acme.wait(DAY).await;
    assert_eq!(scene.drain().await, 0, "attempts stop");
    let waiting = scene.acme.rows("/v1/events?delivery_status=pending").await;
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().all(|it| it["next_attempt_at"].is_null()));
    scene.sink.answers(200);
    let enabled = scene.acme.hook(json!({"url": scene.sink.url()})).await.ok();
    assert_eq!(
        (&enabled["enabled"], &enabled["disabled_reason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(scene.drain().await, 3);
    assert_eq!(sequence(&scene.sink.taken()), [1, 2, 3]);
    let disabled =
        "select count(*) from audit_log where action = 'webhook.disabled' and actor = 'automatic'";
    assert_eq!(scene.service.count(disabled).await, 1);
}

#[tokio::test]
async fn endpoint_that_fails_for_five_days_is_disabled() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene.sink.answers(503);
    scene.drain().await;
    for _ in 0..2 {
        scene.acme.wait(2 * DAY).await;
        scene.drain().await;
    }
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
    scene.acme.wait(DAY).await;
    scene.drain().await;
    let endpoint = scene.acme.get(ENDPOINT).await.ok();
    assert_eq!(endpoint["disabled_reason"], "failing_for_five_days");
    assert_eq!(scene.count("pending").await, 3);
}

#[tokio::test]
async fn success_between_failures_keeps_the_endpoint_enabled() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene.sink.answers(503);
    scene.drain().await;
    scene.acme.wait(2 * DAY).await;
    scene.drain().await;
    scene.acme.wait(2 * DAY).await;
    scene.sink.decides(|it| {
        if it.place().1 == 1 {
            200.into()
        } else {
            503.into()
        }
    });
    scene.drain().await;
    scene.acme.wait(2 * DAY).await;
    scene.drain().await;
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
}

#[tokio::test]
async fn period_without_attempts_does_not_count_towards_five_days_of_failure() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene.sink.answers(503);
    for days in [0, 4, 2] {
        scene.acme.wait(days * DAY + 1).await;
        assert_eq!(scene.drain().await, 1);
    }
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
}

#[tokio::test]
async fn retry_after_of_the_receiver_is_honored() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    scene
        .sink
        .answers(Answer::from(429).with("retry-after", "110"));
    scene.drain().await;
    scene.acme.wait(105).await;
    assert_eq!(scene.drain().await, 0);
    scene.acme.wait(10).await;
    assert_eq!(scene.drain().await, 1);
}

#[tokio::test]
async fn redirect_is_a_failure_and_is_not_followed() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene
        .service
        .operator()
        .takes(&order, &[Transition::Acquire])
        .await;
    let elsewhere = crate::support::Sink::start().await;
    for status in [301, 302, 303, 307, 308] {
        scene
            .sink
            .answers(Answer::from(status).with("location", &elsewhere.url()));
        scene.acme.wait(DAY / 2).await;
        assert_eq!(scene.drain().await, 1, "{status}");
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn reset_of_the_sandbox_clock_keeps_the_wait_for_the_next_attempt() {
    let (scene, order) = Scene::ahead().await;
    scene.sink.answers(500);
    scene.ships(&order).await;
    assert_eq!(scene.drain().await, 1);
    scene.acme.reset_clock().await;
    assert_eq!(scene.drain().await, 0);
    scene.sink.answers(200);
    scene.acme.wait(66).await;
    assert_eq!(scene.drain().await, 3);
}
