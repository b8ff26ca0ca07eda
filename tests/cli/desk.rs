//! An operator at work on a database of a test's own.

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

/// How long [`Desk::eventually_answers`] waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// An operator and their database.
pub struct Desk {
    pub database: TestDatabase,
    url: String,
}

impl Desk {
    /// Takes a sandbox's database with nothing in it.
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let url = database.url();
        Self { database, url }
    }

    fn variables(&self) -> [(&str, &str); 4] {
        [
            ("DATABASE_URL", &self.url),
            ("LMN_OPERATOR", "kim"),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
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
        // One that has no use for it may have closed it.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        child.wait_with_output().unwrap()
    }

    /// Returns a command that is not run yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        lmn(arguments, &self.variables())
    }

    /// Begins a command.
    pub fn begin(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = self.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs a command that succeeds, and returns the lines of its JSON.
    pub fn all(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.run_with(&arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        documents(&output)
    }

    /// Runs a command that succeeds, and returns its one JSON document.
    pub fn one(&self, arguments: &[&str]) -> Value {
        let mut documents = self.all(arguments);
        assert_eq!(documents.len(), 1, "{arguments:?}");
        documents.remove(0)
    }

    /// Runs a command that is refused, and returns why, in one line.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, "");
        let words = words(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty(), "nothing is data when it fails");
        assert_eq!(words.lines().count(), 1, "{words}");
        words
    }

    /// Serves the database.
    pub fn serve(&self, environment: &str) -> Process {
        let environment = ("LMN_ENVIRONMENT", environment);
        let variables = [self.variables().as_slice(), &[environment]].concat();
        Process::start(&["serve", "--json"], &variables)
    }

    /// Runs a statement that arranges the scene.
    pub async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.database.pool)
            .await
            .unwrap();
    }

    /// Asks a question with one answer.
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

/// Reads a command's lines of JSON.
pub fn documents(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Calls a server with a key, and returns the status and the body.
pub async fn call(server: &Process, key: &str, path: &str) -> (u16, Value) {
    let request = reqwest::Client::new().get(format!("{}{path}", server.url()));
    let response = request.header("x-api-key", key).send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Waits until a server's answer is as it must become, and returns it.
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
        assert!(started.elapsed() < PATIENCE, "it never happened: {body}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a server answers a key with a status, and returns the answer's body.
pub async fn eventually_answers(server: &Process, key: &str, status: u16) -> Value {
    let started = Instant::now();
    loop {
        let (answered, body) = call(server, key, "/v1/orders").await;
        if answered == status {
            return body;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened: {body}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
