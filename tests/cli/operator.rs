//! Commands for partners, their keys, networks and limits, for orders and for the audit log.

use std::{collections::BTreeSet, net::TcpListener};

use serde_json::{Value, json};

use crate::{
    command::{Cli, WRITES, call, eventually_answers},
    database::TestDatabase,
    process::{run, words},
};

/// Returns the text of a member.
fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {document}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_sets_up_a_production_server_on_an_empty_database() {
    let cli = Cli::without_schema().await;
    let pending = cli.refused(&["partner", "list"]);
    assert!(pending.contains("run `lmn migrate`"), "{pending}");
    let url = cli.database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_ENVIRONMENT", "production"),
    ];
    assert!(run(&["migrate"], &variables).status.success());

    // The commands learn from the database alone that it is a production one.
    let acme = cli.one(&["partner", "add", "Acme Motors"]);
    let issued = cli.one(&["key", "issue", "Acme Motors", "--expires-in", "30d"]);
    let key = text(&issued, "api_key");
    assert!(key.starts_with("lmn_prd_"), "{key}");
    cli.one(&["allowlist", "add", text(&acme, "id"), "127.0.0.1"]);
    let demo = run(&["catalog", "demo", "--vehicles", "50", "--seed", "3"], &[]);
    let vehicles = String::from_utf8(demo.stdout).unwrap();
    let imported = cli.run_with(&["catalog", "import", "-", "--json"], &vehicles);
    assert!(imported.status.success(), "{}", words(&imported));

    let server = cli.serve("production");
    let (status, page) = call(
        &server,
        key,
        "/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming",
    )
    .await;
    assert_eq!((status, page["data"].as_array().unwrap().len()), (200, 35));
    let last = page["data"].as_array().unwrap().last().unwrap();
    let body =
        json!({"vehicle_id": last["id"], "max_bid_amount_usd": last["pricing"]["listing_usd"]});
    let ordered = reqwest::Client::new()
        .post(format!("{}/v1/orders", server.url()))
        .header("x-api-key", key)
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(body.to_string());
    let ordered = ordered.send().await.unwrap();
    assert_eq!(ordered.status().as_u16(), 201);
    let order: Value = serde_json::from_slice(&ordered.bytes().await.unwrap()).unwrap();

    cli.sql("update orders set external_user_id = 'desk 7'")
        .await;
    let shown = cli.one(&["order", "show", text(&order, "id")]);
    for name in order.as_object().unwrap().keys() {
        assert_eq!(shown[name], order[name], "{name}");
    }
    assert_eq!(shown["partner"], "Acme Motors");
    assert_eq!(shown["partner_id"], acme["id"]);
    assert_eq!(shown["external_user_id"], "desk 7");
    assert_eq!(shown["history"][0]["status"], "proceed");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_key_works_during_the_overlap_and_ends_after_it() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    let old = cli.one(&["key", "issue", "Acme"]);
    let server = cli.serve("sandbox");
    let new = cli.one(&["key", "rotate", text(&old, "prefix"), "--overlap", "24h"]);
    assert_eq!(new["rotated"]["prefix"], old["prefix"]);
    assert_ne!(new["rotated"]["expires_at"], Value::Null);
    let again = cli.refused(&["key", "rotate", text(&old, "prefix")]);
    assert!(again.contains("was rotated already"), "{again}");
    for key in [&old, &new] {
        assert_eq!(
            call(&server, text(key, "api_key"), "/v1/orders").await.0,
            200
        );
    }
    let again = cli.refused(&["key", "rotate", text(&old, "prefix")]);
    let expected = format!(
        "`{}` was rotated already, to `{}`",
        text(&old, "prefix"),
        text(&new, "prefix")
    );
    assert!(again.contains(&expected), "{again}");
    assert_eq!(cli.all(&["key", "list", "Acme"]).len(), 2);
    // The overlap ends.
    cli.sql("update api_keys set expires_at = expires_at - interval '24 hours'")
        .await;
    let refused = eventually_answers(&server, text(&old, "api_key"), 401).await;
    assert_eq!(refused["error"]["details"]["reason"], "expired");
    assert_eq!(
        call(&server, text(&new, "api_key"), "/v1/orders").await.0,
        200
    );
    let refused = cli.refused(&["key", "rotate", text(&old, "prefix")]);
    assert!(refused.contains("is expired"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_expires_before_the_overlap_keeps_its_expiry() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    let old = cli.one(&["key", "issue", "Acme", "--expires-in", "1h"]);
    let rotated = cli.one(&["key", "rotate", text(&old, "prefix"), "--overlap", "24h"]);
    assert_eq!(rotated["rotated"]["expires_at"], old["expires_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_refused() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    let issued = cli.one(&["key", "issue", "Acme"]);
    let (key, prefix) = (text(&issued, "api_key"), text(&issued, "prefix"));
    let server = cli.serve("sandbox");
    assert_eq!(call(&server, key, "/v1/orders").await.0, 200);
    assert_eq!(cli.one(&["key", "revoke", prefix])["state"], "revoked");
    let refused = eventually_answers(&server, key, 401).await;
    assert_eq!(refused["error"]["details"]["reason"], "revoked");
    for (again, said) in [
        ("revoke", "is revoked already"),
        ("rotate", "is revoked and cannot be rotated"),
    ] {
        let words = cli.refused(&["key", again, prefix]);
        assert!(words.contains(said), "{words}");
    }
    let unknown = cli.refused(&["key", "revoke", key]);
    assert!(
        unknown.contains(prefix) && !unknown.contains(key),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn seventeenth_network_is_refused_even_if_two_are_added_at_once() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    for n in 1..=15 {
        let insert =
            format!("insert into allowed_networks select id, '10.0.0.{n}', now() from partners");
        cli.sql(&insert).await;
    }
    let mut holder = cli.database.pool.acquire().await.unwrap();
    sqlx::raw_sql("begin; select id from partners for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let adding = ["10.0.1.0/24", "10.0.2.0/24"]
        .map(|network| cli.begin(&["allowlist", "add", "Acme", network]));
    cli.wait_for_blocked_sessions(2, &WRITES).await;
    sqlx::raw_sql("commit").execute(&mut *holder).await.unwrap();
    let ended = adding.map(|child| child.wait_with_output().unwrap());
    let mut codes = ended.each_ref().map(|output| output.status.code());
    codes.sort_unstable();
    assert_eq!(
        codes,
        [Some(0), Some(1)],
        "{:?}",
        ended.map(|it| words(&it))
    );
    assert_eq!(cli.all(&["allowlist", "list", "Acme"]).len(), 16);
    let full = cli.refused(&["allowlist", "add", "Acme", "2001:db8::/32"]);
    assert!(full.contains("16 entries"), "{full}");
    cli.one(&["allowlist", "remove", "Acme", "10.0.0.1"]);
    cli.one(&["allowlist", "add", "Acme", "2001:db8::/32"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn network_is_added_once_and_removed_once() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    let added = cli.one(&["allowlist", "add", "Acme", "::ffff:203.0.113.7"]);
    assert_eq!(added["network"], "203.0.113.7/32");
    for (change, network, said) in [
        ("add", "203.0.113.7", "is on the allowlist already"),
        ("add", "203.0.113.7/24", "the network is 203.0.113.0/24"),
        ("add", "everywhere", "neither an address nor a network"),
        ("remove", "203.0.113.8", "is not on the allowlist"),
    ] {
        let words = cli.refused(&["allowlist", change, "Acme", network]);
        assert!(words.contains(said), "{words}");
    }
    cli.one(&["allowlist", "remove", "Acme", "203.0.113.7/32"]);
    assert!(cli.all(&["allowlist", "list", "Acme"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn partner_is_found_by_id_or_name_and_has_limits_of_its_own() {
    let cli = Cli::new().await;
    let acme = cli.one(&["partner", "add", "Acme"]);
    cli.one(&["partner", "add", "Borealis"]);
    let names: Vec<_> = cli
        .all(&["partner", "list"])
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["Acme", "Borealis"]);
    let id = text(&acme, "id");
    assert_eq!(
        cli.one(&["partner", "show", id]),
        cli.one(&["partner", "show", "Acme"])
    );
    let set = ["--limit", "10", "--window", "60", "--burst", "5"];
    cli.one(
        &[
            ["partner", "limits", "Acme", "--policy", "write"].as_slice(),
            &set,
        ]
        .concat(),
    );
    let expected = json!({"read": null, "write": {"limit": 10, "window_seconds": 60, "burst": 5}});
    assert_eq!(cli.one(&["partner", "show", "Acme"])["limits"], expected);
    cli.one(&["partner", "limits", id, "--policy", "write", "--default"]);
    let expected = json!({"read": null, "write": null});
    assert_eq!(cli.one(&["partner", "show", "Acme"])["limits"], expected);
    let set = ["--limit", "1", "--window", "86400", "--burst", "2"];
    let slow = cli.refused(
        &[
            ["partner", "limits", "Acme", "--policy", "read"].as_slice(),
            &set,
        ]
        .concat(),
    );
    assert!(slow.contains("within a day"), "{slow}");
    for (name, said) in [
        ("Acme", "there is a partner called"),
        (id, "not the form of an id"),
        ("", "1 to 128"),
    ] {
        let words = cli.refused(&["partner", "add", name]);
        assert!(words.contains(said), "{words}");
    }
    let unknown = cli.refused(&["key", "issue", "Nobody"]);
    assert!(
        unknown.contains("no partner with the id or name `Nobody`"),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_key_is_shown_once_and_stored_nowhere() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    // Without --json the key alone is printed to standard output.
    let issued = cli.run_with(&["key", "issue", "Acme"], "");
    let first = String::from_utf8(issued.stdout.clone())
        .unwrap()
        .trim()
        .to_owned();
    assert_eq!(first.len(), 36);
    assert!(!words(&issued).contains(&first));
    let rotated = cli.one(&["key", "rotate", &first[..12]]);
    let second = text(&rotated, "api_key").to_owned();
    let mut shown = String::new();
    for command in [
        ["partner", "show", "Acme"].as_slice(),
        &["key", "list", "Acme"],
        &["audit"],
    ] {
        for json in [[].as_slice(), &["--json"]] {
            let output = cli.run_with(&[command, json].concat(), "");
            shown += &String::from_utf8_lossy(&output.stdout);
            shown += &words(&output);
        }
    }
    shown += &cli
        .ask::<String>("select database_to_xml(true, false, '')::text")
        .await;
    assert!(shown.contains(&first[..12]), "the prefixes are shown");
    for secret in [first, second] {
        assert!(!shown.contains(&secret[12..]), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_leave_a_row_each_in_the_audit_log() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "Acme"]);
    cli.one(&["partner", "add", "Borealis"]);
    let issued = cli.one(&["key", "issue", "Acme"]);
    let rotated = cli.one(&["key", "rotate", text(&issued, "prefix")]);
    cli.one(&["key", "revoke", text(&rotated, "prefix")]);
    cli.one(&["allowlist", "add", "Acme", "203.0.113.7"]);
    cli.one(&["allowlist", "remove", "Acme", "203.0.113.7"]);
    let set = ["--limit", "10", "--window", "60", "--burst", "5"];
    cli.one(
        &[
            ["partner", "limits", "Acme", "--policy", "read"].as_slice(),
            &set,
        ]
        .concat(),
    );
    cli.one(&["partner", "limits", "Acme", "--policy", "read", "--default"]);
    // Commands that are refused or change nothing leave no row.
    cli.refused(&["key", "revoke", text(&rotated, "prefix")]);
    cli.all(&["key", "list", "Acme"]);

    let rows = cli.all(&["audit", "--partner", "Acme", "--since", "1h"]);
    let actions: Vec<_> = rows.iter().map(|row| text(row, "action")).collect();
    let expected = [
        "partner.added",
        "key.issued",
        "key.rotated",
        "key.revoked",
        "network.added",
        "network.removed",
        "limits.changed",
        "limits.changed",
    ];
    assert_eq!(actions, expected);
    let subjects = [1, 2, 3, 4].map(|n| text(&rows[n], "subject"));
    let (old, new) = (text(&issued, "prefix"), text(&rotated, "prefix"));
    assert_eq!(subjects, [old, old, new, "203.0.113.7/32"]);
    assert_eq!(rows[2]["details"]["new_prefix"], new);
    assert_eq!(rows[7]["details"]["old"]["limit"], 10);
    assert_eq!(rows[7]["details"]["new"], Value::Null);
    let mut requests = BTreeSet::new();
    for row in &rows {
        assert_eq!(
            (text(row, "actor"), text(row, "partner")),
            ("operator:kim", "Acme")
        );
        let request = text(row, "request_id");
        assert!(
            request.starts_with("req_") && request.len() == 28,
            "{request}"
        );
        assert!(
            requests.insert(request),
            "each run has a request id of its own"
        );
    }

    assert_eq!(cli.all(&["audit"]).len(), 9);
    let last = cli.run_with(&["audit", "--limit", "2", "--json"], "");
    assert!(words(&last).contains("older changes"), "{}", words(&last));
    assert_eq!(crate::command::documents(&last), rows[6..]);
    cli.sql("update audit_entries set recorded_at = recorded_at - interval '2 days' where action = 'partner.added'").await;
    assert_eq!(cli.all(&["audit", "--since", "24h"]).len(), 7);
    assert_eq!(
        cli.all(&["audit", "--since", "2026-01-01T00:00:00+09:00"])
            .len(),
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_order_is_refused() {
    let cli = Cli::new().await;
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let words = cli.refused(&["order", "show", id]);
    let expected = format!("there is no order `{id}`");
    assert!(words.contains(&expected), "{words}");
    let nonsense = cli.run_with(&["order", "show", "nonsense"], "");
    assert_eq!(nonsense.status.code(), Some(2));
}

#[test]
fn missing_database_is_reported_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = ["--data-dir", folder.path().to_str().unwrap()];
    for (environment, said) in [
        ("sandbox", "no sandbox of `lmn dev`"),
        ("production", "is a sandbox"),
    ] {
        let arguments = [["partner", "list"].as_slice(), &data_dir].concat();
        let refused = run(&arguments, &[("LMN_ENVIRONMENT", environment)]);
        let words = words(&refused);
        assert_eq!(
            (refused.status.code(), words.lines().count()),
            (Some(1), 1),
            "{words}"
        );
        assert!(
            words.contains("DATABASE_URL is not set") && words.contains(said),
            "{words}"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "no file is created"
    );
}

/// Runs a command on a database that cannot be used; returns its error.
fn unreachable(arguments: &[&str], url: &str) -> String {
    let patience = ("LMN_DATABASE__ACQUIRE_SECONDS", "1");
    let refused = run(arguments, &[("DATABASE_URL", url), patience]);
    let words = words(&refused);
    assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {words}");
    assert!(!words.contains("hunter2"), "{words}");
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_database_is_named_with_its_cause() {
    // It accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|it| (it, silent)).unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let of = |host: &str| format!("postgres://lmn:hunter2@{host}/lmn");
    for arguments in [
        &["partner", "list"][..],
        &["catalog", "import", "-"],
        &["migrate"],
        &["serve"],
        &["worker"],
    ] {
        let words = unreachable(arguments, &of(&closed.to_string()));
        let expected = format!(
            "lmn: the database at {closed} cannot be reached: the connection was refused; no server listens there\n"
        );
        assert!(words.ends_with(&expected), "{arguments:?}: {words}");
    }
    let list = ["partner", "list"];
    let words = unreachable(&list, &of(&silent.0.to_string()));
    let expected = format!("{} cannot be reached: no answer within 1 s", silent.0);
    assert!(words.contains(&expected), "{words}");
    // No resolver takes a label of 64 characters, so no name server is asked.
    let nowhere = format!("{}.example", "x".repeat(64));
    let words = unreachable(&list, &of(&nowhere));
    let expected = format!("{nowhere}:5432 cannot be reached: failed to lookup address");
    assert!(words.contains(&expected), "{words}");

    let database = TestDatabase::new().await;
    let mut url = database.url();
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str("user=lmn_nobody&password=hunter2");
    let words = unreachable(&list, &url);
    assert!(
        words.contains(" cannot be reached: ") && words.contains("\"lmn_nobody\""),
        "{words}"
    );
}

#[test]
fn settings_are_checked_without_printing_a_secret() {
    let url = ("DATABASE_URL", "postgres://lmn:hunter2@localhost/lmn");
    let right = run(&["config", "check"], &[url]);
    assert!(right.status.success());
    assert!(
        words(&right).contains("The settings are right"),
        "{}",
        words(&right)
    );
    let wrong = [
        ("LMN_SERVER__LISTEN", "nowhere"),
        ("LMN_GATE__MISSPELT", "hunter2"),
        ("DATABASE_URL", "mysql://lmn:hunter2@localhost/lmn"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lmn.toml");
    std::fs::write(
        &file,
        "[database]\nurl = \"postgres://lmn:hunter2@localhost\n",
    )
    .unwrap();
    for (arguments, variables, complaints) in [
        (
            ["config", "check", "--json"].as_slice(),
            [url].as_slice(),
            0,
        ),
        (&["config", "check", "--json"], &wrong, 3),
        (
            &[
                "config",
                "check",
                "--json",
                "--config",
                file.to_str().unwrap(),
            ],
            &[],
            1,
        ),
    ] {
        let checked = run(arguments, variables);
        let document: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(document["valid"], complaints == 0);
        assert_eq!(
            document["complaints"].as_array().unwrap().len(),
            complaints,
            "{document}"
        );
        assert_eq!(checked.status.code(), Some(i32::from(complaints > 0)));
        let printed = format!("{document}{}", words(&checked));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
