//! Both example integrations place every order once, whatever happens to the responses, and receive every event once
//! and in order.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lmn_partner_api::orders::state_machine::Transition;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    program::{Language, Program, Times, Workspace},
    proxy::{FAULTS, Fault, Proxy},
};
use crate::{
    database::TestDatabase,
    process::Process,
    support::{Operator, Partner, Vehicle, eventually, key, secure, settings},
};

/// Orders to place.
const ORDERS: usize = 6;

/// Starts a server with a worker, and adds vehicles.
async fn serve(database: &TestDatabase) -> Process {
    for n in 0..ORDERS + 1 {
        Vehicle::lot(&format!("glovis_{n}")).insert(database).await;
    }
    let arguments = ["serve", "--json"];
    Process::on(&database.url(), &arguments, &[settings::LOCAL_ENDPOINTS])
}

/// Runs blocking steps with a program beside the test.
async fn run<T: Send + 'static>(part: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(part).await.unwrap()
}

/// Returns the orders, oldest first.
async fn orders(acme: &Partner) -> Vec<Value> {
    acme.rows("/v1/orders?sort=created_asc").await
}

async fn orders_once(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::start(server.url()).await;
    let workspace = Workspace::new(&acme.api_key);

    // The program is killed in the middle of its orders, and started again.
    let url = proxy.url.clone();
    let (program, workspace) = run(move || {
        let mut killed = Program::start(language, &url, &workspace, ORDERS, Times::USUAL);
        killed.until("placed");
        drop(killed);
        let mut program = Program::start(language, &url, &workspace, ORDERS, Times::USUAL);
        program.until("done");
        (program, workspace)
    })
    .await;

    let made = orders(&acme).await;
    let vehicles: BTreeSet<_> = made.iter().map(|it| it["vehicle_id"].to_string()).collect();
    assert_eq!(
        (made.len(), vehicles.len()),
        (ORDERS, ORDERS),
        "{:#?}",
        program.output
    );
    let listed = format!("listed    {ORDERS} orders, 0 events");
    assert!(program.output.contains(&listed), "{:#?}", program.output);
    let faults = proxy.occurred("GET /v1/orders?limit=2");
    assert!(
        faults.len() > FAULTS.len() / 3,
        "pages fail, too: {faults:?}"
    );
    let keys = workspace.keys();
    assert_eq!(keys.len(), ORDERS);
    for key in &keys {
        let path = format!("/v1/orders?idempotency_key={key}");
        assert_eq!(
            acme.rows(&path).await.len(),
            1,
            "one order per intended order"
        );
    }
    assert!(proxy.never_answered().is_some_and(|it| keys.contains(&it)));
    let all = BTreeSet::from(FAULTS);
    assert_eq!(
        proxy.occurred("POST /v1/orders "),
        all,
        "every fault has occurred"
    );
    assert!(proxy.occurred("GET /v1/vehicles?").len() > FAULTS.len() / 2);

    let order = made[0]["id"].as_str().unwrap().to_owned();
    let steps = [Transition::Acquire, secure(10_200, 0), Transition::Ship];
    Operator::at(&database.product).takes(&order, &steps).await;
    check_events(program, &acme, order).await;

    let url = proxy.url.clone();
    let listed = run(move || {
        let mut program = Program::start(language, &url, &workspace, ORDERS, Times::USUAL);
        program.until("listed")
    });
    let expected = format!("listed    {ORDERS} orders, 3 events");
    assert_eq!(listed.await, expected, "every page of events is read");
}

/// Checks that the program receives the events of an order once, in order and verified, and refuses forged ones.
async fn check_events(mut program: Program, acme: &Partner, order: String) {
    let (mut program, endpoint) = run(move || {
        for (n, status) in ["acquiring", "secured", "shipping"].iter().enumerate() {
            let line = program.until("verified");
            let place = format!("order {order} #{} (in order): {status}", n + 1);
            assert!(line.ends_with(&place), "{line}");
        }
        let endpoint = program.output[0].clone();
        (program, endpoint)
    })
    .await;
    let event = acme.get("/v1/events").await.ids().remove(0);
    // The event can be sent again only after its delivery is recorded.
    eventually("the delivery is recorded", async || {
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
        assert!(program.output.iter().any(forged) || program.until("refused").contains("not from"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_integration_orders_once_whatever_happens_to_the_responses() {
    orders_once(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_integration_orders_once_whatever_happens_to_the_responses() {
    orders_once(Language::Python).await;
}

/// Checks that a program looks up an order whose responses are always too slow.
async fn check_unanswered_order(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::with_one(server.url(), &[Fault::Drip]).await;
    let workspace = Workspace::new(&acme.api_key);
    let url = proxy.url.clone();
    let (output, took) = run(move || {
        // The timeout of an attempt is longer than that of all attempts together.
        let times = Times {
            attempt: 60_000,
            total: 2_000,
        };
        let mut program = Program::start(language, &url, &workspace, 1, times);
        program.until("Events");
        let begun = Instant::now();
        program.until("unclear   glovis_0");
        let took = begun.elapsed();
        program.until("done");
        (std::mem::take(&mut program.output), took)
    })
    .await;
    // The whole response would have taken more than twenty seconds.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let made = orders(&acme).await;
    assert_eq!(made.len(), 1);
    let placed = format!(
        "placed    glovis_0 order {}",
        made[0]["id"].as_str().unwrap()
    );
    assert!(output.contains(&placed), "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_integration_looks_up_an_unanswered_order_in_time() {
    check_unanswered_order(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_integration_looks_up_an_unanswered_order_in_time() {
    check_unanswered_order(Language::Python).await;
}

/// Checks that a refused API key leaves the outcomes of orders open, and that a refused order gets its error code.
async fn check_refused_key(language: Language) {
    let database = TestDatabase::new().await;
    let past = Vehicle::lot("glovis_past").auction_in_hours(1);
    let cheapest = Vehicle {
        listing_usd: 9_000,
        ..past
    };
    // The server loads it at its start; a later vehicle would show up only after a moment.
    cheapest.insert(&database).await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let proxy = Proxy::with_one(server.url(), &[Fault::WrongKey]).await;
    let workspace = Workspace::new(&acme.api_key);
    let (faulty, url) = (proxy.url.clone(), server.url().to_owned());
    let (keys, workspace) = run(move || {
        let mut program = Program::start(language, &faulty, &workspace, 2, Times::USUAL);
        assert!(!program.ends(), "{:#?}", program.output);
        assert_eq!(workspace.journal("outcome"), [Value::Null, Value::Null]);
        let keys = workspace.keys();
        let mut program = Program::start(language, &url, &workspace, 2, Times::USUAL);
        program.until("done");
        (keys, workspace)
    })
    .await;
    assert_eq!(workspace.keys(), keys);
    let made = orders(&acme).await;
    assert_eq!(made.len(), 1);
    let outcomes = [json!("past_order_cutoff"), made[0]["id"].clone()];
    assert_eq!(workspace.journal("outcome"), outcomes);
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_integration_leaves_orders_open_when_its_key_is_refused() {
    check_refused_key(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_integration_leaves_orders_open_when_its_key_is_refused() {
    check_refused_key(Language::Python).await;
}
