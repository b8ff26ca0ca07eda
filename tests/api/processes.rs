//! Several replicas on one database, as real processes: together they are one service, and any of them may be killed.

use std::{collections::HashSet, process::Stdio};

use lmn_partner_api::errors::catalogue::Code;
use serde_json::{Value, json};

use crate::{
    database::TestDatabase,
    process::{Process, lmn_on, words},
    support::{
        Operator, Partner, Reply, Sink, Vehicle, count_keys, count_orders, eventually, key,
        lock_vehicles, settings, wait_for_blocked_session,
    },
};

fn replica(database: &TestDatabase) -> Process {
    Process::on(&database.url(), &["serve", "--json"], &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_one_key_at_two_replicas_make_one_order() {
    let database = TestDatabase::new().await;
    let replicas = [replica(&database), replica(&database)];
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, replicas[0].url(), "acme").await;
    let key = key();
    let racers: Vec<_> = (0..64)
        .map(|n| {
            let (acme, key) = (acme.at(replicas[n % 2].url()), key.clone());
            tokio::spawn(async move { acme.place_order_once(&key, "glovis_1", 12_000).await })
        })
        .collect();
    let mut replies: Vec<Reply> = Vec::new();
    for racer in racers {
        replies.push(racer.await.unwrap());
    }
    let first = replies
        .iter()
        .position(|reply| reply.status == 201)
        .expect("one request is first");
    let first = replies.swap_remove(first);
    first.created();
    assert_eq!(replies.len(), 63);
    replies.iter().for_each(|reply| reply.replays(&first));
    assert_eq!(count_orders(&database.pool).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_killed_in_the_middle_of_a_write_leaves_one_order() {
    let database = TestDatabase::new().await;
    let (doomed, other) = (replica(&database), replica(&database));
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, other.url(), "acme").await;
    let key = key();

    let holder = lock_vehicles(&database.pool).await;
    let lost = reqwest::Client::new()
        .post(format!("{}/v1/orders", doomed.url()))
        .header("x-api-key", &acme.api_key)
        .header("idempotency-key", &key)
        .header("content-type", "application/json")
        .body(json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}).to_string());
    let lost = tokio::spawn(lost.send());
    wait_for_blocked_session(&database.pool).await;
    tokio::task::spawn_blocking(|| doomed.kill()).await.unwrap();
    assert!(lost.await.unwrap().is_err(), "the response is lost");
    holder.rollback().await.unwrap();

    // The killed replica's session may have committed or not: the retry waits for it, and is the first or a replay.
    let retried = acme.place_order_once(&key, "glovis_1", 12_000).await;
    assert!(matches!(retried.status, 200 | 201), "{retried:?}");
    assert_eq!(count_orders(&database.pool).await, 1);
    assert_eq!(count_keys(&database.pool).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_replica_finishes_the_requests_that_it_has_begun() {
    let database = TestDatabase::new().await;
    let stopping = replica(&database);
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, stopping.url(), "acme").await;
    let holder = lock_vehicles(&database.pool).await;
    let begun = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    wait_for_blocked_session(&database.pool).await;
    let url = stopping.url().trim_start_matches("http://").to_owned();
    let stopped = tokio::task::spawn_blocking(|| stopping.stop());
    eventually("the replica refuses new connections", async || {
        tokio::net::TcpStream::connect(&url)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    begun.await.unwrap().created();
    assert!(stopped.await.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_refused_by_every_replica() {
    let database = TestDatabase::new().await;
    let replicas = [replica(&database), replica(&database)];
    let acme = Partner::add(&database.pool, replicas[0].url(), "acme").await;
    let at = replicas.each_ref().map(|it| acme.at(it.url()));
    for acme in &at {
        acme.get("/v1/orders").await.ok();
    }
    acme.revoke(&database.pool, &acme.api_key).await;
    let mut reasons = HashSet::new();
    for acme in &at {
        let refused = eventually("the revocation reaches the replica", async || {
            let reply = acme.get("/v1/orders").await;
            (reply.status != 200).then_some(reply)
        });
        reasons.insert(refused.await.refused(401, Code::InvalidApiKey)["reason"].to_string());
    }
    assert_eq!(reasons, HashSet::from(["\"revoked\"".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_without_a_worker_leaves_deliveries_to_a_separate_worker() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let settings = [
        settings::LOCAL_ENDPOINTS,
        settings::poll_milliseconds(20),
        settings::backlog_seconds(1),
    ];
    let server = Process::on(&url, &["serve", "--no-worker", "--json"], &settings);
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let sink = Sink::start().await;
    sink.answers(500);
    acme.hook(json!({"url": sink.url()})).await.expect(201);
    Vehicle::lot("glovis_1").insert(&database).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    Operator::at(&database.product).ships(&order).await;
    let pending = acme.rows("/v1/events?delivery_status=pending").await;
    assert_eq!((pending.len(), sink.count()), (3, 0));

    let metrics = async |process: &Process| {
        let answer = reqwest::get(format!("{}/metrics", process.operator_url())).await;
        answer.unwrap().text().await.unwrap()
    };
    let worker = Process::on(&url, &["worker", "--json"], &settings);
    eventually(
        "the worker counts the delivery that waits after a failure",
        async || {
            let later = "lmn_webhook_queues_waiting{state=\"later\"} 1";
            metrics(&worker).await.contains(later).then_some(())
        },
    )
    .await;
    sink.answers(200);
    acme.wait(120).await;
    eventually("the worker delivers every event", async || {
        let delivered = "lmn_webhook_attempts_total{outcome=\"delivered\"} 3";
        metrics(&worker).await.contains(delivered).then_some(())
    })
    .await;
    let sequence: Vec<_> = sink.taken().into_iter().map(|it| it.1).collect();
    assert_eq!(sequence, [1, 2, 3]);
    let of_server = metrics(&server).await;
    for of_worker in ["lmn_webhook_attempts_total", "name=\"auctions\""] {
        assert!(!of_server.contains(of_worker), "{of_server}");
    }
    let ready = reqwest::get(format!("{}/readyz", worker.operator_url())).await;
    assert_eq!(ready.unwrap().status(), 200);
    let stopped = tokio::task::spawn_blocking(|| worker.stop()).await.unwrap();
    assert!(stopped.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn log_that_is_not_read_delays_no_request_and_is_complete_at_the_end() {
    let database = TestDatabase::new().await;
    let arguments = ["serve", "--no-worker", "--json"];
    let server = Process::on(&database.url(), &arguments, &[settings::LOG_INFO]);
    let client = reqwest::Client::new();
    let url = format!("{}/v1/errors", server.url());
    const REQUESTS: usize = 600;
    for _ in 0..REQUESTS {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
    let output = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    assert!(output.status.success());
    let log = words(&output);
    assert!(
        log.len() > 2 * 64 * 1024,
        "the log is larger than the buffer of a pipe"
    );
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let messages: Vec<String> = lines
        .map(|line: Value| line["message"].as_str().unwrap().to_owned())
        .collect();
    let served = messages.iter().filter(|it| *it == "request served");
    assert_eq!(served.count(), REQUESTS);
    assert!(messages.iter().any(|it| it == "stopping"), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_is_complete_before_the_error_that_ends_a_server() {
    let database = TestDatabase::new().await;
    let arguments = ["serve", "--json"];
    let mut command = lmn_on(&database.url(), &arguments, &[settings::LOG_INFO]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    // The server fails to print its URL immediately after it has logged its address.
    drop(server.stdout.take());
    let output = server.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    let mut lines = words.lines().rev();
    let error = lines.next().unwrap();
    assert!(
        error.starts_with("lmn: standard output is closed"),
        "{words}"
    );
    let listening: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(listening["message"], "listening");
}
