//! `X-User-Id`: stored on the order, never returned, and logged only as a digest.

use lmn_partner_api::router::router;
use reqwest::Method;
use serde_json::json;

use crate::{
    database::TestDatabase,
    process::{Process, words},
    support::{Partner, Reply, Service, Vehicle, key, settings},
};

/// Places an order with extra request headers.
async fn order_for(acme: &Partner, vehicle_id: &str, headers: &[(&str, &str)]) -> Reply {
    let mut ask = acme.ask(Method::POST, "/v1/orders").key(&key());
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    let body = json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": 12_000});
    ask.json(&body).send().await
}

#[tokio::test]
async fn order_stores_its_user_id_and_never_returns_it() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let longest = "가".repeat(128);
    for (n, (headers, expected)) in [
        (vec![], None),
        (vec![("x-user-id", "")], None),
        (vec![("X-User-Id", "dealer 7")], Some("dealer 7")),
        (vec![("X_User_Id", "dealer-8")], Some("dealer-8")),
        (vec![("x-user-id", "a"), ("x_user_id", "a")], Some("a")),
        (vec![("x-user-id", longest.as_str())], Some(&*longest)),
    ]
    .into_iter()
    .enumerate()
    {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        let placed = order_for(&acme, &vehicle.id, &headers).await;
        placed.created();
        let stored: Option<String> =
            sqlx::query_scalar("select external_user_id from orders where vehicle_id = $1")
                .bind(&vehicle.id)
                .fetch_one(service.db())
                .await
                .unwrap();
        assert_eq!(stored.as_deref(), expected);
        let read = acme.order(&placed.id()).await;
        assert!(
            expected.is_none_or(
                |it| !String::from_utf8_lossy(&read.body).contains(&format!("\"{it}\""))
            )
        );
    }
}

#[tokio::test]
async fn user_id_too_long_or_given_twice_is_refused_on_every_request() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let long = "x".repeat(129);
    let issue = |kind: &str| [("X-User-Id".to_owned(), kind.to_owned())];
    for (method, path) in [
        (Method::GET, "/v1/orders"),
        (Method::GET, "/v1/vehicles/glovis_1"),
        (Method::DELETE, "/v1/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ] {
        let ask = acme.ask(method, path).key(&key());
        let reply = ask.header("x-user-id", &long).send().await;
        assert_eq!(reply.issues(), issue("OUT_OF_RANGE"), "{path}");
    }
    let two = order_for(&acme, "glovis_1", &[("x-user-id", "a"), ("x_user_id", "b")]);
    assert_eq!(two.await.issues(), issue("DUPLICATE"));

    // It is reported together with every other issue of the request.
    let ask = acme
        .ask(Method::POST, "/v1/orders?dry_run=maybe")
        .key(&key());
    let all = ask.header("x-user-id", &long).json(&json!({})).send().await;
    let paths: Vec<_> = all.issues().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["dry_run", "X-User-Id", "vehicle_id"]);
    assert_eq!(service.order_count().await, 0);
}

#[tokio::test]
async fn user_id_too_long_is_refused_also_if_the_key_is_bound() {
    let service = Service::with(&[settings::LOCAL_ENDPOINTS]).await;
    let acme = service.partner("acme").await;
    acme.hook(json!({"url": "http://127.0.0.1:9/"}))
        .await
        .expect(201);
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let body = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000});
    let long = "x".repeat(129);
    // A replica that has not seen the keys looks them up when it binds them.
    let url = service.database.url();
    let other = Service::at(TestDatabase::new().await, &url, &[], router).await;
    for (path, body) in [
        ("/v1/orders", &body),
        ("/v1/webhook_endpoint/test", &json!({})),
        ("/v1/webhook_endpoint/rotate_secret", &json!({})),
    ] {
        let key = key();
        let first = acme.post_once(&key, path, body.clone()).await;
        assert!([200, 201, 202].contains(&first.status), "{first:?}");
        for replica in [&service, &other] {
            let ask = acme.at(&replica.url).ask(Method::POST, path).key(&key);
            let refused = ask.header("x-user-id", &long).json(body).send().await;
            let issue = ("X-User-Id".to_owned(), "OUT_OF_RANGE".to_owned());
            assert_eq!(refused.issues(), [issue], "{path}");
            assert_eq!(refused.outcome(), ("unknown", "false"), "{path}");
        }
        let again = acme.post_once(&key, path, body.clone()).await;
        assert_eq!((again.status, again.outcome()), (200, ("replayed", "true")));
    }
    let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
    let refused = ask.header("x-user-id", &long).json(&body).send().await;
    assert_eq!(refused.outcome(), ("unbound", "false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_holds_a_digest_of_the_user_id() {
    let database = TestDatabase::new().await;
    let debug = ("LOG__FILTER", "debug");
    let replica = Process::on(&database.url(), &["serve", "--json"], &[debug]);
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    Vehicle::lot("glovis_1").insert(&database).await;
    order_for(&acme, "glovis_1", &[("x-user-id", "somebody-at-acme")])
        .await
        .created();
    let log = tokio::task::spawn_blocking(|| words(&replica.stop()))
        .await
        .unwrap();
    // printf somebody-at-acme | sha256sum
    let digest = "59c06920497e0e7b13dc7a1c8fecb3237f3fc36003f95f0bfe572a5a7afa93e2";
    assert!(log.contains(digest), "{log}");
    assert!(!log.contains("somebody-at-acme"));
}
