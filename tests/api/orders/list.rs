//! The list of orders: its filters, its sorts, and paging while orders are placed and cancelled.

use std::collections::HashMap;

use lmn_partner_api::errors::catalogue::Code;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use crate::support::{Partner, Service, Vehicle, settings};

/// Places three orders, a day apart: one cancelled, one open on a lot, one open on a dealer's vehicle.
async fn place_three_orders(service: &Service, acme: &Partner) -> [String; 3] {
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-05-20T13:00:00+09:00"))
        .await;
    service
        .vehicle(Vehicle::lot("glovis_2").auction_at("2026-05-10T13:00:00+09:00"))
        .await;
    service.vehicle(Vehicle::dealers("encar_3")).await;
    let mut ids = Vec::new();
    for (n, (vehicle, bid)) in [
        ("glovis_1", Some(12_000)),
        ("glovis_2", Some(12_000)),
        ("encar_3", None),
    ]
    .into_iter()
    .enumerate()
    {
        service
            .time_is(&format!("2026-04-0{}T10:00:00+09:00", n + 1))
            .await;
        ids.push(acme.place_order(vehicle, bid).await.id());
    }
    service.time_is("2026-04-09T10:00:00+09:00").await;
    acme.cancel(&ids[0]).await.ok();
    ids.try_into().unwrap()
}

#[tokio::test]
async fn filters_are_joined_by_and() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let [one, two, three] = place_three_orders(&service, &acme).await;
    for (query, expected) in [
        ("", vec![&three, &two, &one]),
        ("status=proceed", vec![&three, &two]),
        ("status=cancelled,proceed", vec![&three, &two, &one]),
        ("status=delivered", vec![]),
        ("vehicle_id=glovis_2", vec![&two]),
        ("vehicle_id=glovis_2&status=cancelled", vec![]),
        ("vehicle_id=unknown%20vehicle", vec![]),
        (&format!("ids={one},nonsense,{three}"), vec![&three, &one]),
        ("ids=nonsense", vec![]),
        // The range includes `from` and excludes `to`. An unencoded plus sign stays a plus sign.
        (
            "from=2026-04-02T10:00:00%2B09:00&to=2026-04-03T10:00:00%2B09:00",
            vec![&two],
        ),
        (
            "from=2026-04-02T10:00:00+09:00&to=2026-04-03T10:00:00.001+09:00",
            vec![&three, &two],
        ),
        ("to=2026-04-02T01:00:00+00:00", vec![&one]),
        (
            "from=2026-04-02T10:00:00+09:00&to=2026-04-02T10:00:00+09:00",
            vec![],
        ),
    ] {
        let found = acme.get(&format!("/v1/orders?{query}")).await.ids();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn invalid_filters_are_all_reported_at_once() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let many = vec!["x"; 101].join(",");
    for (query, expected) in [
        (
            "from=2026-04-02T10:00:00%2B09:00".to_owned(),
            vec!["from REQUIRES"],
        ),
        (
            "from=2026-04-03T10:00:00%2B09:00&to=2026-04-02T10:00:00%2B09:00".into(),
            vec!["from OUT_OF_RANGE"],
        ),
        (
            "to=2026-04-02T10:00:00Z&status=lost,proceed".into(),
            vec!["status INVALID_VALUE", "to INVALID_FORMAT"],
        ),
        (
            "to=yesterday&sort=up".into(),
            vec!["to INVALID_FORMAT", "sort INVALID_VALUE"],
        ),
        (format!("ids={many}"), vec!["ids TOO_MANY"]),
        ("vehicle_id=".into(), vec!["vehicle_id INVALID_VALUE"]),
    ] {
        let issues = acme.get(&format!("/v1/orders?{query}")).await.issues();
        let issues: Vec<_> = issues
            .iter()
            .map(|(path, issue)| format!("{path} {issue}"))
            .collect();
        assert_eq!(issues, expected, "{query}");
    }
}

#[tokio::test]
async fn every_sort_has_its_order_and_its_cursor() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let [one, two, three] = place_three_orders(&service, &acme).await;
    for (sort, expected) in [
        ("created_desc", [&three, &two, &one]),
        ("created_asc", [&one, &two, &three]),
        ("auction_date_asc", [&two, &one, &three]),
        ("updated_desc", [&one, &three, &two]),
    ] {
        let listed = list_all(&acme, &format!("sort={sort}&limit=1"), async || ()).await;
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{sort}");
        let cursor = acme
            .get(&format!("/v1/orders?sort={sort}&limit=1"))
            .await
            .json()["next_cursor"]
            .clone();
        let other = if sort == "created_asc" {
            "created_desc"
        } else {
            "created_asc"
        };
        for (query, reason) in [
            (format!("sort={other}"), "sort_mismatch"),
            (format!("sort={sort}&status=proceed"), "filter_mismatch"),
        ] {
            let path = format!("/v1/orders?{query}&cursor={}", cursor.as_str().unwrap());
            assert_eq!(
                acme.get(&path).await.refused(400, Code::InvalidCursor)["reason"],
                reason
            );
        }
    }
}

