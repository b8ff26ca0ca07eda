//! Imports into an existing catalogue: changes of vehicles and their orders, and concurrent writers.

use std::{
    io::Write,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use lmn_partner_api::vehicles::render::render_all;
use proptest::{
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    catalog::{demo, lines, parse, summary},
    command::{Cli, WRITES, call, documents},
    orders::{order, partner},
    process::{Process, words},
};

/// An auction date far in the future.
const DATE: &str = "2099-04-20T13:00:00+09:00";
const LATER: &str = "2099-04-27T13:00:00+09:00";
const TOO_SOON: &str = "2026-01-02T13:00:00+09:00";

/// The command that imports a snapshot and may withdraw all vehicles of a source.
const SNAPSHOT: [&str; 6] = [
    "catalog",
    "import",
    "-",
    "--json",
    "--withdraw-up-to",
    "100",
];

/// Returns a lot with a VIN made from its id.
pub fn lot(id: &str) -> Value {
    json!({
        "id": id, "source": "glovis", "make": "Hyundai", "model": "Grandeur", "year": 2021, "mileage_km": 40_000,
        "auction_date": DATE, "auction_result": "upcoming", "pricing": {"listing_usd": 10_000}, "vin": format!("VIN{id}"),
        "listed_at": "2026-01-02T03:04:05+09:00",
    })
}

fn with(mut vehicle: Value, member: &str, value: impl Into<Value>) -> Value {
    vehicle[member] = value.into();
    vehicle
}

pub fn priced(vehicle: Value, price: i64) -> Value {
    with(vehicle, "pricing", json!({"listing_usd": price}))
}

pub fn dealers(id: &str) -> Value {
    let mut vehicle = with(lot(id), "source", "dealer");
    let members = vehicle.as_object_mut().unwrap();
    members.remove("auction_date");
    members.remove("auction_result");
    vehicle
}

/// A catalogue, a server, and one partner.
struct Scene {
    cli: Cli,
    server: Process,
    key: String,
}

impl Scene {
    async fn with(vehicles: &[Value]) -> Self {
        let cli = Cli::new().await;
        cli.import(&lines(vehicles));
        let key = partner(&cli, "acme");
        let server = cli.serve("sandbox");
        Self { cli, server, key }
    }

    async fn order(&self, vehicle: &str, bid: i64) -> String {
        order(&self.server, &self.key, vehicle, bid).await
    }

    async fn order_at_its_price(&self, vehicle: &str) -> String {
        order(&self.server, &self.key, vehicle, None).await
    }

    async fn get(&self, path: &str) -> Value {
        call(&self.server, &self.key, path).await.1
    }

    /// Returns an order's status with its reason, its auction date, and the types of its events.
    async fn order_now(&self, id: &str) -> (String, Value, Vec<String>) {
        let it = self.get(&format!("/v1/orders/{id}")).await;
        let reason = it["cancellation_reason"]
            .as_str()
            .or(it["failure_reason"].as_str());
        let status = format!(
            "{} {}",
            it["status"].as_str().unwrap(),
            reason.unwrap_or("-")
        );
        let mut events = self.get(&format!("/v1/orders/{id}/events")).await["data"].take();
        let events = events.as_array_mut().unwrap();
        events.reverse();
        let types = events
            .iter()
            .map(|it| it["type"].as_str().unwrap().to_owned());
        (status, it["auction_date"].clone(), types.collect())
    }

    /// Returns the payload of an order's last event.
    async fn last_event(&self, id: &str) -> Value {
        self.get(&format!("/v1/orders/{id}/events")).await["data"][0]["payload"].clone()
    }

    async fn is_listed(&self, vehicle: &str) -> bool {
        let query = format!("select withdrawn_at is null from vehicles where id = '{vehicle}'");
        self.cli.ask(&query).await
    }

    /// Sets the auction of a vehicle and of its orders to some minutes ago.
    async fn auction_was_held(&self, vehicle: &str) {
        self.cli
            .sql(&format!(
                "update vehicles set auction_date = now() - interval '5 minutes' where id = '{vehicle}';
                 update orders set auction_date = now() - interval '5 minutes', order_cutoff_at = now() - interval '1 day'
                 where vehicle_id = '{vehicle}'"
            ))
            .await;
    }
}

impl Cli {
    /// Imports a snapshot that may withdraw everything.
    fn snapshot(&self, sources: &str, text: &str) -> Output {
        self.run_with(&[&SNAPSHOT[..], &["--snapshot", sources]].concat(), text)
    }

    /// Starts an import that reads its standard input.
    fn begin_import(&self) -> Child {
        let mut command = self.command(&["catalog", "import", "-", "--json"]);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits until a query returns true.
    async fn eventually(&self, query: &str) {
        let started = Instant::now();
        while !self.ask::<bool>(query).await {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "still false: {query}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Returns the summary of an import, which must have succeeded.
pub fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", words(output));
    documents(output).remove(0)
}

fn counts(output: &Output, names: [&str; 3]) -> [u64; 3] {
    let summary = done(output);
    names.map(|name| summary[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_price_makes_an_event_and_is_recorded() {
    let scene = Scene::with(&[lot("sk_1"), dealers("d_1")]).await;
    let lot_order = scene.order("sk_1", 12_000).await;
    let text = lines(&[priced(lot("sk_1"), 11_000), dealers("d_1")]);
    assert_eq!(scene.cli.import(&text), summary(2, 0, 1, 1));
    assert_eq!(scene.cli.import(&text), summary(2, 0, 0, 2));
    let (status, _, events) = scene.order_now(&lot_order).await;
    assert_eq!(
        (status.as_str(), events),
        ("proceed -", vec!["order.price_updated".to_owned()])
    );
    let data = &scene.last_event(&lot_order).await["data"];
    assert_eq!(
        (&data["previous_listing_usd"], &data["listing_usd"]),
        (&json!(10_000), &json!(11_000))
    );
    let vehicle = scene.get("/v1/vehicles/sk_1").await;
    let history = vehicle["pricing"]["history"].as_array().unwrap();
    let prices: Vec<_> = history.iter().map(|it| it["listing_usd"].clone()).collect();
    assert_eq!(prices, [10_000, 11_000]);
    assert_eq!(history[1]["recorded_at"], vehicle["updated_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rescheduled_auction_reschedules_or_cancels_its_orders() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let (moved, cancelled) = (
        scene.order("sk_1", 12_000).await,
        scene.order("sk_2", 12_000).await,
    );
    let soon = with(priced(lot("sk_2"), 11_000), "auction_date", TOO_SOON);
    let text = lines(&[with(lot("sk_1"), "auction_date", LATER), soon]);
    assert_eq!(scene.cli.import(&text), summary(2, 0, 2, 0));
    let (status, date, events) = scene.order_now(&moved).await;
    assert_eq!((status.as_str(), date), ("proceed -", json!(LATER)));
    assert_eq!(events, ["order.auction_rescheduled"]);
    assert_eq!(
        scene.last_event(&moved).await["data"]["previous_auction_date"],
        DATE
    );
    let (status, _, events) = scene.order_now(&cancelled).await;
    assert_eq!(status, "cancelled auction_rescheduled_too_soon");
    assert_eq!(
        events,
        ["order.auction_rescheduled", "order.status_changed"],
        "a cancelled order gets no price event"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_auction_result_leaves_the_orders_open_and_is_never_unset() {
    let scene = Scene::with(&[lot("sk_1")]).await;
    let id = scene.order("sk_1", 12_000).await;
    let sold = lines(&[with(lot("sk_1"), "auction_result", "sold")]);
    assert_eq!(scene.cli.import(&sold), summary(1, 0, 1, 0));
    let (status, _, events) = scene.order_now(&id).await;
    assert_eq!((status.as_str(), events.len()), ("proceed -", 0));
    let result = "select auction_result || auction_result_at::text from vehicles";
    let before: String = scene.cli.ask(result).await;
    // An older file without the result, twice.
    let late = lines(&[lot("sk_1")]);
    assert_eq!(scene.cli.import(&late), summary(1, 0, 0, 1));
    assert_eq!(scene.cli.import(&late), summary(1, 0, 0, 1));
    assert_eq!(scene.cli.ask::<String>(result).await, before);
    scene.cli.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    assert_eq!(scene.order_now(&id).await.0, "secured -");
}

#[tokio::test(flavor = "multi_thread")]
async fn relisted_vehicle_makes_one_event_for_each_of_its_former_orders() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let lost = scene.order("sk_1", 12_000).await;
    let open = scene.order("sk_2", 12_000).await;
    scene.auction_was_held("sk_1").await;
    scene.cli.one(&["auction", "result", "sk_1", "outbid"]);
    // The same vehicle under another id, and a new auction date after an auction that is over.
    let again = with(lot("aj_9"), "vin", "VINsk_1");
    let later = with(lot("sk_1"), "auction_date", LATER);
    for _ in 0..2 {
        scene.cli.import(&lines([&again, &later]));
    }
    let (_, _, events) = scene.order_now(&lost).await;
    let expected = [
        "order.status_changed",
        "order.status_changed",
        "order.re_auctioned",
        "order.re_auctioned",
    ];
    assert_eq!(events, expected);
    let mut relisted: Vec<Value> = scene.get("/v1/events?type=order.re_auctioned").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["payload"]["data"]["new_vehicle_id"].clone())
        .collect();
    relisted.sort_by_key(ToString::to_string);
    assert_eq!(relisted, ["aj_9", "sk_1"]);
    assert_eq!(scene.order_now(&open).await.2.len(), 0);
    let vehicle = scene.get("/v1/vehicles/sk_1").await;
    assert_eq!(
        (&vehicle["auction_result"], &vehicle["auction_date"]),
        (&json!("upcoming"), &json!(LATER))
    );
    scene.order("sk_1", 12_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vehicle_bought_or_withdrawn_by_the_operator_is_held_back() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2"), dealers("d_1"), lot("sk_3")]).await;
    let id = scene.order("sk_1", 12_000).await;
    scene.auction_was_held("sk_1").await;
    scene.cli.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    scene.cli.all(&["catalog", "withdraw", "sk_2"]);
    scene.cli.all(&["catalog", "withdraw", "d_1"]);
    let back = [
        with(lot("sk_1"), "auction_result", "no_bid"),
        priced(lot("sk_2"), 1_000),
        priced(dealers("d_1"), 1_000),
        lot("sk_3"),
    ];
    let mut expected = summary(4, 0, 0, 1);
    expected["held_back"] = 3.into();
    for _ in 0..2 {
        assert_eq!(scene.cli.import(&lines(&back)), expected);
    }
    assert_eq!(
        scene.get("/v1/vehicles/sk_1").await["auction_result"],
        "sold"
    );
    assert!(!scene.is_listed("sk_2").await && !scene.is_listed("d_1").await);
    // A later auction lists a withdrawn vehicle again, but not one that LMN has bought.
    let later = ["sk_1", "sk_2"].map(|id| with(lot(id), "auction_date", LATER));
    let mut expected = summary(2, 0, 1, 0);
    expected["held_back"] = 1.into();
    assert_eq!(scene.cli.import(&lines(&later)), expected);
    assert!(scene.is_listed("sk_2").await);
    assert_eq!(
        scene.get("/v1/vehicles/sk_1").await["auction_result"],
        "sold"
    );
    assert_eq!(scene.order_now(&id).await.0, "secured -");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_change_is_not_undone_by_an_unchanged_line() {
    let scene = Scene::with(&[lot("sk_1")]).await;
    let id = scene.order("sk_1", 12_000).await;
    scene.cli.all(&["catalog", "price", "sk_1", "11000"]);
    scene.cli.all(&["auction", "reschedule", "sk_1", LATER]);
    assert_eq!(
        scene.cli.import(&lines(&[lot("sk_1")])),
        summary(1, 0, 0, 1)
    );
    let (status, date, events) = scene.order_now(&id).await;
    assert_eq!((status.as_str(), date), ("proceed -", json!(LATER)));
    assert_eq!(events, ["order.price_updated", "order.auction_rescheduled"]);
    let vehicle = scene.get("/v1/vehicles/sk_1").await;
    assert_eq!(vehicle["pricing"]["listing_usd"], 11_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn vehicle_withdrawn_by_the_operator_can_be_restored() {
    let scene = Scene::with(&[dealers("d_1"), dealers("d_2")]).await;
    let cli = &scene.cli;
    let id = scene.order_at_its_price("d_1").await;
    cli.all(&["catalog", "withdraw", "d_1"]);
    assert!(!scene.is_listed("d_1").await);
    cli.all(&["catalog", "restore", "d_1"]);
    assert!(scene.is_listed("d_1").await);
    let (status, _, events) = scene.order_now(&id).await;
    assert_eq!(status, "cancelled seller_withdrew");
    assert_eq!(events.last().unwrap(), "order.re_auctioned");
    assert_eq!(
        scene.cli.import(&lines(&[dealers("d_1")])),
        summary(1, 0, 0, 1)
    );

    let refused =
        |words: &str| assert!(cli.refused(&["catalog", "restore", "d_2"]).contains(words));
    refused("was not taken off");
    let bought = scene.order_at_its_price("d_2").await;
    cli.one(&["order", "advance", &bought, "acquiring"]);
    let amounts = ["--purchase-price", "9000", "--auction-fee", "0"];
    cli.one(&[&["order", "advance", &bought, "secured"], &amounts[..]].concat());
    refused("LMN has bought");
    assert!(
        cli.refused(&["catalog", "restore", "nobodys"])
            .contains("no such vehicle")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_withdraws_the_vehicles_that_it_leaves_out() {
    let scene = Scene::with(&[
        lot("sk_1"),
        lot("sk_2"),
        lot("sk_3"),
        with(lot("aj_1"), "source", "aj"),
        dealers("d_1"),
    ])
    .await;
    let gone = scene.order("sk_2", 12_000).await;
    // A rejected line with an id still counts as listing its vehicle.
    let text = lines(&[priced(lot("sk_1"), 9_000), with(lot("sk_3"), "year", 0)]);
    let output = scene.cli.snapshot("glovis,dealer", &text);
    assert_eq!(output.status.code(), Some(1), "a line was rejected");
    let mut expected = summary(2, 0, 1, 0);
    (expected["withdrawn"], expected["rejected"]) = (2.into(), 1.into());
    assert_eq!(documents(&output), [expected]);
    for (vehicle, is_listed) in [
        ("sk_1", true),
        ("sk_2", false),
        ("sk_3", true),
        ("aj_1", true),
        ("d_1", false),
    ] {
        assert_eq!(scene.is_listed(vehicle).await, is_listed, "{vehicle}");
    }
    let (status, _, events) = scene.order_now(&gone).await;
    assert_eq!(status, "cancelled seller_withdrew");
    assert_eq!(events, ["order.status_changed"]);
    // A vehicle withdrawn by a snapshot of its source is listed again by a later one.
    let back = lines(&[lot("sk_1"), lot("sk_2"), lot("sk_3"), dealers("d_1")]);
    assert_eq!(
        done(&scene.cli.snapshot("dealer,glovis", &back)),
        summary(4, 0, 3, 1)
    );
    assert!(scene.is_listed("sk_2").await && scene.is_listed("d_1").await);
    assert_eq!(
        scene.order_now(&gone).await.2,
        ["order.status_changed", "order.re_auctioned"]
    );
    assert_eq!(
        done(&scene.cli.snapshot("glovis", &back)),
        summary(4, 0, 0, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lot_left_out_after_its_auction_is_withdrawn_and_its_orders_await_the_result() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2"), lot("sk_3")]).await;
    let (won, failed) = (
        scene.order("sk_1", 12_000).await,
        scene.order("sk_2", 12_000).await,
    );
    for vehicle in ["sk_1", "sk_2"] {
        scene.auction_was_held(vehicle).await;
    }
    let mut expected = summary(1, 0, 0, 1);
    expected["withdrawn"] = 2.into();
    assert_eq!(
        done(&scene.cli.snapshot("glovis", &lines(&[lot("sk_3")]))),
        expected
    );
    for (order, vehicle) in [(&won, "sk_1"), (&failed, "sk_2")] {
        assert!(!scene.is_listed(vehicle).await);
        let (status, _, events) = scene.order_now(order).await;
        assert_eq!((status.as_str(), events.len()), ("proceed -", 0));
    }
    // The operator records one result; the other auction gets none for a day.
    scene.cli.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    assert_eq!(scene.order_now(&won).await.0, "secured -");
    scene
        .cli
        .sql(
            "update orders set auction_date = now() - interval '25 hours' where status = 'proceed'",
        )
        .await;
    let url = scene.cli.database.url();
    let _worker = Process::on(&url, &["worker", "--json"], &[("LOG__FILTER", "off")]);
    scene
        .cli
        .eventually("select exists (select from orders where failure_reason = 'auction_passed')")
        .await;
    assert_eq!(scene.order_now(&failed).await.0, "failed auction_passed");
    // The vehicle that was bought stays withdrawn, whatever result the file has for that auction.
    let mut expected = summary(1, 0, 0, 0);
    expected["held_back"] = 1.into();
    let sold = with(lot("sk_1"), "auction_result", "no_bid");
    assert_eq!(scene.cli.import(&lines(&[sold])), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_that_is_empty_or_has_a_line_without_an_id_withdraws_nothing() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let without_id = format!("{}nonsense\n", lines(&[lot("sk_1")]));
    for (text, reason) in [
        ("", "the file lists nothing at all"),
        (without_id.as_str(), "line 2 does not say"),
    ] {
        let output = scene.cli.snapshot("glovis", text);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains(reason), "{}", words(&output));
        assert!(words(&output).contains("no vehicle was withdrawn"));
        assert_eq!(documents(&output)[0]["withdrawn"], 0);
        assert!(scene.is_listed("sk_2").await);
    }
    let wrong = scene.cli.snapshot("ebay", "");
    assert_eq!(wrong.status.code(), Some(2), "{}", words(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_spares_vehicles_changed_since_it_began_and_waits_for_another_snapshot() {
    let cli = Cli::new().await;
    cli.import(&lines(&[lot("sk_1"), lot("sk_2"), lot("sk_3")]));
    let mut command = cli.command(&[&SNAPSHOT[..], &["--snapshot", "glovis"]].concat());
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut first = command.spawn().unwrap();
    let begun = "select count(*) = 2 from audit_log where action = 'catalog.import_started'";
    cli.eventually(begun).await;
    cli.import(&lines(&[lot("sk_4"), priced(lot("sk_2"), 8_000)]));
    let mut second = command.spawn().unwrap();
    cli.wait_for_blocked_sessions(1, &["advisory"]).await;
    write!(first.stdin.take().unwrap(), "{}", lines(&[lot("sk_1")])).unwrap();
    let mut expected = summary(1, 0, 0, 1);
    expected["withdrawn"] = 1.into();
    assert_eq!(done(&first.wait_with_output().unwrap()), expected);
    let listed = "select string_agg(id, ' ' order by id) from vehicles where withdrawn_at is null";
    assert_eq!(cli.ask::<String>(listed).await, "sk_1 sk_2 sk_4");
    write!(second.stdin.take().unwrap(), "{}", lines(&[lot("sk_3")])).unwrap();
    let mut expected = summary(1, 0, 1, 0);
    expected["withdrawn"] = 3.into();
    assert_eq!(done(&second.wait_with_output().unwrap()), expected);
    assert_eq!(cli.ask::<String>(listed).await, "sk_3");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_imports_leave_consistent_vehicles_and_each_price_once() {
    let cli = Cli::new().await;
    let cheap = demo("2500");
    let mut expensive = parse(&cheap);
    for vehicle in &mut expensive {
        vehicle["pricing"]["listing_usd"] =
            (vehicle["pricing"]["listing_usd"].as_i64().unwrap() + 1).into();
        vehicle["color"] = "Emerald".into();
    }
    let expensive = lines(&expensive);
    // The same lines backwards, so that the imports contend for the same vehicles.
    let backwards: String = cheap.lines().rev().flat_map(|line| [line, "\n"]).collect();
    let outputs = std::thread::scope(|scope| {
        let runs = [cheap.as_str(), &backwards, &expensive];
        let runs = runs
            .map(|text| scope.spawn(|| cli.run_with(&["catalog", "import", "-", "--json"], text)));
        runs.map(|run| run.join().unwrap())
    });
    let sums = outputs
        .each_ref()
        .map(|it| counts(it, ["inserted", "updated", "unchanged"]));
    let inserted: u64 = sums.iter().map(|it| it[0]).sum();
    assert_eq!(inserted, 2_500, "{sums:?}");
    let inconsistent =
        "select count(*) from vehicles where (color = 'Emerald') <> (summary like '%Emerald%')
                   or summary not like '%\"listing_usd\":' || listing_usd || '}%'";
    assert_eq!(cli.ask::<i64>(inconsistent).await, 0);
    let doubled = "select count(*) from vehicle_prices join vehicles on vehicles.id = vehicle_id
                   where recorded_at >= priced_at";
    assert_eq!(cli.ask::<i64>(doubled).await, 0);
    assert_eq!(cli.import(&cheap)["inserted"], 0);
    assert_eq!(cli.import(&backwards), summary(2_500, 0, 0, 2_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_import_leaves_whole_batches_and_can_be_run_again() {
    let cli = Cli::new().await;
    let text = demo("1500");
    let mut import = cli.begin_import();
    write!(import.stdin.as_mut().unwrap(), "{text}").unwrap();
    cli.eventually("select count(*) > 0 from vehicles").await;
    import.kill().unwrap();
    import.wait().unwrap();
    let written = cli
        .ask::<i64>("select count(*) from vehicles")
        .await
        .unsigned_abs();
    assert!(written.is_multiple_of(250), "{written}");
    let missing = 1_500 - written;
    assert_eq!(cli.import(&text), summary(1_500, missing, 0, written));
    let cut_off = "select count(*) filter (where action = 'catalog.import_started')
                        - count(*) filter (where action = 'catalog.imported') from audit_log";
    assert_eq!(cli.ask::<i64>(cut_off).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_waits_only_for_an_import_that_changes_its_vehicle() {
    let vehicles = ["sk_1", "sk_2", "sk_3", "sk_4"].map(lot);
    let scene = Scene::with(&vehicles).await;
    // Another transaction has locked a vehicle, so the import stops in the middle of its batch.
    let mut holder = scene.cli.database.pool.begin().await.unwrap();
    sqlx::query("select from vehicles where id = 'sk_3' for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let text = lines(&[
        priced(lot("sk_1"), 9_000),
        lot("sk_2"),
        priced(lot("sk_3"), 9_000),
        lot("sk_5"),
    ]);
    let mut import = scene.cli.begin_import();
    write!(import.stdin.take().unwrap(), "{text}").unwrap();
    scene.cli.wait_for_blocked_sessions(1, &WRITES).await;
    // The import waits in one transaction; if it had started anew, an order could have been placed in between.
    let since = "select min(xact_start)::text from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'";
    let before: String = scene.cli.ask(since).await;
    for vehicle in ["sk_2", "sk_4"] {
        scene.order(vehicle, 12_000).await;
    }
    assert_eq!(scene.cli.ask::<Option<String>>(since).await, Some(before));
    let (url, key) = (scene.server.url().to_owned(), scene.key.clone());
    let own = tokio::spawn(async move {
        let request = reqwest::Client::new().post(format!("{url}/v1/orders"));
        let request = request
            .header("x-api-key", key)
            .header("idempotency-key", Uuid::new_v4().to_string())
            .header("content-type", "application/json");
        let body = json!({"vehicle_id": "sk_1", "max_bid_amount_usd": 9_500}).to_string();
        request.body(body).send().await.unwrap().status().as_u16()
    });
    scene.cli.wait_for_blocked_sessions(2, &WRITES).await;
    holder.rollback().await.unwrap();
    assert_eq!(
        done(&import.wait_with_output().unwrap()),
        summary(4, 1, 2, 1)
    );
    assert_eq!(
        own.await.unwrap(),
        201,
        "the order sees the vehicle as changed by the import"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_lines_are_saved_unchanged() {
    let cli = Cli::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    let file = file.to_str().unwrap();
    let bad = with(lot("sk_1"), "year", 0);
    let text = format!("{}\n\n{bad}\n\"한\n{}\n", lot("sk_2"), "x".repeat(300_000));
    let output = cli.run_with(&["catalog", "import", "-", "--rejects", file], &text);
    assert_eq!(output.status.code(), Some(1));
    let kept = std::fs::read_to_string(file).unwrap();
    let kept: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = kept.iter().map(|it| it["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert_eq!(kept[0]["text"], bad.to_string());
    assert_eq!(
        kept[0]["reasons"],
        json!(["year: 0 is not an integer from 1900 to 2100"])
    );
    assert_eq!(kept[1]["text"], "\"한");
    assert_eq!(kept[2]["text"].as_str().unwrap().len(), 256 * 1024 + 1);
    let refused = cli.refused(&[
        "catalog",
        "import",
        "/dev/null",
        "--rejects",
        "/no/such/folder/file",
    ]);
    assert!(
        refused.contains("cannot write /no/such/folder/file"),
        "{refused}"
    );
}

/// Returns vehicles with random texts, rich in characters that are special in PostgreSQL's text formats.
fn hostile_vehicles(count: usize) -> Vec<Value> {
    let special = "\\\"'{},\t\n\r\u{8}\u{b}\u{7f}\u{2028}NxÄ한🚗:&|!*() ";
    let special = proptest::sample::select(special.chars().collect::<Vec<_>>());
    let other =
        any::<char>().prop_filter("PostgreSQL stores no zero byte in a text", |it| *it != '\0');
    let character = proptest::prop_oneof![3 => special, 1 => other];
    let text = proptest::collection::vec(character, 1..40)
        .prop_map(|it| format!("x{}", it.into_iter().collect::<String>()));
    let mut runner = TestRunner::deterministic();
    let mut sample = || text.new_tree(&mut runner).unwrap().current();
    let members = [
        "make",
        "model",
        "trim",
        "drivetrain",
        "color",
        "lot_number",
        "thumbnail_url",
        "vin",
        "license_plate",
        "location",
        "description",
    ];
    let mut vehicle = |n| {
        let mut vehicle = lot(&format!("sk_{n}"));
        for member in members {
            vehicle[member] = sample().into();
        }
        for member in ["options", "photos"] {
            vehicle[member] = json!([sample(), sample()]);
        }
        let items = json!([{"part": sample(), "finding": sample()}]);
        vehicle["inspection"] =
            json!({"inspected_on": "2026-04-01", "summary": sample(), "items": items});
        vehicle
    };
    (0..count).map(&mut vehicle).collect()
}

/// Checks that each vehicle is read back as it was written, and that the import renders it as `render_all` does.
async fn check_written(cli: &Cli, vehicles: &[Value]) {
    for vehicle in vehicles {
        let id = vehicle["id"].as_str().unwrap();
        let row = format!("select to_jsonb(vehicles) from vehicles where id = '{id}'");
        let row: Value = cli.ask(&row).await;
        for (member, value) in vehicle.as_object().unwrap() {
            if !["pricing", "auction_date", "listed_at"].contains(&member.as_str()) {
                assert_eq!(row[member], *value, "{id} {member}");
            }
        }
    }
    let rendered = "select string_agg(concat_ws('/', id, summary, detail), ',' order by id)
                    from vehicles where summary is not null and detail is not null";
    let before: String = cli.ask(rendered).await;
    cli.sql("update vehicles set summary = null, detail = null")
        .await;
    render_all(&cli.database.product, 500).await.unwrap();
    assert!(cli.ask::<String>(rendered).await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_read_back_as_they_were_written() {
    let cli = Cli::new().await;
    let vehicles = hostile_vehicles(300);
    assert_eq!(cli.import(&lines(&vehicles)), summary(300, 300, 0, 0));
    check_written(&cli, &vehicles).await;
    // The same again, as changes of existing vehicles.
    let others = vehicles.iter().rev();
    let changed: Vec<_> = vehicles
        .iter()
        .zip(others)
        .map(|(vehicle, other)| with(other.clone(), "id", vehicle["id"].clone()))
        .collect();
    assert_eq!(cli.import(&lines(&changed)), summary(300, 0, 300, 0));
    check_written(&cli, &changed).await;
}
