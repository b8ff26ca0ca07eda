//! Vehicles that are removed and listed again: each is found by its current values and by no others.

use super::list_all;
use crate::support::{Partner, Service, Vehicle};

/// Adds a vehicle with a value for every filter, and one that none of the queries matches.
async fn add_vehicles(service: &Service) {
    let vehicle = Vehicle {
        source: "sk",
        make: "Citroën",
        model: "C4 Picasso",
        trim: Some("Shine 1.6"),
        year: 2018,
        mileage_km: 77_000,
        fuel: Some("diesel"),
        transmission: Some("dct"),
        color: Some("red"),
        options: &["HUD", "sunroof"],
        listing_usd: 7_700,
        accident_grade: Some("A"),
        exterior_grade: Some("B"),
        auction_count: Some(7),
        ..Vehicle::lot("sk_1").auction_at("2099-04-20T13:00:00+09:00")
    };
    service.vehicle(vehicle).await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
}

/// Queries that match only that vehicle.
const QUERIES: [&str; 20] = [
    "make=citroën",
    "make=citroën,saab&model=C4%20PICASSO",
    "source=sk",
    "ids=sk_1",
    "source=sk,glovis&keyword=picasso",
    "source=sk,glovis&keyword=shi%201%20c4",
    "source=sk,glovis&fuel=diesel",
    "source=sk,glovis&transmission=dct",
    "source=sk,glovis&color=RED",
    "source=sk,glovis&options_include=hud,sunroof",
    "source=sk,glovis&accident_grade=A",
    "source=sk,glovis&exterior_grade=B",
    "source=sk,glovis&auction_count_min=7&auction_count_max=7",
    "source=sk,glovis&auction_date_from=2099-04-20",
    "source=sk,glovis&year_max=2018",
    "source=sk,glovis&price_max_usd=7700",
    "source=sk&mileage_max_km=77000&sort=mileage_asc",
    "source=sk&auction_status=upcoming&sort=year_desc",
    "source=sk&orderable=true&sort=price_desc",
    "source=sk&sort=price_asc",
];

async fn assert_found(acme: &Partner, ids: &[&str]) {
    for query in QUERIES {
        assert_eq!(list_all(acme, query).await, ids, "{query}");
    }
    let shown = acme.get("/v1/vehicles/facets").await.ok()["makes"].clone();
    let makes = match ids.is_empty() {
        true => serde_json::json!(["Hyundai"]),
        false => serde_json::json!(["Citroën", "Hyundai"]),
    };
    assert_eq!(shown, makes);
    assert_eq!(list_all(acme, "source=glovis").await, ["glovis_1"]);
}

#[tokio::test]
async fn restored_vehicle_is_found_by_all_its_values() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    assert_found(&acme, &["sk_1"]).await;
    for _ in 0..2 {
        service.operator().withdraw("sk_1").await.unwrap();
        service.app.catch_up().await;
        assert_found(&acme, &[]).await;
        acme.get("/v1/vehicles/sk_1").await.expect(404);
        service.operator().restore("sk_1").await.unwrap();
        service.app.catch_up().await;
        assert_found(&acme, &["sk_1"]).await;
        acme.get("/v1/vehicles/sk_1").await.ok();
    }
}

#[tokio::test]
async fn vehicle_deleted_and_listed_again_is_found_by_its_new_values() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    // Deleted and inserted in one transaction, then in two.
    let again = "create temporary table gone as select * from vehicles where id = 'sk_1';
                 delete from vehicles where id = 'sk_1';
                 insert into vehicles select * from gone;
                 drop table gone";
    service.sql(again).await;
    assert_found(&acme, &["sk_1"]).await;
    service.delete_vehicle("sk_1").await;
    assert_found(&acme, &[]).await;
    list_again_with_other_values(&service).await;
    for query in QUERIES {
        let still_matches = ["ids=sk_1", "source=sk&sort=price_asc"].contains(&query)
            || query.starts_with("source=sk&auction_status")
            || query.starts_with("source=sk&orderable")
            || query == "source=sk";
        let expected: &[&str] = if still_matches { &["sk_1"] } else { &[] };
        assert_eq!(list_all(&acme, query).await, expected, "{query}");
    }
    for query in [
        "make=saab",
        "source=sk,glovis&fuel=lpg",
        "ids=sk_1&color=blue",
    ] {
        assert_eq!(list_all(&acme, query).await, ["sk_1"], "{query}");
    }
}

/// Lists the vehicle again with other values.
async fn list_again_with_other_values(service: &Service) {
    let vehicle = Vehicle {
        make: "Saab",
        model: "9-3",
        source: "sk",
        year: 2022,
        mileage_km: 99_000,
        listing_usd: 20_000,
        fuel: Some("lpg"),
        color: Some("blue"),
        ..Vehicle::lot("sk_1")
    };
    service.vehicle(vehicle).await;
}
