//! What the operator is told: every metric of the table, nothing beside it, and nothing else in dashboards and alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    database::TestDatabase,
    process::Process,
    store::Store,
    support::{Car, Partner, Sink, eventually, key, somebody_waits},
};

const TABLE: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../docs/grafana/lmn-partner-api.json");
const ALERTS: &str = include_str!("../../docs/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../docs/alerts.test.yaml");

/// A metric's type and labels.
type Metric = (String, BTreeSet<String>);

/// The metrics of the table, by their names.
fn documented() -> BTreeMap<String, Metric> {
    let rows = TABLE.lines().filter(|it| it.starts_with("| `lmn_"));
    let metrics = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("{row}")
        };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels
            .split_whitespace()
            .map(|it| it.trim_matches('`').to_owned());
        (
            name.trim_matches('`').to_owned(),
            (kind.to_owned(), labels.collect()),
        )
    });
    metrics.collect()
}

/// The metrics of an exposition, by their names.
fn exposed(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    let series = Regex::new(r"^(\w+?)(_bucket|_sum|_count)?(?:\{(.*)\})? \S+$").unwrap();
    let label = Regex::new(r#"(\w+)="(?:[^"\\]|\\.)*""#).unwrap();
    for line in text
        .lines()
        .filter(|it| !it.starts_with('#') && !it.is_empty())
    {
        let found = series.captures(line).unwrap_or_else(|| panic!("{line}"));
        let whole = line.split(['{', ' ']).next().unwrap();
        let name = if metrics.contains_key(whole) {
            whole
        } else {
            &found[1]
        };
        let metric: &mut Metric = metrics.get_mut(name).unwrap_or_else(|| panic!("{line}"));
        let labels = found.get(3).map_or("", |it| it.as_str());
        let labels = label.captures_iter(labels).map(|it| it[1].to_owned());
        metric.1.extend(labels.filter(|it| it != "le"));
    }
    metrics
}

/// Whatever in a text could be one of our metrics, without the endings of a histogram.
fn named(text: &str, documented: &BTreeMap<String, Metric>) -> BTreeSet<String> {
    let name = Regex::new(r"\blmn_\w+").unwrap();
    let names = name.find_iter(text).map(|it| it.as_str());
    names
        .map(|name| {
            let endings = ["_bucket", "_sum", "_count"];
            let stem = endings.iter().find_map(|it| name.strip_suffix(it));
            let of_histogram =
                stem.filter(|it| documented.get(*it).is_some_and(|it| it.0 == "histogram"));
            of_histogram.unwrap_or(name).to_owned()
        })
        .collect()
}

/// Makes a server count everything it can count.
async fn keep_busy(server: &Process, database: &TestDatabase, sink: &Sink) {
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    for id in ["glovis_1", "glovis_2"] {
        Car::lot(id).insert(database).await;
    }
    acme.hook(json!({"url": sink.url()})).await.expect(201);
    acme.post("/v1/webhook_endpoint/test", json!({})).await;
    acme.get("/v1/vehicles?source=glovis").await.ok();
    acme.get("/v1/vehicles/glovis_1").await.ok();
    acme.with_key("lmn_stg_AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .get("/v1/orders")
        .await
        .expect(401);
    let request = acme.ask(reqwest::Method::GET, "/v1/orders");
    let traced = request.header(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    traced.send().await.ok();
    // Two writes, one of which waits for its turn.
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("select from vehicles for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let writes = ["glovis_1", "glovis_2"].map(|id| {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order_once(&key(), id, 12_000).await })
    });
    somebody_waits(&database.pool).await;
    eventually("one waits for its turn", async || {
        metrics(server)
            .await
            .contains("lmn_lane_waiting 1\n")
            .then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    for write in writes {
        write.await.unwrap().created();
    }
}

/// Starts a server that ends TLS itself, on files of its own.
fn with_tls(database: &str) -> (Process, TempDir) {
    let folder = TempDir::new().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.path().join(name);
        fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let certificate = write("certificate", certified.cert.pem());
    let key = write("key", certified.signing_key.serialize_pem());
    let variables = [
        ("DATABASE_URL", database),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_SERVER__TLS__CERTIFICATE_FILE", &certificate),
        ("LMN_SERVER__TLS__PRIVATE_KEY_FILE", &key),
        ("LMN_LOG__FILTER", "off"),
    ];
    let server = Process::start(&["serve", "--no-worker", "--json"], &variables);
    (server, folder)
}

/// The lines of an exposition that are about TLS.
fn only_of_tls(text: &str) -> String {
    let lines = text.lines().filter(|it| it.contains("lmn_tls_"));
    lines.map(|it| format!("{it}\n")).collect()
}

async fn metrics(server: &Process) -> String {
    let answer = reqwest::get(format!("{}/metrics", server.operator_url())).await;
    answer.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_what_a_server_tells_no_more_and_no_less() {
    let documented = documented();
    assert!(documented.len() > 30);
    let database = TestDatabase::new().await;
    let sink = Sink::start().await;
    let (url, store) = (database.url(), Store::start());
    let shared = store.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_RATE_LIMIT__SHARED__URL", shared.as_str()),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_GATE__LANE_WRITES_MAX", "1"),
        ("LMN_GATE__KEY_USE_SECONDS", "1"),
        ("LMN_WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8"),
        ("LMN_WEBHOOKS__BACKLOG_SECONDS", "1"),
        ("LMN_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("LMN_TELEMETRY__EXPORT_MILLISECONDS", "20"),
        ("LMN_LOG__FILTER", "off"),
    ];
    let server = Process::start(&["serve", "--json"], &variables);
    keep_busy(&server, &database, &sink).await;
    let secret = with_tls(url.as_str());
    let text = eventually("everything is counted", async || {
        let text = metrics(&server).await + &only_of_tls(&metrics(&secret.0).await);
        let exposed = exposed(&text);
        documented
            .keys()
            .all(|it| exposed.contains_key(it))
            .then_some(text)
    })
    .await;
    assert_eq!(exposed(&text), documented);
    // And each says in the exposition, too, what it is.
    for name in documented.keys() {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn the_dashboard_and_the_alerts_know_the_metrics_of_the_table() {
    let documented = documented();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut seen = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = named(target["expr"].as_str().unwrap(), &documented);
            assert!(!names.is_empty(), "{panel}");
            seen.extend(names);
        }
    }
    let known: BTreeSet<_> = documented.keys().cloned().collect();
    assert_eq!(seen, known, "the dashboard shows them all, and no other");
    for text in [ALERTS, ALERT_TESTS] {
        let named = named(text, &documented);
        assert!(
            named.len() > 3 && named.is_subset(&known),
            "{:?}",
            &named - &known
        );
    }
}
