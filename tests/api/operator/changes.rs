//! The feed of all that happens to orders.

use lmn_partner_api::{operators::model::Role, orders::state_machine::Transition};
use serde_json::Value;
use sqlx::Connection;

use crate::support::{OperatorApi, Service, Vehicle, eventually};

/// Returns the changes after a position, read page after page.
async fn follow(vera: &OperatorApi, after: Option<&str>, limit: u8) -> Vec<Value> {
    let after = after.map(|it| format!("&after={it}")).unwrap_or_default();
    let begin = format!("/changes?limit={limit}{after}");
    let (mut path, mut changes) = (begin.clone(), Vec::new());
    loop {
        let page = vera.get(&path).await.ok();
        changes.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("{begin}&cursor={next}"),
            None => return changes,
        }
    }
}

/// Returns the feed once it has some changes: it waits for transactions in progress, also those of other tests.
async fn whole_feed(vera: &OperatorApi, changes: usize) -> Vec<Value> {
    eventually("the feed has every change", async || {
        let feed = follow(vera, None, 200).await;
        (feed.len() == changes).then_some(feed)
    })
    .await
}

/// Returns the action and the order of each change.
fn told(changes: &[Value]) -> Vec<(&str, &str)> {
    let pairs = changes.iter().map(|it| (&it["action"], &it["order_id"]));
    pairs
        .map(|(action, order)| (action.as_str().unwrap(), order.as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn feed_has_every_change_once_in_order_with_any_page() {
    let service = Service::start().await;
    let (acme, bolt) = (service.partner("acme").await, service.partner("bolt").await);
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let first = acme.place_order("glovis_1", 12_000).await.id();
    let second = bolt.place_order("glovis_2", 12_000).await.id();
    bolt.cancel(&second).await.ok();
    service.operator().ships(&first).await;

    let whole = whole_feed(&vera, 6).await;
    let expected = [
        ("order.placed", first.as_str()),
        ("order.placed", second.as_str()),
        ("order.cancelled", second.as_str()),
        ("order.advanced", first.as_str()),
        ("order.advanced", first.as_str()),
        ("order.advanced", first.as_str()),
    ];
    assert_eq!(told(&whole), expected);
    assert_eq!(
        (&whole[0]["partner"]["name"], &whole[1]["partner"]["name"]),
        (&"acme".into(), &"bolt".into())
    );
    for limit in [1, 2, 3] {
        assert_eq!(follow(&vera, None, limit).await, whole, "{limit}");
    }
    for (n, change) in whole.iter().enumerate() {
        let rest = follow(&vera, change["position"].as_str(), 2).await;
        assert_eq!(rest, whole[n + 1..], "after {n}");
    }
    let issues = vera.get("/changes?after=7").await.issues();
    assert_eq!(issues, [("after".to_owned(), "INVALID_FORMAT".to_owned())]);
}

#[tokio::test]
async fn change_behind_an_older_open_transaction_waits_for_it() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut older = sqlx::PgConnection::connect(&service.database.url())
        .await
        .unwrap();
    for statement in ["begin", "select pg_current_xact_id()"] {
        sqlx::raw_sql(statement).execute(&mut older).await.unwrap();
    }
    let order = acme.place_order("glovis_1", 12_000).await.id();
    service
        .operator()
        .takes(&order, &[Transition::Acquire])
        .await;
    assert!(follow(&vera, None, 50).await.is_empty());
    sqlx::raw_sql("commit").execute(&mut older).await.unwrap();
    let changes = whole_feed(&vera, 2).await;
    assert_eq!(
        told(&changes),
        [
            ("order.placed", order.as_str()),
            ("order.advanced", order.as_str())
        ]
    );
}
