//! The operator's listener of real processes: probes, metrics, and the health check command that uses them.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::{net::TcpListener, task::spawn_blocking};

use crate::{
    database::TestDatabase,
    process::{self, Process, words},
    support::{
        Partner, Service, Vehicle, eventually, key, lock_vehicles, pool_sessions, settings,
        wait_for_blocked_session,
    },
};

fn replica(database: &TestDatabase) -> Process {
    let silence = ("OPERATOR__DATABASE_SILENCE_MILLISECONDS", "500");
    let settings = [silence, settings::LOG_OFF];
    Process::on(&database.url(), &["serve", "--json"], &settings)
}

/// Sends a request without a key; returns its status and body.
async fn ask(base: &str, method: Method, path: &str) -> (u16, String) {
    let request = reqwest::Client::new().request(method, format!("{base}{path}"));
    let response = request.send().await.expect("the server answers");
    let status = response.status().as_u16();
    (status, response.text().await.expect("the body arrives"))
}

async fn get(base: &str, path: &str) -> (u16, String) {
    ask(base, Method::GET, path).await
}

/// Waits until `/readyz` answers 503; returns what it reports as missing.
async fn becomes_unready(operator: &str) -> Vec<Value> {
    eventually("the replica is not ready", async || {
        let (status, body) = get(operator, "/readyz").await;
        let body: Value = serde_json::from_str(&body).expect("the body is JSON");
        (status == 503).then(|| body["missing"].as_array().cloned().unwrap())
    })
    .await
}

/// Waits until `GET /v1/status` has a status for the orders.
async fn becomes(partners: &str, status: &str) {
    eventually("the status of the orders changes", async || {
        let (code, body) = get(partners, "/v1/status").await;
        assert_eq!(code, 200);
        let body: Value = serde_json::from_str(&body).expect("the body is JSON");
        (body["components"][0]["status"] == status).then_some(())
    })
    .await;
}

async fn becomes_ready(operator: &str) {
    eventually("the replica is ready", async || {
        (get(operator, "/readyz").await.0 == 200).then_some(())
    })
    .await;
}

/// Waits until the metrics contain a line; returns all of them.
async fn counts(operator: &str, line: &str) -> String {
    eventually(line, async || {
        let (status, text) = get(operator, "/metrics").await;
        assert_eq!(status, 200);
        text.lines().any(|it| it == line).then_some(text)
    })
    .await
}

/// Disallows connections to the database and ends the existing ones, or allows connections again.
async fn set_open(database: &TestDatabase, open: bool) {
    let options = database.pool.connect_options();
    let name = options.get_database().unwrap();
    let admin = (*options).clone().database("postgres");
    let mut admin = PgConnection::connect_with(&admin).await.unwrap();
    let statement = format!("alter database {name} allow_connections {open}");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut admin)
        .await
        .unwrap();
    // The change is committed before it is enforced, so sessions that were about to start are ended, too.
    eventually("no session is left in a closed database", async || {
        let statement =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and not $2";
        let ended = sqlx::query(statement).bind(name).bind(open);
        let ended = ended.execute(&mut admin).await.unwrap();
        (ended.rows_affected() == 0).then_some(())
    })
    .await;
    admin.close().await.unwrap();
}

