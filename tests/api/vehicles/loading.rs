//! The start of a replica: it is not ready until it has loaded the catalogue.

use lmn_partner_api::{errors::catalogue::Code, router::router};
use serde_json::{Value, json};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{
        Partner, Service, Vehicle, eventually, lock_table, settings, wait_for_blocked_session,
    },
};

async fn readiness(operator: &str) -> (u16, Value) {
    let reply = reqwest::get(format!("{operator}/readyz")).await.unwrap();
    let status = reply.status().as_u16();
    (
        status,
        serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn replica_is_not_ready_until_the_catalogue_is_loaded() {
    let database = TestDatabase::new().await;
    Vehicle::lot("glovis_1").insert(&database).await;
    let holder = lock_table(&database.pool, "vehicles").await;
    let settings = [settings::acquire_seconds(1)];
    let service = Service::on(database, &settings, router).await;
    let operator = service.operator_url().await;
    let acme = service.partner("acme").await;
    wait_for_blocked_session(service.db()).await;
    let (status, body) = readiness(&operator).await;
    let missing: Vec<_> = body["missing"].as_array().unwrap().iter().collect();
    assert_eq!((status, missing.len()), (503, 1), "{body}");
    assert_eq!(missing[0]["what"], "catalogue");
    for path in ["?source=glovis", "/facets", "/glovis_1"] {
        acme.get(&format!("/v1/vehicles{path}"))
            .await
            .refused(503, Code::ServiceUnavailable);
    }
    acme.get("/v1/orders").await.ok();
    holder.rollback().await.unwrap();
    eventually("it is ready", async || {
        (readiness(&operator).await.0 == 200).then_some(())
    })
    .await;
    let list = acme.get("/v1/vehicles?source=glovis").await;
    assert_eq!(list.ids(), ["glovis_1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn process_reports_ready_once_the_catalogue_is_loaded() {
    let database = TestDatabase::new().await;
    Vehicle::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, "", "acme").await;
    let holder = lock_table(&database.pool, "vehicles").await;
    let url = database.url();
    let starting = tokio::task::spawn_blocking(move || {
        Process::on(&url, &["serve", "--no-worker", "--json"], &[])
    });
    wait_for_blocked_session(&database.pool).await;
    assert!(!starting.is_finished(), "it is ready before it has loaded");
    holder.rollback().await.unwrap();
    let replica = starting.await.unwrap();
    assert_eq!(readiness(replica.operator_url()).await.0, 200);
    // The first request finds the catalogue loaded.
    let acme = acme.at(replica.url());
    let facets = acme.get("/v1/vehicles/facets").await.ok();
    assert_eq!(facets["models"], json!({"Hyundai": ["Grandeur"]}));
    let list = acme.get("/v1/vehicles?source=glovis").await;
    assert_eq!(list.ids(), ["glovis_1"]);
}

#[tokio::test]
async fn unlogged_change_is_found_by_a_read_of_the_vehicle() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 1..=3 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
    }
    service.app.catch_up().await;
    for (price, id, path) in [
        (11_000, "glovis_1", "/v1/vehicles/glovis_1"),
        (
            12_000,
            "glovis_2",
            "/v1/vehicles?source=glovis&sort=price_desc",
        ),
    ] {
        service.set_price_unlogged(id, price).await;
        let shown = acme.get(path).await.ok();
        let vehicle = if path.contains('?') {
            &shown["data"][0]
        } else {
            &shown
        };
        assert_eq!(vehicle["id"], id);
        assert_eq!(vehicle["pricing"]["listing_usd"], price);
    }
}