#[tokio::test]
async fn page_links_to_the_next_one() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let [one, two, three] = place_three_orders(&service, &acme).await;
    let mut path =
        "/v1/orders?status=proceed,cancelled&to=2027-01-01T00:00:00%2B09:00&limit=2".to_owned();
    let first = acme.get(&path).await;
    assert_eq!(first.ids(), [three, two]);
    let link = first.header("link").to_owned();
    path = link
        .strip_prefix('<')
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap()
        .to_owned();
    assert!(
        path.starts_with("/v1/orders?status=proceed%2Ccancelled&to=2027"),
        "{path}"
    );
    let last = acme.get(&path).await;
    assert_eq!(last.ids(), [one]);
    assert_eq!(last.header("link"), "");
    assert!(last.json()["next_cursor"].is_null());
}

/// Reads all pages of the list and returns the ids; calls `meanwhile` after every page.
async fn list_all(partner: &Partner, query: &str, meanwhile: impl AsyncFn()) -> Vec<String> {
    let mut path = format!("/v1/orders?{query}");
    let mut listed = Vec::new();
    loop {
        let page = partner.get(&path).await;
        listed.extend(page.ids());
        meanwhile().await;
        match page.header("link") {
            "" => return listed,
            link => path = link[1..link.find('>').unwrap()].to_owned(),
        }
    }
}

/// A random case: orders placed at random times, and the writes between the pages of a list.
#[derive(Debug, Clone)]
struct History {
    /// Minutes at which the orders were placed; several share a minute.
    placed: Vec<u8>,
    sort: &'static str,
    limit: usize,
    /// After each page: the order that is cancelled, and whether a new order is placed.
    changes: Vec<(prop::sample::Index, bool)>,
}

fn history() -> impl Strategy<Value = History> {
    let sort = prop::sample::select(vec![
        "created_desc",
        "created_asc",
        "auction_date_asc",
        "updated_desc",
    ]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6);
    (
        prop::collection::vec(0..5_u8, 1..12),
        sort,
        1..5_usize,
        changes,
    )
        .prop_map(|(placed, sort, limit, changes)| History {
            placed,
            sort,
            limit,
            changes,
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_orders_are_listed_exactly_once_during_concurrent_writes() {
    // Each case adds a partner; the default burst of unknown keys from one address is too small for all of them.
    let service = Service::with(&[settings::unknown_key_burst(100)]).await;
    let histories = {
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        (0..24)
            .map(|_| history().new_tree(&mut runner).unwrap().current())
            .collect::<Vec<_>>()
    };
    for (n, history) in histories.into_iter().enumerate() {
        let acme = service.partner(&format!("acme {n}")).await;
        let place = async |name: String, minute: u8| {
            service
                .time_is(&format!("2026-04-01T10:{minute:02}:00+09:00"))
                .await;
            let day = minute % 3 + 10;
            let vehicle = match minute % 4 {
                3 => Vehicle::dealers(&name),
                _ => Vehicle::lot(&name).auction_at(&format!("2026-05-{day}T13:00:00+09:00")),
            };
            let bid = vehicle.auction_date.is_some().then_some(12_000);
            acme.place_order(&service.vehicle(vehicle).await.id, bid)
                .await
                .id()
        };
        let mut before = Vec::new();
        for (i, minute) in history.placed.iter().enumerate() {
            before.push(place(format!("vehicle_{n}_{i}"), *minute).await);
        }
        let changes = std::sync::Mutex::new(history.changes.into_iter().enumerate());
        let changed = std::sync::Mutex::new(Vec::new());
        let listed = list_all(
            &acme,
            &format!("sort={}&limit={}", history.sort, history.limit),
            async || {
                let Some((i, (which, add))) = changes.lock().unwrap().next() else {
                    return;
                };
                let order = which.get(&before);
                service.time_is("2026-04-01T11:00:00+09:00").await;
                acme.cancel(order).await;
                changed.lock().unwrap().push(order.clone());
                if add {
                    place(format!("late_{n}_{i}"), u8::try_from(i).unwrap()).await;
                }
            },
        )
        .await;
        let mut seen = HashMap::new();
        listed
            .iter()
            .for_each(|id| *seen.entry(id).or_insert(0) += 1);
        let changed = changed.into_inner().unwrap();
        // A cancellation moves an order in one sort only.
        let moved = |id: &String| history.sort == "updated_desc" && changed.contains(id);
        for id in before.iter().filter(|id| !moved(id)) {
            assert_eq!(
                seen.get(id),
                Some(&1),
                "{id} in {listed:?}, sort {}",
                history.sort
            );
        }
    }
}
