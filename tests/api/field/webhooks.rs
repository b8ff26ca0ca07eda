//! Webhooks: changes of the endpoint and redeliveries during an attempt, workers that die, and URLs.

use std::time::{Duration, Instant};

use lmn_partner_api::{
    errors::catalogue::Code, orders::state_machine::Transition, webhooks::worker::Outcome,
};
use serde_json::json;

use crate::{
    process::Process,
    support::{Answer, ENDPOINT, Service, eventually, settings},
    webhooks::scene::Scene,
};

/// The outcome of one failed attempt.
const POSTPONED: Outcome = Outcome {
    delivered: 0,
    postponed: 1,
    given_up: 0,
    lost: 0,
};

/// Pauses the endpoint of a scene, and enables it again.
async fn restart(scene: &Scene) {
    for enabled in [false, true] {
        let settings = json!({"url": scene.sink.url(), "enabled": enabled});
        scene.acme.hook(settings).await.ok();
    }
}

/// Requests another delivery of an order's first event.
async fn redeliver_first(scene: &Scene, order: &str) -> String {
    let first = scene.acme.events_of(order).await.remove(0);
    let id = first["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/events/{id}/redeliver");
    scene.acme.post(&path, json!({})).await.expect(202);
    id
}

#[tokio::test]
async fn failure_of_a_first_attempt_does_not_count_against_an_endpoint_enabled_since() {
    for status in [500, 410] {
        let scene = Scene::set().await;
        let order = scene.order("glovis_1").await;
        scene.ships(&order).await;
        let sending = scene.sending(status).await;
        restart(&scene).await;
        assert_eq!(sending.ends().await, POSTPONED);
        let failing = "select count(*) from webhook_endpoints where failing_since is not null";
        assert_eq!(scene.service.count(failing).await, 0, "{status}");
        assert_eq!(scene.acme.get(ENDPOINT).await.ok()["enabled"], true);
        // The new start begins at once, with all of its attempts.
        let tries = "select count(*) from delivery_queues where tries = 0";
        assert_eq!(scene.service.count(tries).await, 1, "{status}");
        assert_eq!(scene.drain().await, 3, "{status}");
        scene.check_queues().await;
    }
}

#[tokio::test]
async fn failure_of_an_attempt_that_begins_after_the_restart_counts() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(500).await;
    restart(&scene).await;
    assert_eq!(sending.ends().await, POSTPONED);
    scene.sink.answers(500);
    assert_eq!(scene.worker.deliver_due().await.unwrap(), POSTPONED);
    let failing = "select count(*) from webhook_endpoints where failing_since is not null";
    assert_eq!(scene.service.count(failing).await, 1);
    assert_eq!(scene.drain().await, 0, "the next attempt waits");
}

#[tokio::test]
async fn redelivery_requested_during_a_successful_attempt_is_made_after_it() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(200).await;
    let id = redeliver_first(&scene, &order).await;
    assert_eq!(sending.ends().await.delivered, 1);
    scene.check_queues().await;
    assert_eq!(scene.drain().await, 3, "two events and the redelivery");
    let received = scene.sink.received();
    let again = received.iter().filter(|it| it.id() == id).count();
    assert_eq!(again, 2);
    let mut first_times: Vec<i64> = scene.sink.taken().into_iter().map(|it| it.1).collect();
    first_times.dedup();
    first_times.retain(|it| *it > 1);
    assert_eq!(first_times, [2, 3], "the sequence of the order continues");
    assert_eq!(scene.count("delivered").await, 3);
    assert_eq!(scene.drain().await, 0);
    scene.check_queues().await;
}

#[tokio::test]
async fn redelivery_requested_during_a_failing_attempt_does_not_wait() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    let sending = scene.sending(500).await;
    redeliver_first(&scene, &order).await;
    assert_eq!(sending.ends().await, POSTPONED);
    assert_eq!(scene.drain().await, 3, "the event is sent again at once");
    let sequence: Vec<_> = scene.sink.taken().into_iter().map(|it| it.1).collect();
    assert_eq!(sequence, [1, 2, 3]);
    scene.check_queues().await;
}

#[tokio::test]
async fn redelivery_requested_twice_during_an_attempt_is_made_once() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    let operator = scene.service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    let sending = scene.sending(200).await;
    for _ in 0..2 {
        redeliver_first(&scene, &order).await;
    }
    assert_eq!(sending.ends().await.delivered, 1);
    assert_eq!(scene.drain().await, 1);
    scene.check_queues().await;
}

