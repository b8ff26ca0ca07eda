//! The catalogue from a file.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, documents},
    process::{run, words},
};

/// Returns a demo catalogue as lines.
pub fn demo(vehicles: &str) -> String {
    let demo = run(
        &["catalog", "demo", "--vehicles", vehicles, "--seed", "3"],
        &[],
    );
    assert!(demo.status.success(), "it needs no database");
    String::from_utf8(demo.stdout).unwrap()
}

/// Returns its lines as JSON.
pub fn cars(lines: &str) -> Vec<Value> {
    let cars = lines.lines().map(serde_json::from_str);
    cars.collect::<Result<_, _>>().unwrap()
}

/// Writes lines.
pub fn lines<'a>(cars: impl IntoIterator<Item = &'a Value>) -> String {
    cars.into_iter().map(|car| format!("{car}\n")).collect()
}

impl Desk {
    /// Imports lines that are all right, and returns the summary.
    pub fn import(&self, lines: &str) -> Value {
        let output = self.run_with(&["catalog", "import", "-", "--json"], lines);
        assert!(output.status.success(), "{}", words(&output));
        assert_eq!(words(&output), "", "it is quiet when nobody looks");
        documents(&output).remove(0)
    }
}

/// What an import says.
pub fn summary(read: u64, inserted: u64, updated: u64, unchanged: u64) -> Value {
    json!({"read": read, "inserted": inserted, "updated": updated, "unchanged": unchanged, "held_back": 0,
           "withdrawn": 0, "rejected": 0})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_imported_twice_changes_nothing() {
    let desk = Desk::new().await;
    let demo = demo("1200");
    assert_eq!(desk.import(&demo), summary(1200, 1200, 0, 0));
    let content = "select md5(string_agg(vehicles::text, ',' order by id)) from vehicles";
    let before: String = desk.ask(content).await;
    assert_eq!(desk.import(&demo), summary(1200, 0, 0, 1200));
    assert_eq!(desk.ask::<String>(content).await, before);
    assert_eq!(
        desk.ask::<i64>("select count(*) from vehicle_prices").await,
        0,
        "there are no former prices"
    );
    let imports = desk.all(&["audit"]);
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
async fn bad_lines_are_named_by_number_and_the_others_imported() {
    let desk = Desk::new().await;
    let mut bad = cars(&demo("10"));
    let dateless = bad
        .iter()
        .position(|car| car["auction_date"] != Value::Null)
        .unwrap();
    bad[dateless]["auction_date"] = Value::Null;
    bad[9]["fuel"] = "petrol".into();
    bad[9]["year"] = 0.into();
    let text = format!(
        "{}\n\nnonsense\n{{}}\n{}\n",
        lines(&bad),
        "x".repeat(300_000)
    );
    let output = desk.run_with(&["catalog", "import", "-", "--json"], &text);
    assert_eq!(output.status.code(), Some(1));
    let mut expected = summary(13, 8, 0, 0);
    expected["rejected"] = 5.into();
    assert_eq!(documents(&output), [expected]);
    let words = words(&output);
    let mut said = words.lines();
    for beginning in [
        &format!("line {}: auction_date: is required", dateless + 1),
        "line 10: year: 0 is not an integer",
        "line 13: not JSON: ",
        "line 14: id: is required; source: is required",
        "line 15: longer than 262144 bytes",
        "lmn: 5 of 13 lines were rejected",
    ] {
        let line = said.next().unwrap_or_default();
        assert!(line.starts_with(beginning), "{line} {words}");
    }
    assert_eq!(said.next(), None);
    assert!(
        words.contains("; ") && words.contains("fuel: \"petrol\" is not one of gasoline, "),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_byte_order_mark_crlf_and_no_last_line_end_is_imported_whole() {
    let desk = Desk::new().await;
    let mut vehicles = cars(&demo("4"));
    vehicles[1]["year"] = 0.into();
    vehicles[3]["year"] = 0.into();
    let text = lines(&vehicles).replace('\n', "\r\n");
    let text = format!("\u{feff}{}", text.trim_end());
    let folder = tempfile::tempdir().unwrap();
    let rejects = folder.path().join("rejects");
    let import = ["catalog", "import", "-", "--json", "--rejects"];
    let output = desk.run_with(&[&import[..], &[rejects.to_str().unwrap()]].concat(), &text);
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
    let rejected: Vec<_> = cars(&rejects).iter().map(|it| it["text"].clone()).collect();
    assert_eq!(
        rejected,
        [&vehicles[1], &vehicles[3]].map(ToString::to_string)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_dated_anew_and_a_moved_price_is_remembered() {
    let desk = Desk::new().await;
    let mut cars = cars(&demo("20"));
    desk.import(&lines(&cars));
    desk.sql("update vehicles set updated_at = '2020-01-01', auction_result_at = auction_result_at - interval '1 day'").await;
    cars[3]["pricing"]["listing_usd"] = 9_999.into();
    cars[4]["color"] = "Emerald".into();
    let withdrawn = cars[5]["id"].as_str().unwrap();
    desk.sql(&format!(
        "update vehicles set withdrawn_at = now(), withdrawn_by = 'source' where id = '{withdrawn}'"
    ))
    .await;
    let results = "select string_agg(auction_result_at::text, ',' order by id) from vehicles";
    let before: String = desk.ask(results).await;
    assert_eq!(desk.import(&lines(&cars)), summary(20, 0, 3, 17));
    let mut changed: Vec<_> = [3, 4, 5].map(|n| cars[n]["id"].as_str().unwrap()).to_vec();
    changed.sort_unstable();
    let dated =
        "select string_agg(id, ',' order by id) from vehicles where updated_at > '2020-01-01'";
    assert_eq!(desk.ask::<String>(dated).await, changed.join(","));
    assert_eq!(
        desk.ask::<i64>("select count(*) from vehicles where withdrawn_at is not null")
            .await,
        0
    );
    let moved =
        "select vehicle_id || ' ' || string_agg(listing_usd::text, ',' order by recorded_at)
                 from vehicle_prices group by vehicle_id";
    let first = &cars[3]["pricing"]["history"][0]["listing_usd"];
    let expected = format!("{} {first}", cars[3]["id"].as_str().unwrap());
    assert_eq!(desk.ask::<String>(moved).await, expected);
    let since = "select string_agg(id, ',') from vehicles where priced_at = updated_at and priced_at > listed_at";
    assert_eq!(
        desk.ask::<String>(since).await,
        cars[3]["id"].as_str().unwrap()
    );
    assert_eq!(
        desk.ask::<String>(results).await,
        before,
        "a result is known since it was first read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_lines_about_one_car_the_later_one_holds() {
    let desk = Desk::new().await;
    let cars = cars(&demo("10"));
    let mut later = cars[0].clone();
    later["color"] = "Emerald".into();
    let text = lines(cars.iter().chain([&later]));
    assert_eq!(desk.import(&text), summary(11, 10, 1, 0));
    let color = format!(
        "select color from vehicles where id = '{}'",
        later["id"].as_str().unwrap()
    );
    assert_eq!(desk.ask::<String>(&color).await, "Emerald");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_refused() {
    let desk = Desk::new().await;
    let words = desk.refused(&["catalog", "import", "/no/such/file"]);
    assert!(words.contains("cannot open /no/such/file"), "{words}");
    assert!(desk.all(&["audit"]).is_empty());
}