async fn healthcheck(arguments: &[&str], listen: &str) -> std::process::Output {
    let arguments: Vec<_> = ["healthcheck"]
        .iter()
        .chain(arguments)
        .map(|it| (*it).to_owned())
        .collect();
    let listen = listen.trim_start_matches("http://").to_owned();
    let asking = spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let variables = [
            ("LMN_OPERATOR__LISTEN", listen.as_str()),
            ("LMN_OPERATOR__HEALTHCHECK_SECONDS", "1"),
        ];
        process::run(&arguments, &variables)
    });
    asking.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_listener_serves_probes_and_metrics_and_nothing_else() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let (operator, partners) = (replica.operator_url(), replica.url());
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(operator, path).await.0, 200, "{path}");
        assert_eq!(ask(operator, Method::HEAD, path).await.0, 200, "{path}");
        assert_eq!(ask(operator, Method::POST, path).await.0, 405, "{path}");
    }
    assert_eq!(get(partners, "/metrics").await.0, 404);
    for path in ["/v1/orders", "/v1/vehicles", "/metrics/", "/healthz/x"] {
        assert_eq!(get(operator, path).await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_without_its_database_is_alive_but_not_ready() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url();
    becomes_ready(operator).await;

    set_open(&database, false).await;
    let missing = becomes_unready(operator).await;
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0]["what"], "database");
    let name = database.pool.connect_options();
    let name = name.get_database().unwrap();
    let (_, body) = get(operator, "/readyz").await;
    assert!(!body.contains(name) && !body.contains("postgres"), "{body}");
    assert_eq!(get(operator, "/healthz").await.0, 200);
    becomes(replica.url(), "degraded").await;
    assert_eq!(
        healthcheck(&["--live"], operator).await.status.code(),
        Some(0)
    );
    let refused = healthcheck(&["--json"], operator).await;
    assert_eq!(refused.status.code(), Some(1));
    let said = words(&refused);
    assert!(
        said.contains("answers 503: the database was not heard for"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(
        (&said["healthy"], &said["answer"]["missing"][0]["what"]),
        (&false.into(), &"database".into())
    );

    set_open(&database, true).await;
    becomes_ready(operator).await;
    becomes(replica.url(), "operational").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_is_not_ready_while_its_database_lacks_a_migration() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url();
    let run = async |statement: &'static str| {
        sqlx::query(statement)
            .execute(&database.pool)
            .await
            .unwrap();
    };
    run("update _sqlx_migrations set success = false where version = (select max(version) from _sqlx_migrations)").await;
    let missing = becomes_unready(operator).await;
    assert_eq!(missing[0]["what"], "migrations");
    run("update _sqlx_migrations set success = true").await;
    becomes_ready(operator).await;
    run(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99990101000000, 'of a newer binary', true, '', 0)",
    )
    .await;
    run("alter table _sqlx_migrations rename to away").await;
    becomes_unready(operator).await;
    run("alter table away rename to _sqlx_migrations").await;
    becomes_ready(operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_replica_is_not_ready_and_serves_its_last_request() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url().to_owned();
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    let holder = lock_vehicles(&database.pool).await;
    let begun = tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await });
    wait_for_blocked_session(&database.pool).await;
    counts(&operator, "lmn_http_requests_in_flight 1").await;

    let stopped = spawn_blocking(|| replica.stop());
    let missing = becomes_unready(&operator).await;
    assert_eq!(missing[0]["what"], "stopping");
    assert_eq!(get(&operator, "/healthz").await.0, 200);
    holder.rollback().await.unwrap();
    begun.await.unwrap().created();
    assert!(stopped.await.unwrap().status.success());
    let refused = healthcheck(&[], &operator).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words(&refused).contains("does not answer"),
        "{}",
        words(&refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_use_no_database_session() {
    let service = Service::with(&[settings::database_connections_max(1)]).await;
    let operator = service.operator_url().await;
    becomes_ready(&operator).await;
    // The only session for requests is in use, so a probe that needed one would have to wait or to open another.
    let mut held = service.app.database().acquire().await.unwrap();
    let pid = sqlx::query_scalar("select pg_backend_pid()");
    let pid: i32 = pid.fetch_one(&mut held).await.unwrap();
    let before = eventually("there is one session more, of the catalogue", async || {
        Some(pool_sessions(service.db()).await).filter(|it| it.len() == 2)
    })
    .await;
    assert!(before.contains(&pid));
    let storm: Vec<_> = (0..200)
        .map(|_| {
            let operator = operator.clone();
            tokio::spawn(async move { get(&operator, "/readyz").await.0 })
        })
        .collect();
    for probe in storm {
        assert_eq!(probe.await.unwrap(), 200);
    }
    assert_eq!(pool_sessions(service.db()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_label_routes_by_template_and_partners_by_id() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url();
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    let order = acme.place_order("glovis_1", 12_000).await;
    order.created();
    acme.order(&order.id()).await.ok();
    acme.get("/v1/orders/nothing_like_an_order").await;
    acme.get(&format!("/leak/{}?key={}", order.id(), acme.api_key))
        .await;
    acme.ask(Method::from_bytes(b"LEAK").unwrap(), "/v1/orders")
        .send()
        .await;
    acme.with_key("lmn_stg_leak").get("/v1/vehicles").await;

    let requests = |route: &str, method: &str, status: u16, code: &str| {
        format!(
            "lmn_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\",code=\"{code}\"}} 1"
        )
    };
    let mut text = String::new();
    for line in [
        requests("/v1/orders", "POST", 201, "none"),
        requests("/v1/orders/{id}", "GET", 200, "none"),
        requests("/v1/orders/{id}", "GET", 404, "order_not_found"),
        requests("unmatched", "GET", 404, "not_found"),
        requests("/v1/orders", "other", 405, "method_not_allowed"),
        requests("/v1/vehicles", "GET", 401, "invalid_api_key"),
        "lmn_http_request_duration_seconds_bucket{route=\"/v1/orders/{id}\",method=\"GET\",le=\"+Inf\"} 2".to_owned(),
        "lmn_internal_errors_total 0".to_owned(),
        "lmn_database_connections_max{pool=\"requests\"} 20".to_owned(),
        format!("lmn_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        text = counts(operator, &line).await;
    }
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|it| it.strip_prefix(name));
        line.expect(name).trim().parse().unwrap()
    };
    assert!(value("lmn_database_silence_seconds ") < 2.0);
    let connections = |state: &str| {
        value(&format!(
            "lmn_database_connections{{pool=\"requests\",state=\"{state}\"}} "
        ))
    };
    assert!((1.0..=20.0).contains(&(connections("idle") + connections("used"))));
    let partner = lmn_partner_api::values::id::PartnerId::from(acme.id);
    for (outcome, count) in [("served", 2), ("refused", 1), ("limited", 0), ("failed", 0)] {
        let line = format!(
            "lmn_partner_requests_total{{partner=\"{partner}\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(text.lines().any(|it| it == line), "`{line}` in {text}");
    }
    for secret in [
        "leak",
        "LEAK",
        "lmn_stg",
        "nothing_like",
        "glovis",
        "acme",
        &order.id(),
        &acme.api_key,
    ] {
        assert!(!text.contains(secret), "`{secret}` in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_errors_and_abandoned_requests_are_counted() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url();
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    let holder = lock_vehicles(&database.pool).await;
    let lost = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order_once(&key(), "glovis_1", 12_000).await })
    };
    wait_for_blocked_session(&database.pool).await;
    lost.abort();
    counts(operator, "lmn_http_requests_abandoned_total 1").await;
    counts(operator, "lmn_http_requests_in_flight 0").await;
    holder.rollback().await.unwrap();

    sqlx::query("alter view orders_with_standing rename to away")
        .execute(&database.pool)
        .await
        .unwrap();
    assert_eq!(acme.get("/v1/orders").await.status, 500);
    counts(operator, "lmn_internal_errors_total 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_check_uses_the_listener_of_the_settings_and_gives_up_in_time() {
    let database = TestDatabase::new().await;
    let replica = replica(&database);
    let operator = replica.operator_url();
    let port = operator.rsplit(':').next().unwrap();
    for listen in [operator, &format!("0.0.0.0:{port}")] {
        let healthy = healthcheck(&["--json"], listen).await;
        assert_eq!(healthy.status.code(), Some(0), "{}", words(&healthy));
        let said: Value = serde_json::from_slice(&healthy.stdout).unwrap();
        assert_eq!(said["url"], format!("{operator}/readyz"));
        assert_eq!(said["healthy"], true);
    }
    // A listener that answers 404, one that answers nothing, and a port that cannot be known.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().map(|it| it.to_string()).unwrap();
    tokio::spawn(async move { axum::serve(other, axum::Router::new()).await });
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().map(|it| it.to_string()).unwrap();
    for (listen, why) in [
        (address.as_str(), "answers 404"),
        (silent.as_str(), "timed out"),
        ("127.0.0.1:0", "port 0"),
    ] {
        let started = tokio::time::Instant::now();
        let refused = healthcheck(&[], listen).await;
        let said = words(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
