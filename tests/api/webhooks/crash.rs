//! Workers that run side by side, are killed or stop: no delivery is lost.

use std::{collections::HashMap, time::Duration};

use lmn_partner_api::orders::state_machine::Transition;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use super::scene::Scene;
use crate::{
    process::Process,
    seed::seed,
    support::{Answer, Sink, eventually, settings},
};

/// Checks that every event of each order was received, and received for the first time in its sequence.
fn check_sequence(taken: &[(String, i64)], events: i64) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for (order, sequence) in taken {
        let last = last.entry(order).or_default();
        assert!(*sequence <= *last + 1, "{order}: {sequence} after {last}");
        *last = (*last).max(*sequence);
    }
    assert_eq!(last.values().sum::<i64>(), events, "nothing is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn receiver_that_is_down_for_a_day_gets_every_event_afterwards() {
    let scene = Scene::set().await;
    let address = scene.sink.address.to_string();
    let orders = [scene.order("glovis_1").await, scene.order("glovis_2").await];
    let Scene {
        service,
        acme,
        sink,
        worker,
        ..
    } = scene;
    sink.stop().await;
    for order in &orders {
        let steps = [Transition::Acquire, crate::support::secure(11_000, 0)];
        service.operator().takes(order, &steps).await;
    }
    for _ in 0..24 {
        while worker.deliver_due().await.unwrap().total() > 0 {}
        acme.wait(3_600).await;
    }
    for order in &orders {
        service.operator().takes(order, &[Transition::Ship]).await;
    }
    let sink = Sink::at(&address).await;
    for _ in 0..4 {
        acme.wait(86_400).await;
        while worker.deliver_due().await.unwrap().total() > 0 {}
    }
    assert_eq!(sink.count(), 6);
    check_sequence(&sink.taken(), 6);
    let delivered = acme.rows("/v1/events?delivery_status=delivered").await;
    assert_eq!(delivered.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_lose_and_reorder_no_event_despite_failures_and_delays() {
    let scene = Scene::with(&[settings::poll_milliseconds(50)]).await;
    let (mut random, orders) = (StdRng::seed_from_u64(seed()), 60);
    scene.sink.decides(move |_| {
        let status = match random.random_range(0..10) {
            0..6 => 204,
            6 | 7 => 500,
            8 => 429,
            _ => 302,
        };
        let delay = Duration::from_millis(random.random_range(0..8));
        Answer::from(status).after(delay)
    });
    let mut ids = Vec::new();
    for n in 0..orders {
        ids.push(scene.order(&format!("glovis_{n}")).await);
    }
    scene.start_worker();
    scene.start_another_worker();
    for ids in ids.chunks(20) {
        for ship in scene.ship_at_once(ids) {
            ship.await.unwrap();
        }
    }
    eventually("every event is delivered", async || {
        let waiting = scene.count("pending").await;
        if waiting > 0 {
            scene.make_due().await;
        }
        (waiting == 0).then_some(())
    })
    .await;
    check_sequence(&scene.sink.taken(), 3 * orders);
    assert_eq!(scene.count("delivered").await, 3 * orders);
    assert_eq!(
        scene.attempts().await,
        i64::try_from(scene.sink.count()).unwrap(),
        "every attempt is recorded"
    );
    scene.check_queues().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_in_the_middle_of_a_delivery_loses_no_event() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene
        .sink
        .answers(Answer::from(200).after(Duration::from_secs(60)));
    let url = scene.service.database.url();
    let settings = [
        settings::LOCAL_ENDPOINTS,
        settings::attempt_seconds(1),
        settings::lease_seconds(3),
    ];
    let worker = || Process::on(&url, &["worker", "--json"], &settings);
    let doomed = worker();
    scene.ships(&order).await;
    let sink = &scene.sink;
    eventually("the first event is being sent", async || {
        (sink.count() == 1).then_some(())
    })
    .await;
    tokio::task::spawn_blocking(|| doomed.kill()).await.unwrap();
    scene.sink.answers(200);
    assert_eq!(scene.count("pending").await, 3);
    let _other = worker();
    eventually("the other worker takes the deliveries over", async || {
        (scene.count("delivered").await == 3).then_some(())
    })
    .await;
    let sequence: Vec<_> = scene.sink.taken().into_iter().map(|it| it.1).collect();
    assert_eq!(sequence, [1, 1, 2, 3]);
    scene.check_queues().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_worker_finishes_the_delivery_that_it_is_sending() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    let slow = Answer::from(200).after(Duration::from_millis(700));
    scene.sink.answers(slow);
    let url = scene.service.database.url();
    let arguments = ["worker", "--json"];
    let worker = Process::on(&url, &arguments, &[settings::LOCAL_ENDPOINTS]);
    scene.ships(&order).await;
    let sink = &scene.sink;
    eventually("the first event is being sent", async || {
        (sink.count() == 1).then_some(())
    })
    .await;
    let stopped = tokio::task::spawn_blocking(|| worker.stop()).await.unwrap();
    assert!(stopped.status.success());
    assert_eq!(scene.count("delivered").await, 1);
    assert_eq!((scene.sink.count(), scene.count("pending").await), (1, 2));
    scene.check_queues().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_begins_soon_after_its_event_and_is_not_delayed_by_a_dead_endpoint() {
    let scene = Scene::with(&[settings::sends_max(8), settings::attempt_seconds(5)]).await;
    // Thousands of due deliveries to a partner whose receiver never answers.
    let dead = scene.service.partner("dead").await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    dead.hook(json!({"url": url})).await.expect(201);
    scene.add_deliveries(&dead, 5_000, 3_600).await;
    scene.start_worker();
    eventually("the dead endpoint is being tried", async || {
        (scene.leases().await > 0).then_some(())
    })
    .await;
    let order = scene.order("glovis_1").await;
    eventually("the dead endpoint is marked as failing", async || {
        (scene.failing_endpoints().await > 0).then_some(())
    })
    .await;
    for (n, step) in [
        Transition::Acquire,
        crate::support::secure(11_000, 0),
        Transition::Ship,
    ]
    .into_iter()
    .enumerate()
    {
        scene.service.operator().takes(&order, &[step]).await;
        let begun = std::time::Instant::now();
        let sink = &scene.sink;
        eventually("the event arrives", async || {
            (sink.count() == n + 1).then_some(())
        })
        .await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
    eventually(
        "a failing endpoint is tried with one delivery at a time",
        async || (scene.leases().await == 1).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn outcome_of_an_attempt_whose_lease_has_ended_is_ignored() {
    let scene = Scene::set().await;
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    // While the first worker waits for its answer, the lease ends and another one takes over.
    let (began, begun) = tokio::sync::oneshot::channel();
    let mut began = Some(began);
    scene.sink.decides(move |_| {
        let Some(began) = began.take() else {
            return 200.into();
        };
        began.send(()).unwrap();
        Answer::from(200).after(Duration::from_millis(800))
    });
    let slow = scene.worker.clone();
    let slow = tokio::spawn(async move { slow.deliver_due().await.unwrap() });
    begun.await.unwrap();
    scene.end_leases().await;
    let outcome = scene.worker.deliver_due().await.unwrap();
    assert_eq!(outcome.delivered, 1);
    assert_eq!(slow.await.unwrap().lost, 1);
    assert_eq!(scene.drain().await, 2);
    assert_eq!(scene.count("delivered").await, 3);
    scene.check_queues().await;
}
