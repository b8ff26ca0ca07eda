//! What others have met in production with servers like this one, tried on ours. docs/field-reports.md lists the reports
//! and where each of them is tested.

#[path = "../../support/pgbouncer.rs"]
mod pgbouncer;

use std::collections::HashSet;

use lmn_partner_api::{errors::catalogue::Code, router::router};
use reqwest::Method;
use sqlx::AssertSqlSafe;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use self::pgbouncer::PgBouncer;
use crate::{
    database::TestDatabase,
    support::{Document, Service, Vehicle, eventually, key},
};

#[tokio::test(flavor = "multi_thread")]
async fn pooler_in_session_mode_keeps_timeouts_and_notifications() {
    let database = TestDatabase::new().await;
    let pooler = PgBouncer::start(&database, "session");
    let service = Service::at(database, &pooler.url(), &[], router).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 12_000).await.created();

    let mut session = service.app.database().acquire().await.unwrap();
    for (setting, expected) in [
        ("lock_timeout", "5s"),
        ("statement_timeout", "8s"),
        ("idle_in_transaction_session_timeout", "8s"),
        ("default_transaction_isolation", "read committed"),
        ("search_path", "public"),
        ("enable_seqscan", "off"),
    ] {
        let found: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(found, expected, "{setting}");
    }
    drop(session);
    // The pooler passes the name of a session on to the server.
    let listening = "select count(*) from pg_stat_activity
                     where datname = current_database() and application_name = 'lmn heartbeat'";
    eventually("the service listens", async || {
        (service.count(listening).await == 1).then_some(())
    })
    .await;
    service
        .sql_elsewhere("update api_keys set revoked_at = now()")
        .await;
    let refused = eventually("the revocation is heard", async || {
        let reply = acme.get("/v1/orders").await;
        (reply.status != 200).then_some(reply)
    });
    let details = refused.await.refused(401, Code::InvalidApiKey);
    assert_eq!(details["reason"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_whose_role_may_not_sign_in_any_more_answers_503_until_it_may_again() {
    let database = TestDatabase::new().await;
    let mut url = Url::parse(&database.url()).unwrap();
    let role = format!("{}_role", url.path().trim_start_matches('/'));
    let create = format!("create role {role} superuser login password 'first'");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&database.pool)
        .await
        .unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("first")).unwrap();
    let service = Service::at(database, url.as_str(), &[], router).await;
    let acme = service.partner("acme").await;
    acme.get("/v1/orders").await.ok();

    // As after a change of its password: open sessions stay, and new ones are refused.
    let end = format!(
        "alter role {role} nologin;
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
    );
    service.sql_elsewhere(&end).await;
    for _ in 0..5 {
        let reply = acme.get("/v1/orders").await;
        reply.refused(503, Code::ServiceUnavailable);
        assert_ne!(reply.header("retry-after"), "");
    }
    service
        .sql_elsewhere(&format!("alter role {role} login"))
        .await;
    eventually("it is served again without a restart", async || {
        (acme.get("/v1/orders").await.status == 200).then_some(())
    })
    .await;
    service.sql_elsewhere(&format!("drop role {role}")).await;
}

#[tokio::test]
async fn body_that_is_declared_too_large_is_refused_before_it_is_asked_for() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (length, expected) in [(65_537, "HTTP/1.1 413"), (65_536, "HTTP/1.1 100")] {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nidempotency-key: {}\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
            acme.api_key,
            key()
        );
        let address = service.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut begun = vec![0; expected.len()];
        socket.read_exact(&mut begun).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&begun), expected, "{length} bytes");
    }
}

#[tokio::test]
async fn byte_order_mark_before_a_body_makes_no_difference() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let body = "\u{feff}{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000}";
    let placed = acme
        .ask(Method::POST, "/v1/orders")
        .key(&key)
        .header("content-type", "application/json; charset=utf-8")
        .body(body)
        .send()
        .await;
    placed.created();
    let again = acme.place_order_once(&key, "glovis_1", 12_000).await;
    again.replays(&placed);
}

#[tokio::test]
async fn metrics_have_the_media_type_that_prometheus_3_requires() {
    let service = Service::start().await;
    let url = format!("{}/metrics", service.operator_url().await);
    let answer = reqwest::get(url).await.unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn operations_in_the_document_have_unique_ids() {
    let document = Document::read().text;
    let mut ids = HashSet::new();
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(id) = operation["operationId"].as_str() else {
                // Beside its operations, a path has parameters and descriptions.
                assert!(!operation.is_object(), "{method} {path} has no id");
                continue;
            };
            seen += 1;
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id}");
        }
    }
    assert!(seen > 20, "operations are read");
}
