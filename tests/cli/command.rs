//! The command line, run by an operator on a database of the test.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{
    database::TestDatabase,
    process::{Process, lmn, words},
};

/// Longest wait of [`eventually`] and [`eventually_answers`].
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The locks for which a write waits that changes the same row as another.
pub const WRITES: [&str; 2] = ["tuple", "transactionid"];

/// The command line with a database.
pub struct Cli {
    pub database: TestDatabase,
    url: String,
}

impl Cli {
    /// Makes the empty database of a sandbox.
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let url = database.url();
        Self { database, url }
    }

    /// Makes a database without a schema.
    pub async fn without_schema() -> Self {
        let database = TestDatabase::empty().await;
        let url = database.url();
        Self { database, url }
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("DATABASE_URL", &self.url),
            ("LMN_OPERATOR", "kim"),
            ("LMN_LOG__FILTER", "off"),
        ]
    }

    /// Runs a command with `text` as its standard input.
    pub fn run_with(&self, arguments: &[&str], text: &str) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A command that does not read its input may have closed it.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        child.wait_with_output().unwrap()
    }

    /// Returns a command without running it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        lmn(arguments, &self.variables())
    }

    /// Starts a command.
    pub fn begin(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = self.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a command that must succeed; returns the lines of its JSON.
    pub fn all(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.run_with(&arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        documents(&output)
    }

    /// Runs a command that must succeed; returns its only JSON document.
    pub fn one(&self, arguments: &[&str]) -> Value {
        let mut documents = self.all(arguments);
        assert_eq!(documents.len(), 1, "{arguments:?}");
        documents.remove(0)
    }

    /// Runs a command that must be refused; returns its error, which is one line.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, "");
        let words = words(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty(), "a failed command prints no data");
        assert_eq!(words.lines().count(), 1, "{words}");
        words
    }

    /// Starts a server on the database.
    pub fn serve(&self, environment: &str) -> Process {
        let environment = ("LMN_ENVIRONMENT", environment);
        let variables = [self.variables().as_slice(), &[environment]].concat();
        Process::start(&["serve", "--json"], &variables)
    }

    /// Moves the sandbox clocks of all partners to some days ahead of real time.
    pub async fn set_clocks_ahead(&self, days: u32) {
        self.sql(&format!(
            "update partners set clock_offset_seconds = {days}::bigint * 86400"
        ))
        .await;
    }

    /// Waits until some sessions of the database wait for locks of some kinds, as `pg_stat_activity` names them.
    pub async fn wait_for_blocked_sessions(&self, count: i64, kinds: &[&str]) {
        let statement = "select count(*) from pg_stat_activity
                         where datname = current_database() and wait_event_type = 'Lock' and wait_event = any($1)";
        let started = Instant::now();
        loop {
            let blocked = sqlx::query_scalar(statement).bind(kinds);
            let blocked: i64 = blocked.fetch_one(&self.database.pool).await.unwrap();
            if blocked == count {
                return;
            }
            assert!(started.elapsed() < WAIT_MAX, "{blocked} sessions wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs statements that prepare the database.
    pub async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.database.pool)
            .await
            .unwrap();
    }

    /// Returns the single value of a query.
    pub async fn ask<T>(&self, query: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }
}

/// Parses the lines of JSON that a command has printed.
pub fn documents(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Calls a server with a key; returns the status and the body.
pub async fn call(server: &Process, key: &str, path: &str) -> (u16, Value) {
    let request = reqwest::Client::new().get(format!("{}{path}", server.url()));
    let response = request.header("x-api-key", key).send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Waits until a response of a server satisfies a condition; returns its body.
pub async fn eventually(
    server: &Process,
    key: &str,
    path: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    let started = Instant::now();
    loop {
        let (_, body) = call(server, key, path).await;
        if is_so(&body) {
            return body;
        }
        assert!(started.elapsed() < WAIT_MAX, "the response stays {body}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a server answers a key with a status; returns the body.
pub async fn eventually_answers(server: &Process, key: &str, status: u16) -> Value {
    let started = Instant::now();
    loop {
        let (answered, body) = call(server, key, "/v1/orders").await;
        if answered == status {
            return body;
        }
        assert!(started.elapsed() < WAIT_MAX, "the response stays {body}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
