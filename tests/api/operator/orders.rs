//! The orders of all partners, and one order with its story.

use lmn_partner_api::{
    errors::catalogue::Code, operators::model::Role, orders::state_machine::Transition,
};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Operator, OperatorApi, Partner, Reply, Service, Vehicle, key, secure};

/// Two partners with orders, and an operator who reads them.
struct Scene {
    service: Service,
    operator: Operator,
    acme: Partner,
    bolt: Partner,
    vera: OperatorApi,
}

impl Scene {
    async fn set() -> Self {
        let service = Service::start().await;
        let (acme, bolt) = (service.partner("acme").await, service.partner("bolt").await);
        for id in ["glovis_1", "glovis_2", "glovis_3"] {
            service.vehicle(Vehicle::lot(id)).await;
        }
        service
            .vehicle(Vehicle {
                source: "sk",
                ..Vehicle::lot("sk_1")
            })
            .await;
        Self {
            operator: service.operator(),
            vera: OperatorApi::add(&service, "vera", Role::Viewer).await,
            acme,
            bolt,
            service,
        }
    }

    /// Returns the ids of the orders that a query finds, in their order.
    async fn ids(&self, query: &str) -> Vec<String> {
        self.vera.get(&format!("/orders{query}")).await.ids()
    }

    async fn csv(&self, path: &str) -> Reply {
        let ask = self.vera.ask(Method::GET, path);
        ask.header("accept", "text/csv").send().await
    }
}

#[tokio::test]
async fn orders_of_all_partners_are_listed_with_their_partner_and_user() {
    let scene = Scene::set().await;
    let first = scene.acme.place_order("glovis_1", 12_000).await.id();
    let ask = scene.bolt.ask(Method::POST, "/v1/orders");
    let body = serde_json::json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 13_000});
    let second = ask
        .key(&key())
        .header("x-user-id", "=dealer, 7")
        .json(&body)
        .send()
        .await
        .id();

    let page = scene.vera.get("/orders").await.ok();
    let rows = page["data"].as_array().unwrap();
    assert_eq!((rows.len(), &page["next_cursor"]), (2, &Value::Null));
    assert_eq!(rows[0]["id"], second);
    assert_eq!(rows[0]["partner"]["name"], "bolt");
    assert_eq!(rows[0]["external_user_id"], "=dealer, 7");
    assert_eq!(rows[0]["is_highest_bid"], true);
    assert_eq!(rows[1]["id"], first);
    assert_eq!(rows[1]["external_user_id"], Value::Null);
    assert_eq!(rows[1]["current_max_bid_usd"], 13_000);

    let csv = scene.csv("/orders?limit=1").await;
    assert_eq!(
        csv.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert!(csv.header("link").contains("rel=\"next\""), "{csv:?}");
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with("id,partner,external_user_id,vehicle_id,"),
        "{text}"
    );
    let begin = format!("{second},bolt,\"'=dealer, 7\",glovis_1,");
    assert!(lines[1].starts_with(&begin), "{text}");
}