#[tokio::test]
async fn addresses_inside_a_cloud_are_refused_as_endpoints() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for host in [
        "168.63.129.16",
        "0xa83f8110",
        "[::ffff:168.63.129.16]",
        "100.100.100.200",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "199.36.153.8",
        "161.26.0.10",
    ] {
        let url = format!("https://{host}/lmn");
        let reply = acme.hook(json!({"url": url})).await;
        let details = reply.refused(400, Code::ValidationError);
        assert_eq!(details["reason"], "address_not_public", "{url}");
        assert_eq!(details["issues"].as_array().unwrap().len(), 1, "{details}");
    }
    let neighbor = json!({"url": "https://168.63.129.17/lmn"});
    acme.hook(neighbor).await.expect(201);
}

#[tokio::test]
async fn url_is_shown_as_it_was_given_and_requested_in_normal_form() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    let given = format!("HTTP://{}/a/../lmn?shop=1#top", scene.sink.address);
    let put = scene.acme.hook(json!({"url": given})).await.ok();
    assert_eq!(put["url"], given);
    assert_eq!(scene.acme.get(ENDPOINT).await.ok()["url"], given);
    let again = scene.acme.hook(json!({"url": given})).await.ok();
    assert_eq!(again, put, "the same URL changes nothing");
    // The receiver accepts only `/lmn?shop=1`.
    let operator = scene.service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    assert_eq!(scene.drain().await, 1);
    assert_eq!(scene.count("delivered").await, 1);
    assert_eq!(scene.acme.unhook().await.ok()["url"], given);
    for bad in [
        format!(" {given}"),
        format!("{given}\n"),
        "http://a\tb/".into(),
    ] {
        let issues = scene.acme.hook(json!({"url": bad})).await.issues();
        assert_eq!(issues, [("url".to_owned(), "INVALID_FORMAT".to_owned())]);
    }
}

#[tokio::test]
async fn lease_is_renewed_while_an_attempt_runs() {
    let scene = Scene::with(&[("WEBHOOKS__LEASE_SECONDS", "1")]).await;
    let order = scene.order("glovis_1").await;
    let operator = scene.service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    let sending = scene.sending(200).await;
    let first = "create table first_lease as select leased_until from delivery_queues";
    scene.service.sql_elsewhere(first).await;
    eventually("the lease outlives its first end", async || {
        let renewed = "select count(*) from delivery_queues, first_lease
             where first_lease.leased_until < now() and delivery_queues.leased_until > now()";
        (scene.service.count(renewed).await == 1).then_some(())
    })
    .await;
    // Another worker finds nothing to send.
    let other = crate::support::worker(&scene.service.app);
    assert_eq!(other.deliver_due().await.unwrap().total(), 0);
    assert_eq!(sending.ends().await.delivered, 1);
    assert_eq!(scene.sink.count(), 1);
    scene.check_queues().await;
}

#[tokio::test]
async fn attempt_whose_lease_is_lost_is_abandoned() {
    let scene = Scene::with(&[("WEBHOOKS__LEASE_SECONDS", "1")]).await;
    let order = scene.order("glovis_1").await;
    let operator = scene.service.operator();
    operator.takes(&order, &[Transition::Acquire]).await;
    let sending = scene.sending(200).await;
    let taken_over = "update delivery_queues set lease = gen_random_uuid()";
    scene.service.sql_elsewhere(taken_over).await;
    assert_eq!(sending.abandoned().await.lost, 1);
    assert_eq!(scene.count("pending").await, 1);
    let abandoned = "lmn_webhook_attempts_total{outcome=\"abandoned\"}";
    assert_eq!(scene.service.metric(abandoned).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_killed_worker_are_made_soon_by_another() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    let never = Answer::from(200).after(Duration::from_secs(60));
    scene.sink.answers(never);
    let url = scene.service.database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_WEBHOOKS__OPEN_NETWORKS", settings::LOCAL_ENDPOINTS.1),
        ("LMN_LOG__FILTER", "error"),
    ];
    let worker = || Process::start(&["worker", "--json"], &variables);
    let doomed = worker();
    scene.ships(&order).await;
    let sink = &scene.sink;
    eventually("the first event is being sent", async || {
        (sink.count() == 1).then_some(())
    })
    .await;
    sink.answers(200);
    tokio::task::spawn_blocking(|| doomed.kill()).await.unwrap();
    let killed = Instant::now();
    let _other = worker();
    eventually("every event is delivered", async || {
        (scene.count("delivered").await == 3).then_some(())
    })
    .await;
    // A lease of 5 s, the pause between two searches and the start of a process; not 30 s.
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    let sequence: Vec<_> = sink.taken().into_iter().map(|it| it.1).collect();
    assert_eq!(sequence, [1, 1, 2, 3]);
    scene.check_queues().await;
}
