//! What operators have met elsewhere, tried on this binary: clusters and shells with variables of their own, hang-ups,
//! deep folders, poolers, databases of another kind. docs/field-reports.md lists the reports.

#[path = "../support/pgbouncer.rs"]
mod pgbouncer;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use lmn_partner_api::database::MIGRATOR;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use url::Url;

use self::pgbouncer::PgBouncer;
use crate::{
    command::Cli,
    database::TestDatabase,
    process::{Process, lmn, run, words},
};

/// The variables of a server on a database.
fn server(url: &str) -> [(&str, &str); 2] {
    [("DATABASE_URL", url), ("LMN_SERVER__LISTEN", "127.0.0.1:0")]
}

/// Returns the status of `GET /healthz` of a process.
async fn health(process: &Process) -> u16 {
    let answer = reqwest::get(format!("{}/healthz", process.operator_url())).await;
    answer.unwrap().status().as_u16()
}

/// Returns the number of applied migrations.
async fn applied(database: &TestDatabase) -> i64 {
    sqlx::query_scalar("select count(*) from _sqlx_migrations")
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

/// Runs a statement on a database.
async fn execute(database: &TestDatabase, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_in_a_cluster_with_a_service_of_its_name() {
    let database = TestDatabase::new().await;
    let url = database.url();
    // Set by Kubernetes in every container, and by a partner's shell.
    let foreign = [
        ("LMN_PORT", "tcp://10.251.15.166:8080"),
        ("LMN_PORT_8080_TCP", "tcp://10.251.15.166:8080"),
        ("LMN_PORT_8080_TCP_ADDR", "10.251.15.166"),
        ("LMN_PORT_8080_TCP_PORT", "8080"),
        ("LMN_PORT_8080_TCP_PROTO", "tcp"),
        ("LMN_SERVICE_HOST", "10.251.15.166"),
        ("LMN_SERVICE_PORT", "8080"),
        ("LMN_SERVICE_PORT_HTTP", "8080"),
        ("LMN_API_KEY", "lmn_stg_AAAA"),
    ];
    let variables = [server(&url).as_slice(), &foreign].concat();
    let serving = Process::start(&["serve", "--json"], &variables);
    assert_eq!(health(&serving).await, 200);
    let output = tokio::task::spawn_blocking(|| serving.stop())
        .await
        .unwrap();
    assert!(!words(&output).contains("warning"), "{}", words(&output));
}

#[test]
fn variable_that_looks_like_a_misspelled_setting_is_reported_and_ignored() {
    let url = ("DATABASE_URL", "postgres://localhost/lmn");
    for (name, meant) in [
        ("LMN_SERVER_LISTEN", "LMN_SERVER__LISTEN"),
        ("LMN_ENVIROMENT", "LMN_ENVIRONMENT"),
    ] {
        let checked = run(&["config", "check"], &[url, (name, "nonsense")]);
        let words = words(&checked);
        assert!(checked.status.success(), "{words}");
        assert!(words.contains(name) && words.contains(meant), "{words}");
        let checked = run(&["config", "check", "--json"], &[url, (name, "nonsense")]);
        let document: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(document["valid"], true);
        assert_eq!(document["warnings"].as_array().unwrap().len(), 1);
    }
    // A name of the form of a setting is one, so a mistake in it prevents the start.
    let wrong = run(&["config", "check"], &[url, ("LMN_SERVER__LISTENS", "x")]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_does_not_end_a_server_or_a_worker_without_tls() {
    let database = TestDatabase::new().await;
    let url = database.url();
    for command in ["serve", "worker"] {
        let process = Process::start(&[command, "--json"], &server(&url));
        let id = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
        for _ in 0..2 {
            kill_process(id, Signal::HUP).unwrap();
            assert_eq!(health(&process).await, 200, "{command}");
        }
        let stopped = tokio::task::spawn_blocking(|| process.stop());
        assert!(stopped.await.unwrap().status.success(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sandbox_runs_in_a_folder_whose_path_is_too_long_for_a_socket() {
    let folder = tempfile::Builder::new()
        .prefix("lmn-dev")
        .tempdir_in("/tmp")
        .unwrap();
    // Reachable by the account of root's server, so that it is not stored elsewhere.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["deep".repeat(35), "a b+c%d#e".to_owned()] {
        let data_dir = folder.path().join(name);
        let sandbox = crate::dev(&data_dir);
        crate::check_facets(&sandbox).await;
        let key = fs::read_to_string(data_dir.join("api_key")).unwrap();
        assert_eq!(key.trim(), sandbox.ready["api_key"]);
        // Commands find the private database of the folder, too.
        let data_dir = data_dir.to_str().unwrap();
        let partners = run(&["partner", "list", "--json", "--data-dir", data_dir], &[]);
        let partner: Value = serde_json::from_slice(&partners.stdout)
            .unwrap_or_else(|_| panic!("{}", words(&partners)));
        assert_eq!(partner["id"], sandbox.ready["partner_id"]);
        let stopped = tokio::task::spawn_blocking(|| sandbox.stop());
        assert!(stopped.await.unwrap().status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_the_other_environment_is_refused_before_it_is_changed() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let production = [
        server(&url).as_slice(),
        &[("LMN_ENVIRONMENT", "production")],
    ]
    .concat();
    assert!(run(&["migrate"], &production).status.success());
    // As an older binary has left it: there is something to migrate.
    let newest = "delete from _sqlx_migrations
                  where version = (select max(version) from _sqlx_migrations)";
    execute(&database, newest.to_owned()).await;
    let before = applied(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let dev = [
        "dev",
        "--port",
        "0",
        "--data-dir",
        folder.path().to_str().unwrap(),
    ];
    for arguments in [&["migrate"][..], &["serve", "--migrate"], &dev] {
        let refused = run(arguments, &server(&url));
        let words = words(&refused);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {words}");
        let reason = "the database is a production one, but the setting `environment` is `sandbox`";
        assert!(words.contains(reason), "{arguments:?}: {words}");
    }
    assert_eq!(applied(&database).await, before);
    let vehicles: i64 = sqlx::query_scalar("select count(*) from vehicles")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(vehicles, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pooler_that_shares_sessions_is_refused_with_the_remedies() {
    let database = TestDatabase::new().await;
    for mode in ["transaction", "statement"] {
        let pooler = PgBouncer::start(&database, mode);
        let url = pooler.url();
        for arguments in [
            &["serve"][..],
            &["worker"],
            &["migrate"],
            &["catalog", "import", "/dev/null"],
        ] {
            let refused = run(arguments, &server(&url));
            let words = words(&refused);
            assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {words}");
            for remedy in ["pooler in transaction mode", "to `session`", "DATABASE_URL"] {
                assert!(words.contains(remedy), "{mode} {arguments:?}: {words}");
            }
        }
    }
    let pooler = PgBouncer::start(&database, "session");
    let url = pooler.url();
    let migrated = run(&["migrate"], &server(&url));
    assert!(migrated.status.success(), "{}", words(&migrated));
    let serving = Process::start(&["serve", "--json"], &server(&url));
    assert_eq!(health(&serving).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_that_cannot_store_every_text_is_refused() {
    let database = TestDatabase::empty().await;
    let mut url = Url::parse(&database.url()).unwrap();
    let name = format!("{}_latin", url.path().trim_start_matches('/'));
    let create = format!(
        "create database {name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"
    );
    execute(&database, create).await;
    url.set_path(&name);
    for arguments in [&["migrate"][..], &["serve", "--migrate"]] {
        let refused = run(arguments, &server(url.as_str()));
        let words = words(&refused);
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert!(words.contains("encoding 'UTF8'"), "{words}");
    }
    execute(&database, format!("drop database {name}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn role_that_may_not_create_tables_is_reported_with_the_remedies() {
    let database = TestDatabase::empty().await;
    let mut url = Url::parse(&database.url()).unwrap();
    let role = format!("{}_guest", url.path().trim_start_matches('/'));
    execute(
        &database,
        format!("create role {role} login password 'guest'"),
    )
    .await;
    // The default since PostgreSQL 15.
    let revoke = "revoke create on schema public from public";
    execute(&database, revoke.to_owned()).await;
    url.set_username(&role).unwrap();
    url.set_password(Some("guest")).unwrap();
    let refused = run(&["migrate"], &server(url.as_str()));
    execute(&database, format!("drop role {role}")).await;
    let words = words(&refused);
    assert_eq!(refused.status.code(), Some(1), "{words}");
    for part in ["permission denied for schema public", "alter database"] {
        assert!(words.contains(part), "{words}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn server_raises_its_limit_of_open_files() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let usual = lmn(&["serve", "--json"], &server(&url));
    let mut limited = Command::new("/bin/sh");
    limited
        .args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\""])
        .arg(usual.get_program())
        .args(usual.get_args())
        .stdin(Stdio::null());
    for (name, value) in usual.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let serving = Process::run(limited);
    let limits = fs::read_to_string(format!("/proc/{}/limits", serving.id())).unwrap();
    let files = limits.lines().find(|it| it.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap().split_whitespace().skip(3).collect();
    assert_eq!(files[0], files[1], "the soft limit is the hard one");
    assert_ne!(files[0], "256");
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_closes_the_pipe_of_a_list_has_read_enough() {
    let cli = Cli::new().await;
    cli.one(&["partner", "add", "acme"]);
    cli.one(&["key", "issue", "acme"]);
    for arguments in [
        &["errors"][..],
        &["errors", "--markdown"],
        &["errors", "--json"],
        &["openapi"],
        &["catalog", "demo", "--vehicles", "500"],
        &["partner", "list"],
        &["partner", "show", "acme"],
        &["key", "list", "acme"],
        &["audit", "--json"],
    ] {
        let mut child = cli.begin(arguments);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        assert_eq!(words(&output), "", "{arguments:?}");
    }
    // The outcome of a change is missed, and a key is never shown again.
    let mut child = cli.begin(&["key", "issue", "acme"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("standard output is closed"));
}

#[test]
fn migrations_have_the_same_checksums_on_every_machine() {
    for migration in MIGRATOR.iter() {
        let is_unix = !migration.sql.as_str().contains('\r');
        assert!(is_unix, "{} has other line ends", migration.version);
    }
    let attributes = include_str!("../../.gitattributes");
    assert!(attributes.contains("\n* text=auto eol=lf\n"));
}
