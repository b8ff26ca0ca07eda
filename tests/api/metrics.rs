//! Metrics: servers expose exactly the declared ones, `docs/metrics.md` lists them, and dashboards and alerts use no
//! others.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use lmn_partner_api::telemetry::declarations::{ALL, Declaration, Kind, Label};
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    database::TestDatabase,
    process::Process,
    store::Store,
    support::{
        Partner, Sink, Vehicle, eventually, key, lock_vehicles, settings, wait_for_blocked_session,
    },
};

const DASHBOARD: &str = include_str!("../../docs/grafana/lmn-partner-api.json");
const ALERTS: &str = include_str!("../../docs/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../docs/alerts.test.yaml");

/// A metric of an exposition.
#[derive(Debug, Default)]
struct Exposed {
    kind: String,
    help: String,
    /// The values of each label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the metrics of an exposition, by name.
fn exposed(text: &str) -> BTreeMap<String, Exposed> {
    let mut metrics: BTreeMap<String, Exposed> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            metrics.entry(name.to_owned()).or_default().kind = kind.to_owned();
        }
        if let Some(declared) = line.strip_prefix("# HELP ") {
            let (name, help) = declared.split_once(' ').unwrap();
            metrics.entry(name.to_owned()).or_default().help = help.to_owned();
        }
    }
    let series = Regex::new(r"^(\w+?)(_bucket|_sum|_count)?(?:\{(.*)\})? \S+$").unwrap();
    let label = Regex::new(r#"(\w+)="((?:[^"\\]|\\.)*)""#).unwrap();
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
        let metric = metrics.get_mut(name).unwrap_or_else(|| panic!("{line}"));
        let labels = found.get(3).map_or("", |it| it.as_str());
        for label in label.captures_iter(labels).filter(|it| &it[1] != "le") {
            let values = metric.labels.entry(label[1].to_owned()).or_default();
            values.insert(label[2].to_owned());
        }
    }
    metrics
}

/// Returns the name of a kind in an exposition.
fn kind(metric: &Declaration) -> &'static str {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// Asserts that a metric is exposed as it is declared.
fn assert_declared(exposed: &Exposed, metric: &Declaration) {
    let Declaration {
        name, labels, help, ..
    } = metric;
    assert_eq!(exposed.kind, kind(metric), "{name}");
    assert_eq!(exposed.help, *help, "{name}");
    let declared: BTreeSet<_> = labels.iter().map(|it| it.name).collect();
    let names: BTreeSet<_> = exposed.labels.keys().map(String::as_str).collect();
    assert_eq!(names, declared, "{name}");
    for label in labels.iter().filter(|it| !it.values.is_empty()) {
        for value in &exposed.labels[label.name] {
            let is_declared = label.values.contains(&value.as_str());
            assert!(is_declared, "{name}: `{value}` of `{}`", label.name);
        }
    }
}

/// Returns the table of `docs/metrics.md`.
fn table() -> String {
    let mut table = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    for metric in ALL {
        let Declaration {
            name, labels, help, ..
        } = metric;
        let labels: Vec<_> = labels.iter().map(label_cell).collect();
        let (kind, labels) = (kind(metric), labels.join(";"));
        table += &format!("| `{name}` | {kind} |{labels} | {help} |\n");
    }
    table
}

/// Returns a label with its declared values, as in the table.
fn label_cell(label: &Label) -> String {
    let values: Vec<_> = label.values.iter().map(|it| format!("`{it}`")).collect();
    match values.is_empty() {
        true => format!(" `{}`", label.name),
        false => format!(" `{}`: {}", label.name, values.join(", ")),
    }
}

/// Returns the names in a text that could be metrics of this service, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<&str> {
    let is_histogram = |name: &str| {
        let metric = ALL.iter().find(|it| it.name == name);
        metric.is_some_and(|it| matches!(it.kind, Kind::Histogram(_)))
    };
    let name = Regex::new(r"\blmn_\w+").unwrap();
    let names = name.find_iter(text).map(|it| it.as_str());
    names
        .map(|name| {
            let suffixes = ["_bucket", "_sum", "_count"];
            let stem = suffixes.iter().find_map(|it| name.strip_suffix(it));
            stem.filter(|it| is_histogram(it)).unwrap_or(name)
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
    acme.test_endpoint().await;
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
    let holder = lock_vehicles(&database.pool).await;
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
    let settings = [
        ("SERVER__TLS__CERTIFICATE_FILE", certificate.as_str()),
        ("SERVER__TLS__PRIVATE_KEY_FILE", key.as_str()),
        settings::LOG_OFF,
    ];
    let server = Process::on(database, &["serve", "--no-worker", "--json"], &settings);
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
async fn server_exposes_exactly_the_declared_metrics() {
    assert!(ALL.len() > 30);
    let database = TestDatabase::new().await;
    let sink = Sink::start().await;
    let (url, store) = (database.url(), Store::start());
    let shared = store.url();
    let settings = [
        settings::LIST_VEHICLES_DEPRECATED[0],
        settings::LIST_VEHICLES_DEPRECATED[1],
        settings::LIST_VEHICLES_DEPRECATED[2],
        settings::shared_store(&shared),
        settings::partner_writes_max(1),
        settings::key_use_seconds(1),
        settings::LOCAL_ENDPOINTS,
        settings::backlog_seconds(1),
        settings::collector("http://127.0.0.1:1"),
        settings::export_milliseconds(20),
        settings::LOG_OFF,
    ];
    let server = Process::on(&url, &["serve", "--json"], &settings);
    keep_busy(&server, &database, &sink).await;
    let tls = with_tls(url.as_str());
    let mut exposed = eventually("every metric is exposed", async || {
        let text = metrics(&server).await + &only_of_tls(&metrics(&tls.0).await);
        let exposed = exposed(&text);
        ALL.iter()
            .all(|it| exposed.contains_key(it.name))
            .then_some(exposed)
    })
    .await;
    for metric in ALL {
        assert_declared(&exposed.remove(metric.name).unwrap(), metric);
    }
    assert!(exposed.is_empty(), "not declared: {exposed:?}");
}

#[test]
fn docs_metrics_md_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let start = page.find("| Metric |").unwrap();
    let rows = page[start..]
        .split_inclusive('\n')
        .take_while(|it| it.starts_with('|'));
    let end = start + rows.map(str::len).sum::<usize>();
    let expected = page[..start].to_owned() + &table() + &page[end..];
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    let hint = "regenerate it: UPDATE_DOCS=1 cargo test --test api docs_metrics_md";
    assert_eq!(page, expected, "{hint}");
}

#[test]
fn dashboard_and_alerts_use_the_declared_metrics() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut seen = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = named(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{panel}");
            seen.extend(names);
        }
    }
    let declared: BTreeSet<_> = ALL.iter().map(|it| it.name).collect();
    assert_eq!(
        seen, declared,
        "the dashboard shows every declared metric, and no other"
    );
    for text in [ALERTS, ALERT_TESTS] {
        let named = named(text);
        assert!(
            named.len() > 3 && named.is_subset(&declared),
            "{:?}",
            &named - &declared
        );
    }
}