#[tokio::test]
async fn filters_select_orders_and_every_sort_walks_all_pages() {
    let scene = Scene::set().await;
    let cancelled = scene.acme.place_order("glovis_1", 12_000).await.id();
    scene.acme.cancel(&cancelled).await.ok();
    let open = scene.acme.place_order("glovis_2", 12_000).await.id();
    let other = scene.bolt.place_order("sk_1", 12_000).await.id();
    let shipped = scene.bolt.place_order("glovis_3", 12_000).await.id();
    scene.operator.ships(&shipped).await;

    for (query, expected) in [
        ("?partner=acme", vec![&open, &cancelled]),
        ("?status=cancelled", vec![&cancelled]),
        ("?status=proceed,cancelled", vec![&other, &open, &cancelled]),
        ("?status=shipping&partner=bolt", vec![&shipped]),
        ("?status=shipping&partner=acme", vec![]),
        ("?source=sk", vec![&other]),
        ("?vehicle_id=glovis_2", vec![&open]),
        ("?q=glovis_2", vec![&open]),
        ("?overdue=true", vec![]),
        (
            "?auction_date_from=2001-01-01&auction_date_to=2001-01-02",
            vec![],
        ),
        (
            "?from=2001-01-01T00:00:00%2B09:00&to=2001-01-02T00:00:00%2B09:00",
            vec![],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().cloned().collect();
        assert_eq!(scene.ids(query).await, expected, "{query}");
    }
    let by_id = scene.ids(&format!("?q={open}")).await;
    assert_eq!(by_id, std::slice::from_ref(&open));

    let mut all = vec![cancelled, open, other, shipped];
    all.sort();
    for sort in [
        "created_desc",
        "created_asc",
        "auction_date_asc",
        "updated_desc",
    ] {
        for filter in [
            "",
            "&status=proceed,shipping,cancelled",
            "&from=2001-01-01T00:00:00%2B09:00",
        ] {
            let mut seen = Vec::new();
            let mut path = format!("/orders?limit=1&sort={sort}{filter}");
            let begin = path.clone();
            loop {
                let reply = scene.vera.get(&path).await;
                seen.extend(reply.ids());
                let page = reply.ok();
                let Some(next) = page["next_cursor"].as_str() else {
                    break;
                };
                path = format!("{begin}&cursor={next}");
            }
            seen.sort();
            assert_eq!(seen, all, "{sort}{filter}");
        }
    }
}

#[tokio::test]
async fn wrong_filters_are_refused_all_at_once() {
    let scene = Scene::set().await;
    let query =
        "?status=gone&overdue=maybe&auction_date_from=2026-04-21&auction_date_to=2026-04-20";
    let issues = scene.vera.get(&format!("/orders{query}")).await.issues();
    let expected = [
        ("status", "INVALID_VALUE"),
        ("overdue", "INVALID_VALUE"),
        ("auction_date_from", "OUT_OF_RANGE"),
    ];
    assert_eq!(
        issues,
        expected.map(|(path, kind)| (path.to_owned(), kind.to_owned()))
    );
    let unknown = scene.vera.get("/orders?partner=nobody").await.issues();
    assert_eq!(
        unknown,
        [("partner".to_owned(), "INVALID_VALUE".to_owned())]
    );
}

#[tokio::test]
async fn story_tells_history_events_audit_and_vehicle() {
    let scene = Scene::set().await;
    let id = scene.acme.place_order("glovis_1", 12_000).await.id();
    scene
        .operator
        .takes(&id, &[Transition::Acquire, secure(11_000, 150)])
        .await;

    let reply = scene.vera.get(&format!("/orders/{id}")).await;
    let story = reply.ok();
    assert!(reply.header("etag").starts_with('"'));
    assert_eq!(
        (&story["id"], &story["status"]),
        (&id.as_str().into(), &"secured".into())
    );
    assert_eq!(story["partner"]["name"], "acme");
    let members = |list: &str, member: &str| -> Vec<String> {
        let rows = story[list].as_array().unwrap();
        let text = |row: &Value| row[member].as_str().unwrap().to_owned();
        rows.iter().map(text).collect()
    };
    assert_eq!(
        members("history", "status"),
        ["proceed", "acquiring", "secured"]
    );
    assert_eq!(members("events", "type"), ["order.status_changed"; 2]);
    let actions = members("audit", "action");
    assert_eq!(
        actions,
        ["order.placed", "order.advanced", "order.advanced"]
    );
    assert_eq!(
        members("audit", "actor")[1..],
        ["operator:test", "operator:test"]
    );
    assert_eq!(story["vehicle"]["id"], "glovis_1");

    let unknown = scene.vera.get("/orders/01KNVD7K402JY0W9P0X3A6T4QB").await;
    unknown.refused(404, Code::OrderNotFound);
}

#[tokio::test]
async fn partners_and_the_audit_log_are_read() {
    let scene = Scene::set().await;
    let order = scene.acme.place_order("glovis_1", 12_000).await.id();
    let partners = scene.vera.rows("/partners").await;
    let acme = partners.iter().find(|it| it["name"] == "acme").unwrap();
    let id = acme["id"].as_str().unwrap();
    let shown = scene.vera.get(&format!("/partners/{id}")).await.ok();
    assert_eq!(shown["keys"][0]["prefix"], scene.acme.api_key[..12]);
    assert_eq!(shown["keys"][0]["state"], "active");
    assert_eq!(shown["webhook_endpoint"], Value::Null);
    assert_eq!(shown["limits"]["read"]["limit"], 100_000);
    assert!(!shown.to_string().contains(&scene.acme.api_key));
    let unknown = scene.vera.get("/partners/01KNVD7K402JY0W9P0X3A6T4QB").await;
    unknown.refused(404, Code::PartnerNotFound);

    let changes = scene.vera.rows("/audit?partner=acme").await;
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0]["action"], &changes[0]["subject"]),
        (&"order.placed".into(), &order.into())
    );
    assert!(scene.vera.rows("/audit?partner=bolt").await.is_empty());
}
