//! Metrics: servers expose exactly those of the documented table, and dashboards and alerts use no others.

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
    support::{Partner, Sink, Vehicle, eventually, key, wait_for_blocked_session},
};

const TABLE: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../docs/grafana/lmn-partner-api.json");
const ALERTS: &str = include_str!("../../docs/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../docs/alerts.test.yaml");

/// The type and the labels of a metric.
type Metric = (String, BTreeSet<String>);

/// Returns the metrics of the table, by name.
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

/// Returns the metrics of an exposition, by name.
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

/// Returns the names in a text that could be metrics of this service, without the suffixes of histograms.
fn named(text: &str, documented: &BTreeMap<String, Metric>) -> BTreeSet<String> {
    let name = Regex::new(r"\blmn_\w+").unwrap();
    let names = name.find_iter(text).map(|it| it.as_str());
    names
        .map(|name| {
            let suffixes = ["_bucket", "_sum", "_count"];
            let stem = suffixes.iter().find_map(|it| name.strip_suffix(it));
            let of_histogram =
                stem.filter(|it| documented.get(*it).is_some_and(|it| it.0 == "histogram"));
            of_histogram.unwrap_or(name).to_owned()
        })
        .collect()
}

/// Makes a server count in every metric.
async fn keep_busy(server: &Process, database: &TestDatabase, sink: &Sink) {
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    for id in ["glovis_1", "glovis_2"] {
        Vehicle::lot(id).insert(database).await;
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
    // Two writes, one of which waits for the partner write limit.
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("select from vehicles for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let writes = ["glovis_1", "glovis_2"].map(|id| {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order_once(&key(), id, 12_000).await })
    });
    wait_for_blocked_session(&database.pool).await;
    eventually("one write waits for the partner write limit", async || {
        metrics(server)
            .await
            .contains("lmn_partner_writes_waiting 1\n")
            .then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    for write in writes {
        write.await.unwrap().created();
    }
}

/// Starts a server that terminates TLS with a certificate of its own.
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

/// Returns the lines of an exposition with metrics of TLS.
fn only_of_tls(text: &str) -> String {
    let lines = text.lines().filter(|it| it.contains("lmn_tls_"));
    lines.map(|it| format!("{it}\n")).collect()
}

async fn metrics(server: &Process) -> String {
    let answer = reqwest::get(format!("{}/metrics", server.operator_url())).await;
    answer.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_exposes_exactly_the_metrics_of_the_table() {
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
        ("LMN_LIMITS__PARTNER_WRITES_MAX", "1"),
        ("LMN_GATE__KEY_USE_SECONDS", "1"),
        ("LMN_WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8"),
        ("LMN_WEBHOOKS__BACKLOG_SECONDS", "1"),
        ("LMN_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("LMN_TELEMETRY__EXPORT_MILLISECONDS", "20"),
        ("LMN_LOG__FILTER", "off"),
    ];
    let server = Process::start(&["serve", "--json"], &variables);
    keep_busy(&server, &database, &sink).await;
    let tls = with_tls(url.as_str());
    let text = eventually("every metric is exposed", async || {
        let text = metrics(&server).await + &only_of_tls(&metrics(&tls.0).await);
        let exposed = exposed(&text);
        documented
            .keys()
            .all(|it| exposed.contains_key(it))
            .then_some(text)
    })
    .await;
    assert_eq!(exposed(&text), documented);
    // Each metric has a help text in the exposition.
    for name in documented.keys() {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn dashboard_and_alerts_use_the_metrics_of_the_table() {
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
    assert_eq!(
        seen, known,
        "the dashboard shows every metric of the table, and no other"
    );
    for text in [ALERTS, ALERT_TESTS] {
        let named = named(text, &documented);
        assert!(
            named.len() > 3 && named.is_subset(&known),
            "{:?}",
            &named - &known
        );
    }
}
