//! The binary: help, settings, migrations, `lmn dev` on an empty folder and after a kill. The tests of the operator's
//! commands are in `cli/`.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests fail loudly, spawn freely and share their support"
)]

#[path = "cli/catalog.rs"]
mod catalog;
#[path = "cli/command.rs"]
mod command;
#[path = "support/database.rs"]
mod database;
#[path = "cli/field.rs"]
mod field;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/operator.rs"]
mod operator;
#[path = "cli/operators.rs"]
mod operators;
#[path = "cli/orders.rs"]
mod orders;
#[path = "support/process.rs"]
mod process;
#[path = "cli/requests.rs"]
mod requests;
#[path = "cli/snapshot.rs"]
mod snapshot;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/webhooks.rs"]
mod webhooks;

use std::path::Path;

use database::TestDatabase;
use lmn_partner_api::config::Settings;
use process::{Process, lmn, run, words};
use serde_json::{Value, json};

#[test]
fn usage_is_printed_and_invalid_usage_exits_with_2() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for command in [
        "dev",
        "serve",
        "migrate",
        "config",
        "partner",
        "key",
        "allowlist",
        "operator",
        "catalog",
        "order",
        "audit",
        "healthcheck",
        "openapi",
        "errors",
        "auction",
        "report",
        "worker",
        "completions",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
    }
    assert!(!text.contains("dev-db"), "hidden commands are not listed");
    for wrong in [
        ["--nonsense"].as_slice(),
        &["nonsense"],
        &["serve", "x"],
        &["dev", "--port", "65536"],
        &["key", "issue", "acme", "--expires-in", "5w"],
        &["key", "rotate", "lmn_stg_AAAA", "--overlap", "0s"],
        &["partner", "limits", "acme", "--policy", "read"],
        &["partner", "limits", "acme", "--policy", "both", "--default"],
        &["audit", "--since", "2026-04-20T13:00:00Z"],
        &["audit", "--limit", "0"],
        &["operator", "add", "mina", "--role", "root"],
        &["catalog", "import", "-", "--withdraw-up-to", "20"],
        &[
            "catalog",
            "import",
            "-",
            "--snapshot",
            "sk",
            "--withdraw-up-to",
            "101",
        ],
    ] {
        assert_eq!(run(wrong, &[]).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn error_catalogue_is_printed_as_text_markdown_and_json() {
    let text = |arguments: &[&str]| {
        let output = run(arguments, &[]);
        assert!(output.status.success(), "{}", words(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = text(&["errors", "--markdown"]);
    assert_eq!(page, include_str!("../docs/errors.md"));
    let list: Value = serde_json::from_str(&text(&["errors", "--json"])).unwrap();
    let rows = list["data"].as_array().unwrap();
    let table = text(&["errors"]);
    assert_eq!(table.lines().count(), rows.len());
    for (line, row) in table.lines().zip(rows) {
        assert_eq!(line.split_whitespace().next(), row["code"].as_str());
    }
    let both = run(&["errors", "--json", "--markdown"], &[]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn invalid_settings_prevent_the_start_with_all_errors_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lmn.toml");
    std::fs::write(
        &file,
        "environment = \"staging\"\n[gate]\nspelling_mistake = 1\n[rate_limit.read]\nburst = 0\n",
    )
    .unwrap();
    let variables = [
        ("LMN_SERVER__LISTEN", "nowhere"),
        ("LMN_OPERATOR__LISTEN", "localhost"),
        ("LMN_OPERATOR__CONNECTIONS_MAX", "0"),
        ("LMN_DATABASE__LOCK_SECONDS", "9"),
        ("LMN_SERVER__DEADLINE_SECOND", "3"),
        ("LMN_LOG__FILTER", "a=b=c"),
        ("LMN_GATE__TRUSTED_PROXIES", "10.0.0.0/8,everyone"),
        ("DATABASE_URL", "mysql://localhost"),
    ];
    let output = run(&["serve", "--config", file.to_str().unwrap()], &variables);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    for key in [
        "environment",
        "gate.spelling_mistake",
        "rate_limit.read.burst",
        "server.listen",
        "operator.listen",
        "operator.connections_max",
        "server.deadline_second",
        "log.filter",
        "gate.trusted_proxies",
    ] {
        assert!(
            words.contains(&format!("\n  {key}: ")),
            "{key} is missing in {words}"
        );
    }
    for name in [
        "LMN_SERVER__LISTEN",
        "LMN_SERVER__DEADLINE_SECOND",
        "LMN_LOG__FILTER",
        "DATABASE_URL",
    ] {
        assert!(
            words.contains(&format!("(set by {name})")),
            "{name} in {words}"
        );
    }
    // Relations between settings are checked once each setting is valid by itself.
    let variables = [
        ("LMN_DATABASE__LOCK_SECONDS", "8"),
        ("LMN_DATABASE__STATEMENT_SECONDS", "10"),
        ("LMN_SERVER__LISTEN", "127.0.0.1:8080"),
        ("LMN_OPERATOR__LISTEN", "127.0.0.1:8080"),
        ("LMN_OPERATOR__DATABASE_SILENCE_MILLISECONDS", "499"),
    ];
    let words = crate::words(&run(&["migrate"], &variables));
    for key in [
        "database.url",
        "database.lock_seconds",
        "database.statement_seconds",
        "operator.listen",
        "operator.database_silence_milliseconds",
    ] {
        // 8 < 10 holds, so `database.lock_seconds` is valid.
        assert_eq!(
            words.contains(&format!("\n  {key}: ")),
            key != "database.lock_seconds",
            "{key} in {words}"
        );
    }
}

#[test]
fn openapi_document_is_printed_without_a_database() {
    let variables = [
        ("LMN_PUBLIC_URL", "https://api.example.com/"),
        (
            "LMN_DEPRECATIONS__GET_FACETS__DEPRECATED_AT",
            "2027-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__GET_FACETS__SUNSET_AT",
            "2028-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__GET_FACETS__LINK",
            "https://api.example.com/docs",
        ),
    ];
    let printed = run(&["openapi"], &variables);
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut all = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    all.push(("DATABASE_URL".to_owned(), "postgres://nowhere".to_owned()));
    let settings = Settings::read(None, &all).unwrap();
    assert_eq!(document, lmn_partner_api::router::document(&settings));
    assert_eq!(
        document["paths"]["/v1/vehicles/facets"]["get"]["deprecated"],
        true
    );
    let wrong = run(&["openapi"], &[("LMN_PUBLIC_URL", "nowhere")]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        words(&wrong).contains("\n  public_url: "),
        "{}",
        words(&wrong)
    );
}

#[test]
fn deprecation_is_refused_if_its_operation_is_unknown_or_its_times_are_wrong() {
    let url = ("DATABASE_URL", "postgres://localhost/lmn");
    let known = [
        (
            "LMN_DEPRECATIONS__LIST_VEHICLES__DEPRECATED_AT",
            "2027-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__LIST_VEHICLES__SUNSET_AT",
            "2026-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__LIST_VEHICLES__LINK",
            "https://lmn.example/docs",
        ),
    ];
    let unknown = [
        ("LMN_ENVIRONMENT", "production"),
        // Only a sandbox has this operation.
        (
            "LMN_DEPRECATIONS__GET_CLOCK__DEPRECATED_AT",
            "2027-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__GET_CLOCK__SUNSET_AT",
            "2028-01-01T00:00:00Z",
        ),
        (
            "LMN_DEPRECATIONS__GET_CLOCK__LINK",
            "https://lmn.example/docs",
        ),
    ];
    for (variables, complaint) in [
        (
            known.as_slice(),
            "deprecations.list_vehicles.sunset_at: must not be before deprecated_at \
             (set by LMN_DEPRECATIONS__LIST_VEHICLES__SUNSET_AT)",
        ),
        (
            &unknown,
            "deprecations.get_clock: is not an operation in a production deployment",
        ),
    ] {
        let variables = [[url].as_slice(), variables].concat();
        for arguments in [
            ["config", "check"].as_slice(),
            &["config", "check", "--json"],
            &["serve"],
            &["openapi"],
        ] {
            let refused = run(arguments, &variables);
            let printed = format!(
                "{}{}",
                String::from_utf8_lossy(&refused.stdout),
                words(&refused)
            );
            assert_eq!(refused.status.code(), Some(1), "{printed}");
            assert!(printed.contains(complaint), "{complaint} in {printed}");
        }
    }
    let sandbox = [[url].as_slice(), &unknown[1..]].concat();
    assert!(run(&["config", "check"], &sandbox).status.success());
}

#[tokio::test]
async fn serve_refuses_a_database_that_does_not_fit() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let production = ("LMN_ENVIRONMENT", "production");
    let refused = run(&["serve"], &[("DATABASE_URL", &url), production]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words(&refused).contains("the database is a sandbox one"),
        "{}",
        words(&refused)
    );

    let database = TestDatabase::empty().await;
    let url = database.url();
    let sandbox = |arguments: &[&str]| run(arguments, &[("DATABASE_URL", &url)]);
    let production = |arguments: &[&str]| run(arguments, &[("DATABASE_URL", &url), production]);
    let refused = sandbox(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words(&refused).contains("run `lmn migrate`"),
        "{}",
        words(&refused)
    );

    let migrated = production(&["migrate", "--json"]);
    let printed: Value =
        serde_json::from_slice(&migrated.stdout).unwrap_or_else(|_| panic!("{}", words(&migrated)));
    assert_eq!(printed["environment"], "production");
    assert!(
        production(&["migrate"]).status.success(),
        "migrating again changes nothing"
    );
    assert!(
        !sandbox(&["migrate"]).status.success(),
        "a database keeps its environment"
    );
}

/// Runs `lmn dev` in a folder, without the settings of the tests.
fn dev(folder: &Path) -> Process {
    let folder = folder.to_str().unwrap();
    let arguments = ["dev", "--json", "--port", "0", "--data-dir", folder];
    let mut command = lmn(&arguments, &[]);
    command
        .args(["--vehicles", "50"])
        .env_remove("LMN_SERVER__LISTEN")
        .env_remove("LMN_OPERATOR__LISTEN");
    Process::run(command)
}

/// Calls the sandbox that a process serves.
async fn call(sandbox: &Process, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
    let key = sandbox.ready["api_key"].as_str().unwrap();
    let request = reqwest::Client::new()
        .request(method, format!("{}{path}", sandbox.url()))
        .header("x-api-key", key)
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(body.to_string());
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}

/// Checks that the facets have the values of the demo catalogue.
async fn check_facets(sandbox: &Process) {
    let path = "/v1/vehicles/facets";
    let (status, facets) = call(sandbox, reqwest::Method::GET, path, Value::Null).await;
    assert_eq!(status, 200);
    let count = |name: &str| facets[name].as_array().unwrap().len();
    assert!(count("makes") > 2 && count("sources") > 2, "{facets}");
}

/// Checks the line that `lmn dev` prints once it is ready.
fn check_ready(ready: &Value, folder: &std::path::Path) {
    let members: Vec<_> = ready.as_object().unwrap().keys().collect();
    let expected = [
        "api_key",
        "console_url",
        "database_url",
        "docs_url",
        "operator_token",
        "partner_id",
        "url",
    ];
    assert_eq!(members, expected);
    let stored = std::fs::read_to_string(folder.join("api_key")).unwrap();
    assert_eq!(stored.trim(), ready["api_key"]);
}

/// Orders each lot of the catalogue that can be ordered; returns one of the orders.
async fn order_lots(sandbox: &Process) -> Value {
    let lots = "/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&sort=price_asc";
    let (status, page) = call(sandbox, reqwest::Method::GET, lots, Value::Null).await;
    assert_eq!(status, 200);
    let lots = page["data"].as_array().unwrap();
    assert!(lots.len() >= 20, "{} lots", lots.len());
    assert!(lots.iter().all(|lot| lot["buy_now"] == false));
    let mut placed = None;
    for lot in lots {
        let body =
            json!({"vehicle_id": lot["id"], "max_bid_amount_usd": lot["pricing"]["listing_usd"]});
        let (status, order) = call(sandbox, reqwest::Method::POST, "/v1/orders", body).await;
        if status == 201 {
            placed = Some(order);
            continue;
        }
        let refusals = [json!("past_order_cutoff"), json!("duplicate_order")];
        let is_expected = status == 409 && refusals.contains(&order["error"]["code"]);
        assert!(is_expected, "{order}");
    }
    placed.expect("some lot can be ordered")
}

/// Returns the orders of the demo partner.
async fn orders(sandbox: &Process) -> Vec<Value> {
    let path = "/v1/orders?limit=200";
    let (_, page) = call(sandbox, reqwest::Method::GET, path, Value::Null).await;
    page["data"].as_array().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_sandbox_takes_an_order_and_keeps_it_through_a_kill() {
    let folder = tempfile::Builder::new()
        .prefix("lmn-dev")
        .tempdir_in("/tmp")
        .unwrap();
    // The sandbox must not need the default port of the operator's listener, so the port is occupied here, if it is
    // not already.
    let _taken = std::net::TcpListener::bind("127.0.0.1:9090");
    let first = dev(folder.path());
    check_ready(&first.ready, folder.path());
    check_facets(&first).await;
    let placed = order_lots(&first).await;
    let before = orders(&first).await;
    for status in [
        "proceed",
        "acquiring",
        "secured",
        "shipping",
        "delivered",
        "cancelled",
        "failed",
    ] {
        assert!(before.iter().any(|it| it["status"] == status), "{status}");
    }
    let console = first.ready["console_url"].as_str().unwrap();
    let page = reqwest::get(format!("{console}/")).await.unwrap();
    let shown = (page.status().as_u16(), page.url().path());
    assert_eq!(shown, (200, "/sign-in"));
    let ready = first.ready.clone();
    tokio::task::spawn_blocking(|| first.kill()).await.unwrap();

    let second = dev(folder.path());
    for kept in ["api_key", "partner_id", "database_url", "operator_token"] {
        assert_eq!(second.ready[kept], ready[kept], "{kept}");
    }
    assert_eq!(orders(&second).await.len(), before.len());
    // Without DATABASE_URL, commands use the sandbox of the folder.
    let folder = folder.path().to_str().unwrap();
    let partners = run(&["partner", "list", "--json", "--data-dir", folder], &[]);
    let partner: Value = serde_json::from_slice(&partners.stdout).unwrap();
    assert_eq!(partner["id"], ready["partner_id"]);
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(
        call(&second, reqwest::Method::GET, &path, Value::Null).await,
        (200, placed)
    );
    let stopped = tokio::task::spawn_blocking(|| second.stop()).await.unwrap();
    assert!(stopped.status.success());
}
