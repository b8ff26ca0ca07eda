//! Several replicas on one database, as real processes: together they are one service, and any may die.

use std::collections::HashSet;

use lmn_partner_api::error::catalogue::Code;
use serde_json::json;

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Car, Partner, Reply, eventually, key, somebody_waits},
};

fn replica(database: &TestDatabase) -> Process {
    let url = database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_LOG__FILTER", "error"),
    ];
    Process::start(&["serve", "--json"], &variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_racers_with_one_key_over_two_replicas_make_one_order() {
    let database = TestDatabase::new().await;
    let replicas = [replica(&database), replica(&database)];
    Car::lot("glovis_1").insert(&database.pool).await;
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
        .expect("one is first");
    let first = replies.swap_remove(first);
    first.created();
    assert_eq!(replies.len(), 63);
    replies.iter().for_each(|reply| reply.replays(&first));
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_in_the_middle_of_a_write_leaves_the_key_free() {
    let database = TestDatabase::new().await;
    let (doomed, other) = (replica(&database), replica(&database));
    Car::lot("glovis_1").insert(&database.pool).await;
    let acme = Partner::add(&database.pool, other.url(), "acme").await;
    let key = key();

    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("select from vehicles for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let lost = reqwest::Client::new()
        .post(format!("{}/v1/orders", doomed.url()))
        .header("x-api-key", &acme.api_key)
        .header("idempotency-key", &key)
        .header("content-type", "application/json")
        .body(json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}).to_string());
    let lost = tokio::spawn(lost.send());
    somebody_waits(&database.pool).await;
    tokio::task::spawn_blocking(|| doomed.kill()).await.unwrap();
    assert!(lost.await.unwrap().is_err(), "the answer is lost");
    holder.rollback().await.unwrap();

    let count = async |statement: &'static str| -> i64 {
        sqlx::query_scalar(statement)
            .fetch_one(&database.pool)
            .await
            .unwrap()
    };
    // Whether or not the dead replica's backend got to know yet: the retry waits for it, and is the first.
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
    assert_eq!(count("select count(*) from orders").await, 1);
    assert_eq!(count("select count(*) from idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_told_to_stop_finishes_what_it_began() {
    let database = TestDatabase::new().await;
    let stopping = replica(&database);
    Car::lot("glovis_1").insert(&database.pool).await;
    let acme = Partner::add(&database.pool, stopping.url(), "acme").await;
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("select from vehicles for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let begun = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    somebody_waits(&database.pool).await;
    let url = stopping.url().trim_start_matches("http://").to_owned();
    let stopped = tokio::task::spawn_blocking(|| stopping.stop());
    eventually("it listens no more", async || {
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
async fn a_revoked_key_is_refused_by_every_replica() {
    let database = TestDatabase::new().await;
    let replicas = [replica(&database), replica(&database)];
    let acme = Partner::add(&database.pool, replicas[0].url(), "acme").await;
    let at = replicas.each_ref().map(|it| acme.at(it.url()));
    for acme in &at {
        acme.get("/v1/orders").await.ok();
    }
    sqlx::query("update api_keys set revoked_at = now()")
        .execute(&database.pool)
        .await
        .unwrap();
    let mut reasons = HashSet::new();
    for acme in &at {
        let refused = eventually("the revocation is heard", async || {
            let reply = acme.get("/v1/orders").await;
            (reply.status != 200).then_some(reply)
        });
        reasons.insert(refused.await.refused(401, Code::InvalidApiKey)["reason"].to_string());
    }
    assert_eq!(reasons, HashSet::from(["\"revoked\"".to_owned()]));
}
