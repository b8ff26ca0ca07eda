//! `lmn catalog import` and `lmn catalog demo`: summaries, rejected lines, and repeated imports.

use serde_json::{Value, json};

use crate::{
    command::{Cli, documents},
    process::{run, words},
};

/// Returns a demo catalogue as lines.
pub fn demo(vehicles: &str) -> String {
    let demo = run(
        &["catalog", "demo", "--vehicles", vehicles, "--seed", "3"],
        &[],
    );
    assert!(demo.status.success(), "the command needs no database");
    String::from_utf8(demo.stdout).unwrap()
}

/// Parses the lines of a catalogue.
pub fn parse(lines: &str) -> Vec<Value> {
    let vehicles = lines.lines().map(serde_json::from_str);
    vehicles.collect::<Result<_, _>>().unwrap()
}

/// Formats vehicles as the lines of a catalogue.
pub fn lines<'a>(vehicles: impl IntoIterator<Item = &'a Value>) -> String {
    vehicles
        .into_iter()
        .map(|vehicle| format!("{vehicle}\n"))
        .collect()
}

impl Cli {
    /// Imports valid lines; returns the summary.
    pub fn import(&self, lines: &str) -> Value {
        let output = self.run_with(&["catalog", "import", "-", "--json"], lines);
        assert!(output.status.success(), "{}", words(&output));
        assert_eq!(
            words(&output),
            "",
            "no progress is printed without a terminal"
        );
        documents(&output).remove(0)
    }
}

