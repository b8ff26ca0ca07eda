//! Partners, their keys, networks and limits; orders and the audit log.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    desk::{Desk, call, eventually_answers},
    process::{run, words},
};

/// The text of a member.
fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {document}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_a_production_server_on_an_empty_database() {
    let desk = Desk::new().await;
    desk.sql("drop schema public cascade; create schema public")
        .await;
    let pending = desk.refused(&["partner", "list"]);
    assert!(pending.contains("run `lmn migrate`"), "{pending}");
    let url = desk.database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_ENVIRONMENT", "production"),
    ];
    assert!(run(&["migrate"], &variables).status.success());

    // Nothing says that it is production but the database itself.
    let acme = desk.one(&["partner", "add", "Acme Motors"]);
    let issued = desk.one(&["key", "issue", "Acme Motors", "--expires-in", "30d"]);
    let key = text(&issued, "api_key");
    assert!(key.starts_with("lmn_prd_"), "{key}");
    desk.one(&["allowlist", "add", text(&acme, "id"), "127.0.0.1"]);
    let demo = run(&["catalog", "demo", "--vehicles", "50", "--seed", "3"], &[]);
    let cars = String::from_utf8(demo.stdout).unwrap();
    let imported = desk.run_with(&["catalog", "import", "-", "--json"], &cars);
    assert!(imported.status.success(), "{}", words(&imported));

    let server = desk.serve("production");
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

    desk.sql("update orders set external_user_id = 'desk 7'")
        .await;
    let shown = desk.one(&["order", "show", text(&order, "id")]);
    for name in order.as_object().unwrap().keys() {
        assert_eq!(shown[name], order[name], "{name}");
    }
    assert_eq!(shown["partner"], "Acme Motors");
    assert_eq!(shown["partner_id"], acme["id"]);
    assert_eq!(shown["external_user_id"], "desk 7");
    assert_eq!(shown["history"][0]["status"], "proceed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_works_during_the_overlap_and_ends_after() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    let old = desk.one(&["key", "issue", "Acme"]);
    let server = desk.serve("sandbox");
    let new = desk.one(&["key", "rotate", text(&old, "prefix"), "--overlap", "24h"]);
    assert_eq!(new["rotated"]["prefix"], old["prefix"]);
    assert_ne!(new["rotated"]["expires_at"], Value::Null);
    for key in [&old, &new] {
        assert_eq!(
            call(&server, text(key, "api_key"), "/v1/orders").await.0,
            200
        );
    }
    // The overlap passes.
    desk.sql("update api_keys set expires_at = expires_at - interval '24 hours'")
        .await;
    let refused = eventually_answers(&server, text(&old, "api_key"), 401).await;
    assert_eq!(refused["error"]["details"]["reason"], "expired");
    assert_eq!(
        call(&server, text(&new, "api_key"), "/v1/orders").await.0,
        200
    );
    let said = desk.refused(&["key", "rotate", text(&old, "prefix")]);
    assert!(said.contains("is expired"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_ends_before_the_overlap_keeps_its_end() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    let old = desk.one(&["key", "issue", "Acme", "--expires-in", "1h"]);
    let rotated = desk.one(&["key", "rotate", text(&old, "prefix"), "--overlap", "24h"]);
    assert_eq!(rotated["rotated"]["expires_at"], old["expires_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    let issued = desk.one(&["key", "issue", "Acme"]);
    let (key, prefix) = (text(&issued, "api_key"), text(&issued, "prefix"));
    let server = desk.serve("sandbox");
    assert_eq!(call(&server, key, "/v1/orders").await.0, 200);
    assert_eq!(desk.one(&["key", "revoke", prefix])["state"], "revoked");
    let refused = eventually_answers(&server, key, 401).await;
    assert_eq!(refused["error"]["details"]["reason"], "revoked");
    for (again, said) in [
        ("revoke", "is revoked already"),
        ("rotate", "is revoked and cannot be rotated"),
    ] {
        let words = desk.refused(&["key", again, prefix]);
        assert!(words.contains(said), "{words}");
    }
    let unknown = desk.refused(&["key", "revoke", key]);
    assert!(
        unknown.contains(prefix) && !unknown.contains(key),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seventeenth_network_is_refused_also_when_two_add_at_once() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    for n in 1..=15 {
        let insert =
            format!("insert into allowed_networks select id, '10.0.0.{n}', now() from partners");
        desk.sql(&insert).await;
    }
    let mut holder = desk.database.pool.acquire().await.unwrap();
    sqlx::raw_sql("begin; select id from partners for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let adding = ["10.0.1.0/24", "10.0.2.0/24"]
        .map(|network| desk.begin(&["allowlist", "add", "Acme", network]));
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    let started = Instant::now();
    while desk.ask::<i64>(waiting).await < 2 {
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "both wait for the partner"
        );
    }
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
    assert_eq!(desk.all(&["allowlist", "list", "Acme"]).len(), 16);
    let full = desk.refused(&["allowlist", "add", "Acme", "2001:db8::/32"]);
    assert!(full.contains("16 entries"), "{full}");
    desk.one(&["allowlist", "remove", "Acme", "10.0.0.1"]);
    desk.one(&["allowlist", "add", "Acme", "2001:db8::/32"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_added_once_and_removed_once() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    let added = desk.one(&["allowlist", "add", "Acme", "::ffff:203.0.113.7"]);
    assert_eq!(added["network"], "203.0.113.7/32");
    for (change, network, said) in [
        ("add", "203.0.113.7", "is on the allowlist already"),
        ("add", "203.0.113.7/24", "the network is 203.0.113.0/24"),
        ("add", "everywhere", "neither an address nor a network"),
        ("remove", "203.0.113.8", "is not on the allowlist"),
    ] {
        let words = desk.refused(&["allowlist", change, "Acme", network]);
        assert!(words.contains(said), "{words}");
    }
    desk.one(&["allowlist", "remove", "Acme", "203.0.113.7/32"]);
    assert!(desk.all(&["allowlist", "list", "Acme"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_found_by_its_id_or_name_and_has_limits_of_its_own() {
    let desk = Desk::new().await;
    let acme = desk.one(&["partner", "add", "Acme"]);
    desk.one(&["partner", "add", "Borealis"]);
    let names: Vec<_> = desk
        .all(&["partner", "list"])
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["Acme", "Borealis"]);
    let id = text(&acme, "id");
    assert_eq!(
        desk.one(&["partner", "show", id]),
        desk.one(&["partner", "show", "Acme"])
    );
    let set = ["--limit", "10", "--window", "60", "--burst", "5"];
    desk.one(
        &[
            ["partner", "limits", "Acme", "--policy", "write"].as_slice(),
            &set,
        ]
        .concat(),
    );
    let expected = json!({"read": null, "write": {"limit": 10, "window_seconds": 60, "burst": 5}});
    assert_eq!(desk.one(&["partner", "show", "Acme"])["limits"], expected);
    desk.one(&["partner", "limits", id, "--policy", "write", "--default"]);
    let expected = json!({"read": null, "write": null});
    assert_eq!(desk.one(&["partner", "show", "Acme"])["limits"], expected);
    let set = ["--limit", "1", "--window", "86400", "--burst", "2"];
    let slow = desk.refused(
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
        let words = desk.refused(&["partner", "add", name]);
        assert!(words.contains(said), "{words}");
    }
    let nobody = desk.refused(&["key", "issue", "Nobody"]);
    assert!(
        nobody.contains("no partner with the id or name `Nobody`"),
        "{nobody}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    // Without --json the key alone is data.
    let issued = desk.run_with(&["key", "issue", "Acme"], "");
    let first = String::from_utf8(issued.stdout.clone())
        .unwrap()
        .trim()
        .to_owned();
    assert_eq!(first.len(), 36);
    assert!(!words(&issued).contains(&first));
    let rotated = desk.one(&["key", "rotate", &first[..12]]);
    let second = text(&rotated, "api_key").to_owned();
    let mut shown = String::new();
    for command in [
        ["partner", "show", "Acme"].as_slice(),
        &["key", "list", "Acme"],
        &["audit"],
    ] {
        for json in [[].as_slice(), &["--json"]] {
            let output = desk.run_with(&[command, json].concat(), "");
            shown += &String::from_utf8_lossy(&output.stdout);
            shown += &words(&output);
        }
    }
    shown += &desk
        .ask::<String>("select database_to_xml(true, false, '')::text")
        .await;
    assert!(shown.contains(&first[..12]), "the prefixes are there");
    for secret in [first, second] {
        assert!(!shown.contains(&secret[12..]), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_leaves_a_row_in_the_audit_log() {
    let desk = Desk::new().await;
    desk.one(&["partner", "add", "Acme"]);
    desk.one(&["partner", "add", "Borealis"]);
    let issued = desk.one(&["key", "issue", "Acme"]);
    let rotated = desk.one(&["key", "rotate", text(&issued, "prefix")]);
    desk.one(&["key", "revoke", text(&rotated, "prefix")]);
    desk.one(&["allowlist", "add", "Acme", "203.0.113.7"]);
    desk.one(&["allowlist", "remove", "Acme", "203.0.113.7"]);
    let set = ["--limit", "10", "--window", "60", "--burst", "5"];
    desk.one(
        &[
            ["partner", "limits", "Acme", "--policy", "read"].as_slice(),
            &set,
        ]
        .concat(),
    );
    desk.one(&["partner", "limits", "Acme", "--policy", "read", "--default"]);
    // What is refused or changes nothing leaves none.
    desk.refused(&["key", "revoke", text(&rotated, "prefix")]);
    desk.all(&["key", "list", "Acme"]);

    let rows = desk.all(&["audit", "--partner", "Acme", "--since", "1h"]);
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
        assert!(requests.insert(request), "each run is a request of its own");
    }

    assert_eq!(desk.all(&["audit"]).len(), 9);
    let last = desk.run_with(&["audit", "--limit", "2", "--json"], "");
    assert!(words(&last).contains("older changes"), "{}", words(&last));
    assert_eq!(crate::desk::documents(&last), rows[6..]);
    desk.sql("update audit_entries set recorded_at = recorded_at - interval '2 days' where action = 'partner.added'").await;
    assert_eq!(desk.all(&["audit", "--since", "24h"]).len(), 7);
    assert_eq!(
        desk.all(&["audit", "--since", "2026-01-01T00:00:00+09:00"])
            .len(),
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_there_is_refused() {
    let desk = Desk::new().await;
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let words = desk.refused(&["order", "show", id]);
    let expected = format!("there is no order `{id}`");
    assert!(words.contains(&expected), "{words}");
    let nonsense = desk.run_with(&["order", "show", "nonsense"], "");
    assert_eq!(nonsense.status.code(), Some(2));
}

#[test]
fn without_a_database_one_line_says_what_is_missing() {
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
        "nothing is made"
    );
}

#[test]
fn the_settings_are_checked_without_telling_a_secret() {
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
        let said = format!("{document}{}", words(&checked));
        assert!(!said.contains("hunter2"), "{said}");
    }
}
