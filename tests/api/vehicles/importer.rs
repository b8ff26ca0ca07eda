//! Imports of vehicles by the binary `lmn`, beside the replicas under test.

use std::{
    io::Write,
    process::{Child, ChildStdin, Stdio},
    thread::{JoinHandle, spawn},
};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    database::TestDatabase,
    process::{lmn, run, words},
};

/// Returns a made-up catalogue, one vehicle a line.
pub async fn demo(vehicles: &'static str) -> String {
    let arguments = ["catalog", "demo", "--vehicles", vehicles, "--seed", "3"];
    let output = spawn_blocking(move || run(&arguments, &[])).await.unwrap();
    assert!(output.status.success(), "{}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns a lot in the format of an import file.
pub fn lot(id: &str, price: i64) -> Value {
    json!({
        "id": id, "source": "glovis", "make": "Hyundai", "model": "Grandeur", "year": 2021, "mileage_km": 40_000,
        "auction_date": "2099-04-20T13:00:00+09:00", "auction_result": "upcoming",
        "pricing": {"listing_usd": price}, "listed_at": "2026-01-02T03:04:05+09:00",
    })
}

/// Starts an import of a text. It runs until the returned input is closed.
pub fn begin(database: &TestDatabase, text: String) -> (Child, JoinHandle<ChildStdin>) {
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str()), ("LMN_OPERATOR", "kim")];
    let mut command = lmn(&["catalog", "import", "-", "--json"], &variables);
    let command = command.stdin(Stdio::piped());
    let mut import = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = import.stdin.take().expect("its input is ours");
    let writing = spawn(move || {
        // A killed import does not read the rest.
        drop(input.write_all(text.as_bytes()));
        input
    });
    (import, writing)
}

/// Imports vehicles and waits until the import has ended.
pub async fn import(database: &TestDatabase, vehicles: &[Value]) {
    let text = vehicles.iter().map(|it| format!("{it}\n")).collect();
    let (import, writing) = begin(database, text);
    let ending = spawn_blocking(|| {
        drop(writing.join().expect("its input can be written to"));
        import.wait_with_output().expect("it ends")
    });
    let output = ending.await.unwrap();
    assert!(output.status.success(), "{}", words(&output));
}