/// Returns the summary of an import that holds back, withdraws and rejects nothing.
pub fn summary(read: u64, inserted: u64, updated: u64, unchanged: u64) -> Value {
    json!({"read": read, "inserted": inserted, "updated": updated, "unchanged": unchanged, "held_back": 0,
           "withdrawn": 0, "rejected": 0})
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_catalogue_imported_twice_changes_nothing() {
    let cli = Cli::new().await;
    let demo = demo("1200");
    assert_eq!(cli.import(&demo), summary(1200, 1200, 0, 0));
    let content = "select md5(string_agg(vehicles::text, ',' order by id)) from vehicles";
    let before: String = cli.ask(content).await;
    assert_eq!(cli.import(&demo), summary(1200, 0, 0, 1200));
    assert_eq!(cli.ask::<String>(content).await, before);
    assert_eq!(
        cli.ask::<i64>("select count(*) from vehicle_prices").await,
        0,
        "no former price is recorded"
    );
    let imports = cli.all(&["audit"]);
    let actions: Vec<_> = imports
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    let [begun, done] = ["catalog.import_started", "catalog.imported"];
    assert_eq!(actions, [begun, done, begun, done]);
    assert_eq!(imports[3]["details"], summary(1200, 0, 0, 1200));
    assert_eq!(imports[2]["request_id"], imports[3]["request_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_lines_are_reported_by_number_and_the_others_imported() {
    let cli = Cli::new().await;
    let mut bad = parse(&demo("10"));
    let without_date = bad
        .iter()
        .position(|vehicle| vehicle["auction_date"] != Value::Null)
        .unwrap();
    bad[without_date]["auction_date"] = Value::Null;
    bad[9]["fuel"] = "petrol".into();
    bad[9]["year"] = 0.into();
    let text = format!(
        "{}\n\nnonsense\n{{}}\n{}\n",
        lines(&bad),
        "x".repeat(300_000)
    );
    let output = cli.run_with(&["catalog", "import", "-", "--json"], &text);
    assert_eq!(output.status.code(), Some(1));
    let mut expected = summary(13, 8, 0, 0);
    expected["rejected"] = 5.into();
    assert_eq!(documents(&output), [expected]);
    let words = words(&output);
    let mut messages = words.lines();
    for beginning in [
        &format!("line {}: auction_date: is required", without_date + 1),
        "line 10: year: 0 is not an integer",
        "line 13: not JSON: ",
        "line 14: id: is required; source: is required",
        "line 15: longer than 262144 bytes",
        "lmn: 5 of 13 lines were rejected",
    ] {
        let line = messages.next().unwrap_or_default();
        assert!(line.starts_with(beginning), "{line} {words}");
    }
    assert_eq!(messages.next(), None);
    assert!(
        words.contains("; ") && words.contains("fuel: \"petrol\" is not one of gasoline, "),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_byte_order_mark_crlf_and_no_final_newline_is_imported_whole() {
    let cli = Cli::new().await;
    let mut vehicles = parse(&demo("4"));
    vehicles[1]["year"] = 0.into();
    vehicles[3]["year"] = 0.into();
    let text = lines(&vehicles).replace('\n', "\r\n");
    let text = format!("\u{feff}{}", text.trim_end());
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects");
    let import = ["catalog", "import", "-", "--json", "--rejects"];
    let output = cli.run_with(&[&import[..], &[rejects.to_str().unwrap()]].concat(), &text);
    let mut expected = summary(4, 2, 0, 0);
    expected["rejected"] = 2.into();
    assert_eq!(documents(&output), [expected]);
    let words = words(&output);
    let starts: Vec<_> = words
        .lines()
        .map(|it| it.split(':').next().unwrap())
        .collect();
    assert_eq!(starts, ["line 2", "line 4", "lmn"], "{words}");
    let rejects = std::fs::read_to_string(rejects).unwrap();
    let rejected: Vec<_> = parse(&rejects)
        .iter()
        .map(|it| it["text"].clone())
        .collect();
    assert_eq!(
        rejected,
        [&vehicles[1], &vehicles[3]].map(ToString::to_string)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_vehicles_alone_get_a_new_date_and_former_prices_are_recorded() {
    let cli = Cli::new().await;
    let mut vehicles = parse(&demo("20"));
    cli.import(&lines(&vehicles));
    cli.sql("update vehicles set updated_at = '2020-01-01', auction_result_at = auction_result_at - interval '1 day'").await;
    vehicles[3]["pricing"]["listing_usd"] = 9_999.into();
    vehicles[4]["color"] = "Emerald".into();
    let withdrawn = vehicles[5]["id"].as_str().unwrap();
    cli.sql(&format!(
        "update vehicles set withdrawn_at = now(), withdrawn_by = 'source' where id = '{withdrawn}'"
    ))
    .await;
    let results = "select string_agg(auction_result_at::text, ',' order by id) from vehicles";
    let before: String = cli.ask(results).await;
    assert_eq!(cli.import(&lines(&vehicles)), summary(20, 0, 3, 17));
    let mut changed: Vec<_> = [3, 4, 5]
        .map(|n| vehicles[n]["id"].as_str().unwrap())
        .to_vec();
    changed.sort_unstable();
    let dated =
        "select string_agg(id, ',' order by id) from vehicles where updated_at > '2020-01-01'";
    assert_eq!(cli.ask::<String>(dated).await, changed.join(","));
    assert_eq!(
        cli.ask::<i64>("select count(*) from vehicles where withdrawn_at is not null")
            .await,
        0
    );
    let moved =
        "select vehicle_id || ' ' || string_agg(listing_usd::text, ',' order by recorded_at)
                 from vehicle_prices group by vehicle_id";
    let first = &vehicles[3]["pricing"]["history"][0]["listing_usd"];
    let expected = format!("{} {first}", vehicles[3]["id"].as_str().unwrap());
    assert_eq!(cli.ask::<String>(moved).await, expected);
    let since = "select string_agg(id, ',') from vehicles where priced_at = updated_at and priced_at > listed_at";
    assert_eq!(
        cli.ask::<String>(since).await,
        vehicles[3]["id"].as_str().unwrap()
    );
    assert_eq!(
        cli.ask::<String>(results).await,
        before,
        "the time of a result is that of the first import with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn later_of_two_lines_about_one_vehicle_wins() {
    let cli = Cli::new().await;
    let vehicles = parse(&demo("10"));
    let mut later = vehicles[0].clone();
    later["color"] = "Emerald".into();
    let text = lines(vehicles.iter().chain([&later]));
    assert_eq!(cli.import(&text), summary(11, 10, 1, 0));
    let color = format!(
        "select color from vehicles where id = '{}'",
        later["id"].as_str().unwrap()
    );
    assert_eq!(cli.ask::<String>(&color).await, "Emerald");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_file_is_refused() {
    let cli = Cli::new().await;
    let words = cli.refused(&["catalog", "import", "/no/such/file"]);
    assert!(words.contains("cannot open /no/such/file"), "{words}");
    assert!(cli.all(&["audit"]).is_empty());
}
