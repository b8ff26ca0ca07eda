//! What an import does to cars that were there before, to their orders, and beside other writers.

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
    catalog::{cars, demo, lines, summary},
    desk::{Desk, call, documents},
    orders::{order, partner},
    process::{Process, words},
};

/// A date that no test reaches.
const DATE: &str = "2099-04-20T13:00:00+09:00";
const LATER: &str = "2099-04-27T13:00:00+09:00";
const TOO_SOON: &str = "2026-01-02T13:00:00+09:00";

/// The import of a snapshot of a few vehicles, of which each is more than a tenth.
const SNAPSHOT: [&str; 6] = [
    "catalog",
    "import",
    "-",
    "--json",
    "--withdraw-up-to",
    "100",
];

/// A lot, each with a VIN of its own.
pub fn lot(id: &str) -> Value {
    json!({
        "id": id, "source": "glovis", "make": "Hyundai", "model": "Grandeur", "year": 2021, "mileage_km": 40_000,
        "auction_date": DATE, "auction_result": "upcoming", "pricing": {"listing_usd": 10_000}, "vin": format!("VIN{id}"),
        "listed_at": "2026-01-02T03:04:05+09:00",
    })
}

fn with(mut car: Value, member: &str, value: impl Into<Value>) -> Value {
    car[member] = value.into();
    car
}

pub fn priced(car: Value, price: i64) -> Value {
    with(car, "pricing", json!({"listing_usd": price}))
}

pub fn dealers(id: &str) -> Value {
    let mut car = with(lot(id), "source", "dealer");
    let members = car.as_object_mut().unwrap();
    members.remove("auction_date");
    members.remove("auction_result");
    car
}

/// A served catalogue with one partner.
struct Scene {
    desk: Desk,
    server: Process,
    key: String,
}

impl Scene {
    async fn with(cars: &[Value]) -> Self {
        let desk = Desk::new().await;
        desk.import(&lines(cars));
        let key = partner(&desk, "acme");
        let server = desk.serve("sandbox");
        Self { desk, server, key }
    }

    async fn order(&self, car: &str, bid: i64) -> String {
        order(&self.server, &self.key, car, bid).await
    }

    async fn order_at_its_price(&self, car: &str) -> String {
        order(&self.server, &self.key, car, None).await
    }

    async fn get(&self, path: &str) -> Value {
        call(&self.server, &self.key, path).await.1
    }

    /// Returns an order's status with its reason, its auction, and the types of its events.
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

    /// Returns the last event of an order.
    async fn last_event(&self, id: &str) -> Value {
        self.get(&format!("/v1/orders/{id}/events")).await["data"][0]["payload"].clone()
    }

    async fn is_listed(&self, car: &str) -> bool {
        let question = format!("select withdrawn_at is null from vehicles where id = '{car}'");
        self.desk.ask(&question).await
    }

    /// Lets the auction of a car, and those of its orders, have been held some minutes ago.
    async fn auction_was_held(&self, car: &str) {
        self.desk
            .sql(&format!(
                "update vehicles set auction_date = now() - interval '5 minutes' where id = '{car}';
                 update orders set auction_date = now() - interval '5 minutes', order_cutoff_at = now() - interval '1 day'
                 where vehicle_id = '{car}'"
            ))
            .await;
    }
}

impl Desk {
    /// Imports a snapshot that may withdraw everything.
    fn snapshot(&self, sources: &str, text: &str) -> Output {
        self.run_with(&[&SNAPSHOT[..], &["--snapshot", sources]].concat(), text)
    }

