//! Both integrations: every order once, whatever becomes of the answers, and every event once and in order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lmn_partner_api::orders::advance::Advance;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    program::{Desk, Language, Program, Times},
    proxy::{FAULTS, Fault, Proxy},
};
use crate::{
    database::TestDatabase,
    process::Process,
    support::{Car, Operator, Partner, eventually, key, secure},
};

/// How many orders shall be made.
const ORDERS: usize = 6;

/// A service with a worker, and cars.
async fn serve(database: &TestDatabase) -> Process {
    let url = database.url();
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8"),
        ("LMN_LOG__FILTER", "error"),
    ];
    for n in 0..ORDERS + 1 {
        Car::lot(&format!("glovis_{n}")).insert(database).await;
    }
    Process::start(&["serve", "--json"], &variables)
}

/// Runs a part of a program's life beside the test.
async fn run<T: Send + 'static>(part: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(part).await.unwrap()
}

/// Reads the orders, the first one first.
async fn orders(acme: &Partner) -> Vec<Value> {
    acme.rows("/v1/orders?sort=created_asc").await
}

async fn orders_once(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::start(server.url()).await;
    let desk = Desk::new(&acme.api_key);

    // Killed in the middle of its orders, and started again.
    let url = proxy.url.clone();
    let (program, desk) = run(move || {
        let mut killed = Program::start(language, &url, &desk, ORDERS, Times::USUAL);
        killed.until("placed");
        drop(killed);
        let mut program = Program::start(language, &url, &desk, ORDERS, Times::USUAL);
        program.until("done");
        (program, desk)
    })
    .await;

    let made = orders(&acme).await;
    let cars: BTreeSet<_> = made.iter().map(|it| it["vehicle_id"].to_string()).collect();
    assert_eq!(
        (made.len(), cars.len()),
        (ORDERS, ORDERS),
        "{:#?}",
        program.said
    );
    let keys = desk.keys();
    assert_eq!(keys.len(), ORDERS);
    for key in &keys {
        let path = format!("/v1/orders?idempotency_key={key}");
        assert_eq!(acme.rows(&path).await.len(), 1, "an order an intention");
    }
    assert!(proxy.never_answered().is_some_and(|it| keys.contains(&it)));
    let all = BTreeSet::from(FAULTS);
    assert_eq!(proxy.struck("POST /v1/orders "), all, "every fault struck");
    assert!(proxy.struck("GET /v1/vehicles?").len() > FAULTS.len() / 2);

    let order = made[0]["id"].as_str().unwrap().to_owned();
    let steps = [Advance::Acquire, secure(10_200, 0), Advance::Ship];
    Operator::at(&database.product).takes(&order, &steps).await;
    takes_once(program, &acme, order).await;
}

/// What LMN does arrives once, in order, and verified; what somebody else says is refused.
async fn takes_once(mut program: Program, acme: &Partner, order: String) {
    let (mut program, endpoint) = run(move || {
        for (n, status) in ["acquiring", "secured", "shipping"].iter().enumerate() {
            let line = program.until("verified");
            let place = format!("order {order} #{} (in order): {status}", n + 1);
            assert!(line.ends_with(&place), "{line}");
        }
        let endpoint = program.said[0].clone();
        (program, endpoint)
    })
    .await;
    let event = acme.get("/v1/events").await.ids().remove(0);
    // Until its answer is recorded it waits, and is sent no second time.
    eventually("it is known to be delivered", async || {
        let row = acme.get(&format!("/v1/events/{event}")).await.ok();
        (row["delivery_status"] == "delivered").then_some(())
    })
    .await;
    acme.post(&format!("/v1/events/{event}/redeliver"), json!({}))
        .await
        .expect(202);
    let endpoint = endpoint
        .rsplit_once(" to ")
        .unwrap()
        .1
        .trim_end_matches('.');
    let forged = reqwest::Client::new()
        .request(Method::POST, endpoint)
        .header("x-lmn-signature", "t=1,v1=00")
        .body(json!({"id": key()}).to_string());
    assert_eq!(forged.send().await.unwrap().status(), 401);
    run(move || {
        let again = program.until("again");
        assert!(again.ends_with(&event), "{again}");
        let forged = |it: &String| it.starts_with("refused: not from LMN");
        assert!(program.said.iter().any(forged) || program.until("refused").contains("not from"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_integration_in_rust_orders_once_whatever_becomes_of_the_answers() {
    orders_once(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_integration_in_python_orders_once_whatever_becomes_of_the_answers() {
    orders_once(Language::Python).await;
}

/// Everything that a program says of one order whose answer comes too slowly for ever.
async fn unlucky(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::with_one(server.url(), &[Fault::Drip]).await;
    let desk = Desk::new(&acme.api_key);
    let url = proxy.url.clone();
    let (said, took) = run(move || {
        // An attempt may take longer than all of them together.
        let times = Times {
            attempt: 60_000,
            total: 2_000,
        };
        let mut program = Program::start(language, &url, &desk, 1, times);
        program.until("Events");
        let begun = Instant::now();
        program.until("unclear   glovis_0");
        let took = begun.elapsed();
        program.until("done");
        (std::mem::take(&mut program.said), took)
    })
    .await;
    // Byte by byte it would have taken twenty seconds and more.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let made = orders(&acme).await;
    assert_eq!(made.len(), 1);
    let placed = format!(
        "placed    glovis_0 order {}",
        made[0]["id"].as_str().unwrap()
    );
    assert!(said.contains(&placed), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_never_answered_is_looked_up_in_time_in_rust() {
    unlucky(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_never_answered_is_looked_up_in_time_in_python() {
    unlucky(Language::Python).await;
}

/// A key that is refused settles nothing; an order that is refused is settled with its code.
async fn keyless(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let past = Car::lot("glovis_past").on("now() + interval '1 hour'");
    let cheapest = Car {
        listing_usd: 9_000,
        ..past
    };
    cheapest.insert(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::with_one(server.url(), &[Fault::WrongKey]).await;
    let desk = Desk::new(&acme.api_key);
    let (spoilt, url) = (proxy.url.clone(), server.url().to_owned());
    let (keys, desk) = run(move || {
        let mut program = Program::start(language, &spoilt, &desk, 2, Times::USUAL);
        assert!(!program.ends(), "{:#?}", program.said);
        assert_eq!(desk.journal("outcome"), [Value::Null, Value::Null]);
        let keys = desk.keys();
        let mut program = Program::start(language, &url, &desk, 2, Times::USUAL);
        program.until("done");
        (keys, desk)
    })
    .await;
    assert_eq!(desk.keys(), keys);
    let made = orders(&acme).await;
    assert_eq!(made.len(), 1);
    let outcomes = [json!("past_order_cutoff"), made[0]["id"].clone()];
    assert_eq!(desk.journal("outcome"), outcomes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_settles_nothing_in_rust() {
    keyless(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_settles_nothing_in_python() {
    keyless(Language::Python).await;
}