    /// Begins an import of what will be written to its input.
    fn begin_import(&self) -> Child {
        let mut command = self.command(&["catalog", "import", "-", "--json"]);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    async fn eventually(&self, question: &str) {
        let started = Instant::now();
        while !self.ask::<bool>(question).await {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "it never happened: {question}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Returns an import's summary; it succeeded.
pub fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", words(output));
    documents(output).remove(0)
}

fn counts(output: &Output, names: [&str; 3]) -> [u64; 3] {
    let summary = done(output);
    names.map(|name| summary[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_moved_is_told_and_remembered() {
    let scene = Scene::with(&[lot("sk_1"), dealers("d_1")]).await;
    let lot_order = scene.order("sk_1", 12_000).await;
    let text = lines(&[priced(lot("sk_1"), 11_000), dealers("d_1")]);
    assert_eq!(scene.desk.import(&text), summary(2, 0, 1, 1));
    assert_eq!(scene.desk.import(&text), summary(2, 0, 0, 2));
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
    let car = scene.get("/v1/vehicles/sk_1").await;
    let history = car["pricing"]["history"].as_array().unwrap();
    let prices: Vec<_> = history.iter().map(|it| it["listing_usd"].clone()).collect();
    assert_eq!(prices, [10_000, 11_000]);
    assert_eq!(history[1]["recorded_at"], car["updated_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auction_that_moved_takes_its_orders_along_or_cancels_them() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let (moved, cancelled) = (
        scene.order("sk_1", 12_000).await,
        scene.order("sk_2", 12_000).await,
    );
    let soon = with(priced(lot("sk_2"), 11_000), "auction_date", TOO_SOON);
    let text = lines(&[with(lot("sk_1"), "auction_date", LATER), soon]);
    assert_eq!(scene.desk.import(&text), summary(2, 0, 2, 0));
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
        "no price is told any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_in_a_file_leaves_the_orders_to_lmn_and_is_not_unlearned() {
    let scene = Scene::with(&[lot("sk_1")]).await;
    let id = scene.order("sk_1", 12_000).await;
    let sold = lines(&[with(lot("sk_1"), "auction_result", "sold")]);
    assert_eq!(scene.desk.import(&sold), summary(1, 0, 1, 0));
    let (status, _, events) = scene.order_now(&id).await;
    assert_eq!((status.as_str(), events.len()), ("proceed -", 0));
    let learned = "select auction_result || auction_result_at::text from vehicles";
    let before: String = scene.desk.ask(learned).await;
    // A file that has not heard of it, twice.
    let late = lines(&[lot("sk_1")]);
    assert_eq!(scene.desk.import(&late), summary(1, 0, 0, 1));
    assert_eq!(scene.desk.import(&late), summary(1, 0, 0, 1));
    assert_eq!(scene.desk.ask::<String>(learned).await, before);
    scene.desk.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    assert_eq!(scene.order_now(&id).await.0, "secured -");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_is_listed_again_is_told_once_to_who_ordered_it() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let lost = scene.order("sk_1", 12_000).await;
    let open = scene.order("sk_2", 12_000).await;
    scene.desk.one(&["auction", "result", "sk_1", "outbid"]);
    // The same car under another name, and an auction that is over comes up again.
    let again = with(lot("aj_9"), "vin", "VINsk_1");
    let later = with(lot("sk_1"), "auction_date", LATER);
    for _ in 0..2 {
        scene.desk.import(&lines([&again, &later]));
    }
    let (_, _, events) = scene.order_now(&lost).await;
    let told = [
        "order.status_changed",
        "order.status_changed",
        "order.re_auctioned",
        "order.re_auctioned",
    ];
    assert_eq!(events, told);
    let mut news: Vec<Value> = scene.get("/v1/events?type=order.re_auctioned").await["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["payload"]["data"]["new_vehicle_id"].clone())
        .collect();
    news.sort_by_key(ToString::to_string);
    assert_eq!(news, ["aj_9", "sk_1"]);
    assert_eq!(scene.order_now(&open).await.2.len(), 0);
    let car = scene.get("/v1/vehicles/sk_1").await;
    assert_eq!(
        (&car["auction_result"], &car["auction_date"]),
        (&json!("upcoming"), &json!(LATER))
    );
    scene.order("sk_1", 12_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lmn_bought_or_took_off_is_held_back() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2"), dealers("d_1"), lot("sk_3")]).await;
    let id = scene.order("sk_1", 12_000).await;
    scene.desk.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    scene.desk.all(&["catalog", "withdraw", "sk_2"]);
    scene.desk.all(&["catalog", "withdraw", "d_1"]);
    let back = [
        with(lot("sk_1"), "auction_result", "no_bid"),
        priced(lot("sk_2"), 1_000),
        priced(dealers("d_1"), 1_000),
        lot("sk_3"),
    ];
    let mut expected = summary(4, 0, 0, 1);
    expected["held_back"] = 3.into();
    for _ in 0..2 {
        assert_eq!(scene.desk.import(&lines(&back)), expected);
    }
    assert_eq!(
        scene.get("/v1/vehicles/sk_1").await["auction_result"],
        "sold"
    );
    assert!(!scene.is_listed("sk_2").await && !scene.is_listed("d_1").await);
    // A later auction is another matter, but not of a car that is LMN's.
    let later = ["sk_1", "sk_2"].map(|id| with(lot(id), "auction_date", LATER));
    let mut expected = summary(2, 0, 1, 0);
    expected["held_back"] = 1.into();
    assert_eq!(scene.desk.import(&lines(&later)), expected);
    assert!(scene.is_listed("sk_2").await);
    assert_eq!(
        scene.get("/v1/vehicles/sk_1").await["auction_result"],
        "sold"
    );
    assert_eq!(scene.order_now(&id).await.0, "secured -");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lmn_has_changed_is_not_undone_by_the_same_line() {
    let scene = Scene::with(&[lot("sk_1")]).await;
    let id = scene.order("sk_1", 12_000).await;
    scene.desk.all(&["catalog", "price", "sk_1", "11000"]);
    scene.desk.all(&["auction", "reschedule", "sk_1", LATER]);
    assert_eq!(
        scene.desk.import(&lines(&[lot("sk_1")])),
        summary(1, 0, 0, 1)
    );
    let (status, date, events) = scene.order_now(&id).await;
    assert_eq!((status.as_str(), date), ("proceed -", json!(LATER)));
    assert_eq!(events, ["order.price_updated", "order.auction_rescheduled"]);
    let car = scene.get("/v1/vehicles/sk_1").await;
    assert_eq!(car["pricing"]["listing_usd"], 11_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lmn_took_off_it_can_put_back() {
    let scene = Scene::with(&[dealers("d_1"), dealers("d_2")]).await;
    let desk = &scene.desk;
    let id = scene.order_at_its_price("d_1").await;
    desk.all(&["catalog", "withdraw", "d_1"]);
    assert!(!scene.is_listed("d_1").await);
    desk.all(&["catalog", "restore", "d_1"]);
    assert!(scene.is_listed("d_1").await);
    let (status, _, events) = scene.order_now(&id).await;
    assert_eq!(status, "cancelled seller_withdrew");
    assert_eq!(events.last().unwrap(), "order.re_auctioned");
    assert_eq!(
        scene.desk.import(&lines(&[dealers("d_1")])),
        summary(1, 0, 0, 1)
    );

    let refused =
        |words: &str| assert!(desk.refused(&["catalog", "restore", "d_2"]).contains(words));
    refused("was not taken off");
    let bought = scene.order_at_its_price("d_2").await;
    desk.one(&["order", "advance", &bought, "acquiring"]);
    let amounts = ["--purchase-price", "9000", "--auction-fee", "0"];
    desk.one(&[&["order", "advance", &bought, "secured"], &amounts[..]].concat());
    refused("LMN has bought");
    assert!(
        desk.refused(&["catalog", "restore", "nobodys"])
            .contains("no such vehicle")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_off_what_it_leaves_out() {
    let scene = Scene::with(&[
        lot("sk_1"),
        lot("sk_2"),
        lot("sk_3"),
        with(lot("aj_1"), "source", "aj"),
        dealers("d_1"),
    ])
    .await;
    let gone = scene.order("sk_2", 12_000).await;
    // A line that is not right otherwise lists its car all the same.
    let text = lines(&[priced(lot("sk_1"), 9_000), with(lot("sk_3"), "year", 0)]);
    let output = scene.desk.snapshot("glovis,dealer", &text);
    assert_eq!(output.status.code(), Some(1), "a line was rejected");
    let mut expected = summary(2, 0, 1, 0);
    (expected["withdrawn"], expected["rejected"]) = (2.into(), 1.into());
    assert_eq!(documents(&output), [expected]);
    for (car, is_listed) in [
        ("sk_1", true),
        ("sk_2", false),
        ("sk_3", true),
        ("aj_1", true),
        ("d_1", false),
    ] {
        assert_eq!(scene.is_listed(car).await, is_listed, "{car}");
    }
    let (status, _, events) = scene.order_now(&gone).await;
    assert_eq!(status, "cancelled seller_withdrew");
    assert_eq!(events, ["order.status_changed"]);
    // What its source took off its source brings back.
    let back = lines(&[lot("sk_1"), lot("sk_2"), lot("sk_3"), dealers("d_1")]);
    assert_eq!(
        done(&scene.desk.snapshot("dealer,glovis", &back)),
        summary(4, 0, 3, 1)
    );
    assert!(scene.is_listed("sk_2").await && scene.is_listed("d_1").await);
    assert_eq!(
        scene.order_now(&gone).await.2,
        ["order.status_changed", "order.re_auctioned"]
    );
    assert_eq!(
        done(&scene.desk.snapshot("glovis", &back)),
        summary(4, 0, 0, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lot_whose_auction_was_held_goes_and_its_orders_wait_for_the_result() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2"), lot("sk_3")]).await;
    let (won, failed) = (
        scene.order("sk_1", 12_000).await,
        scene.order("sk_2", 12_000).await,
    );
    for car in ["sk_1", "sk_2"] {
        scene.auction_was_held(car).await;
    }
    let mut expected = summary(1, 0, 0, 1);
    expected["withdrawn"] = 2.into();
    assert_eq!(
        done(&scene.desk.snapshot("glovis", &lines(&[lot("sk_3")]))),
        expected
    );
    for (order, car) in [(&won, "sk_1"), (&failed, "sk_2")] {
        assert!(!scene.is_listed(car).await);
        let (status, _, events) = scene.order_now(order).await;
        assert_eq!((status.as_str(), events.len()), ("proceed -", 0));
    }
    // LMN tells one result; of the other nobody says anything for a day.
    scene.desk.one(&[
        "auction", "result", "sk_1", "won", "--price", "11000", "--fee", "1",
    ]);
    assert_eq!(scene.order_now(&won).await.0, "secured -");
    scene
        .desk
        .sql(
            "update orders set auction_date = now() - interval '25 hours' where status = 'proceed'",
        )
        .await;
    let url = scene.desk.database.url();
    let _worker = Process::start(
        &["worker", "--json"],
        &[("DATABASE_URL", url.as_str()), ("LMN_LOG__FILTER", "off")],
    );
    scene
        .desk
        .eventually("select exists (select from orders where failure_reason = 'auction_passed')")
        .await;
    assert_eq!(scene.order_now(&failed).await.0, "failed auction_passed");
    // The car that was bought stays off, whatever the file says of that auction.
    let mut expected = summary(1, 0, 0, 0);
    expected["held_back"] = 1.into();
    let sold = with(lot("sk_1"), "auction_result", "no_bid");
    assert_eq!(scene.desk.import(&lines(&[sold])), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_which_anything_is_in_doubt_takes_nothing_off() {
    let scene = Scene::with(&[lot("sk_1"), lot("sk_2")]).await;
    let nameless = format!("{}nonsense\n", lines(&[lot("sk_1")]));
    for (text, doubt) in [
        ("", "the file lists nothing at all"),
        (nameless.as_str(), "line 2 does not say"),
    ] {
        let output = scene.desk.snapshot("glovis", text);
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains(doubt), "{}", words(&output));
        assert!(words(&output).contains("no vehicle was withdrawn"));
        assert_eq!(documents(&output)[0]["withdrawn"], 0);
        assert!(scene.is_listed("sk_2").await);
    }
    let wrong = scene.desk.snapshot("ebay", "");
    assert_eq!(wrong.status.code(), Some(2), "{}", words(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_spares_what_came_or_changed_since_it_began_and_waits_for_another() {
    let desk = Desk::new().await;
    desk.import(&lines(&[lot("sk_1"), lot("sk_2"), lot("sk_3")]));
    let mut command = desk.command(&[&SNAPSHOT[..], &["--snapshot", "glovis"]].concat());
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut first = command.spawn().unwrap();
    let begun = "select count(*) = 2 from audit_log where action = 'catalog.import_started'";
    desk.eventually(begun).await;
    desk.import(&lines(&[lot("sk_4"), priced(lot("sk_2"), 8_000)]));
    let mut second = command.spawn().unwrap();
    let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted)";
    desk.eventually(waits).await;
    write!(first.stdin.take().unwrap(), "{}", lines(&[lot("sk_1")])).unwrap();
    let mut expected = summary(1, 0, 0, 1);
    expected["withdrawn"] = 1.into();
    assert_eq!(done(&first.wait_with_output().unwrap()), expected);
    let listed = "select string_agg(id, ' ' order by id) from vehicles where withdrawn_at is null";
    assert_eq!(desk.ask::<String>(listed).await, "sk_1 sk_2 sk_4");
    write!(second.stdin.take().unwrap(), "{}", lines(&[lot("sk_3")])).unwrap();
    let mut expected = summary(1, 0, 1, 0);
    expected["withdrawn"] = 3.into();
    assert_eq!(done(&second.wait_with_output().unwrap()), expected);
    assert_eq!(desk.ask::<String>(listed).await, "sk_3");
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_at_once_leave_every_car_whole_and_each_price_once() {
    let desk = Desk::new().await;
    let cheap = demo("2500");
    let mut dear = cars(&cheap);
    for car in &mut dear {
        car["pricing"]["listing_usd"] =
            (car["pricing"]["listing_usd"].as_i64().unwrap() + 1).into();
        car["color"] = "Emerald".into();
    }
    let dear = lines(&dear);
    // Backwards, so that they meet.
    let backwards: String = cheap.lines().rev().flat_map(|line| [line, "\n"]).collect();
    let outputs = std::thread::scope(|scope| {
        let runs = [cheap.as_str(), &backwards, &dear];
        let runs = runs
            .map(|text| scope.spawn(|| desk.run_with(&["catalog", "import", "-", "--json"], text)));
        runs.map(|run| run.join().unwrap())
    });
    let sums = outputs
        .each_ref()
        .map(|it| counts(it, ["inserted", "updated", "unchanged"]));
    let inserted: u64 = sums.iter().map(|it| it[0]).sum();
    assert_eq!(inserted, 2_500, "{sums:?}");
    let strange =
        "select count(*) from vehicles where (color = 'Emerald') <> (summary like '%Emerald%')
                   or summary not like '%\"listing_usd\":' || listing_usd || '}%'";
    assert_eq!(desk.ask::<i64>(strange).await, 0);
    let doubled = "select count(*) from vehicle_prices join vehicles on vehicles.id = vehicle_id
                   where recorded_at >= priced_at";
    assert_eq!(desk.ask::<i64>(doubled).await, 0);
    assert_eq!(desk.import(&cheap)["inserted"], 0);
    assert_eq!(desk.import(&backwards), summary(2_500, 0, 0, 2_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_leaves_whole_batches_and_is_run_again() {
    let desk = Desk::new().await;
    let text = demo("1500");
    let mut import = desk.begin_import();
    write!(import.stdin.as_mut().unwrap(), "{text}").unwrap();
    desk.eventually("select count(*) > 0 from vehicles").await;
    import.kill().unwrap();
    import.wait().unwrap();
    assert_eq!(
        desk.ask::<i64>("select count(*) from vehicles").await,
        1_000
    );
    assert_eq!(desk.import(&text), summary(1_500, 500, 0, 1_000));
    let cut_off = "select count(*) filter (where action = 'catalog.import_started')
                        - count(*) filter (where action = 'catalog.imported') from audit_log";
    assert_eq!(desk.ask::<i64>(cut_off).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_no_import_but_that_of_its_own_car() {
    let cars = ["sk_1", "sk_2", "sk_3", "sk_4"].map(lot);
    let scene = Scene::with(&cars).await;
    // Somebody holds a car, so the import stops in the middle of its batch.
    let mut holder = scene.desk.database.pool.begin().await.unwrap();
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
    let mut import = scene.desk.begin_import();
    write!(import.stdin.take().unwrap(), "{text}").unwrap();
    let waits = "select exists (select from pg_locks where locktype in ('tuple', 'transactionid') and not granted)";
    scene.desk.eventually(waits).await;
    // It waits all the while; had it given up and begun anew, an order could have slipped in between.
    let since = "select min(xact_start)::text from pg_stat_activity where wait_event_type = 'Lock'";
    let before: String = scene.desk.ask(since).await;
    for car in ["sk_2", "sk_4"] {
        scene.order(car, 12_000).await;
    }
    assert_eq!(scene.desk.ask::<Option<String>>(since).await, Some(before));
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
    let two = "select count(*) = 2 from pg_locks where locktype in ('tuple', 'transactionid') and not granted";
    scene.desk.eventually(two).await;
    holder.rollback().await.unwrap();
    assert_eq!(
        done(&import.wait_with_output().unwrap()),
        summary(4, 1, 2, 1)
    );
    assert_eq!(
        own.await.unwrap(),
        201,
        "it bids on the car as the import has left it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_kept_as_they_were() {
    let desk = Desk::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rejects");
    let file = file.to_str().unwrap();
    let bad = with(lot("sk_1"), "year", 0);
    let text = format!("{}\n\n{bad}\n\"한\n{}\n", lot("sk_2"), "x".repeat(300_000));
    let output = desk.run_with(&["catalog", "import", "-", "--rejects", file], &text);
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
    let refused = desk.refused(&[
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

/// Cars with whatever a text may hold, often of what the database's own forms are made of.
fn hostile_cars(count: usize) -> Vec<Value> {
    let special = "\\\"'{},\t\n\r\u{8}\u{b}\u{7f}\u{2028}NxÄ한🚗:&|!*() ";
    let special = proptest::sample::select(special.chars().collect::<Vec<_>>());
    let other = any::<char>().prop_filter("no text has it", |it| *it != '\0');
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
    let mut car = |n| {
        let mut car = lot(&format!("sk_{n}"));
        for member in members {
            car[member] = sample().into();
        }
        for member in ["options", "photos"] {
            car[member] = json!([sample(), sample()]);
        }
        let items = json!([{"part": sample(), "finding": sample()}]);
        car["inspection"] =
            json!({"inspected_on": "2026-04-01", "summary": sample(), "items": items});
        car
    };
    (0..count).map(&mut car).collect()
}

/// Sees that each car is read back as it was written, and that the import renders it as the other writer does.
async fn assert_written(desk: &Desk, cars: &[Value]) {
    for car in cars {
        let id = car["id"].as_str().unwrap();
        let row = format!("select to_jsonb(vehicles) from vehicles where id = '{id}'");
        let row: Value = desk.ask(&row).await;
        for (member, value) in car.as_object().unwrap() {
            if !["pricing", "auction_date", "listed_at"].contains(&member.as_str()) {
                assert_eq!(row[member], *value, "{id} {member}");
            }
        }
    }
    let rendered = "select string_agg(concat_ws('/', id, summary, detail), ',' order by id)
                    from vehicles where summary is not null and detail is not null";
    let before: String = desk.ask(rendered).await;
    desk.sql("update vehicles set summary = null, detail = null")
        .await;
    render_all(&desk.database.product, 500).await.unwrap();
    assert!(desk.ask::<String>(rendered).await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_read_back_as_it_was_written() {
    let desk = Desk::new().await;
    let cars = hostile_cars(300);
    assert_eq!(desk.import(&lines(&cars)), summary(300, 300, 0, 0));
    assert_written(&desk, &cars).await;
    // And once more as changes of what is there.
    let others = cars.iter().rev();
    let changed: Vec<_> = cars
        .iter()
        .zip(others)
        .map(|(car, other)| with(other.clone(), "id", car["id"].clone()))
        .collect();
    assert_eq!(desk.import(&lines(&changed)), summary(300, 0, 300, 0));
    assert_written(&desk, &changed).await;
}
