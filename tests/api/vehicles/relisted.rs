//! A vehicle that goes and comes back: it is found by everything that is true of it, and by nothing else.

use super::walk;
use crate::support::{Car, Partner, Service};

/// A vehicle with a value for every filter, and beside it one that no question is about.
async fn furnish(service: &Service) {
    let vehicle = Car {
        make: "Citroën",
        model: "C4 Picasso",
        source: "sk",
        ..Car::lot("sk_1")
    };
    service.car(vehicle).await;
    service.car(Car::lot("glovis_1")).await;
    service
        .sql(
            "update vehicles set trim = 'Shine 1.6', fuel = 'diesel', transmission = 'dct', color = 'red',
                 options = '{HUD,sunroof}', accident_grade = 'A', exterior_grade = 'B', auction_count = 7,
                 year = 2018, mileage_km = 77000, listing_usd = 7700, auction_date = '2099-04-20T13:00:00+09:00'
             where id = 'sk_1'",
        )
        .await;
}

/// Questions that find the one vehicle alone.
const TERMS: [&str; 20] = [
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
    for query in TERMS {
        assert_eq!(walk(acme, query).await, ids, "{query}");
    }
    let shown = acme.get("/v1/vehicles/facets").await.ok()["makes"].clone();
    let makes = match ids.is_empty() {
        true => serde_json::json!(["Hyundai"]),
        false => serde_json::json!(["Citroën", "Hyundai"]),
    };
    assert_eq!(shown, makes);
    assert_eq!(walk(acme, "source=glovis").await, ["glovis_1"]);
}

#[tokio::test]
async fn vehicle_that_was_withdrawn_and_restored_is_found_under_all_its_terms() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
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
async fn vehicle_that_was_deleted_and_listed_again_is_found_under_its_new_terms() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    // Gone and back in one moment, and in two.
    let again = "create temporary table gone as select * from vehicles where id = 'sk_1';
                 delete from vehicles where id = 'sk_1';
                 insert into vehicles select * from gone;
                 drop table gone";
    service.sql(again).await;
    assert_found(&acme, &["sk_1"]).await;
    service.sql("delete from vehicles where id = 'sk_1'").await;
    assert_found(&acme, &[]).await;
    furnish_differently(&service).await;
    for query in TERMS {
        let is_true_still = ["ids=sk_1", "source=sk&sort=price_asc"].contains(&query)
            || query.starts_with("source=sk&auction_status")
            || query.starts_with("source=sk&orderable")
            || query == "source=sk";
        let expected: &[&str] = if is_true_still { &["sk_1"] } else { &[] };
        assert_eq!(walk(&acme, query).await, expected, "{query}");
    }
    for query in [
        "make=saab",
        "source=sk,glovis&fuel=lpg",
        "ids=sk_1&color=blue",
    ] {
        assert_eq!(walk(&acme, query).await, ["sk_1"], "{query}");
    }
}

/// Lists the vehicle again with other values.
async fn furnish_differently(service: &Service) {
    let vehicle = Car {
        make: "Saab",
        model: "9-3",
        source: "sk",
        year: 2022,
        mileage_km: 99_000,
        listing_usd: 20_000,
        ..Car::lot("sk_1")
    };
    service.car(vehicle).await;
    service
        .sql("update vehicles set fuel = 'lpg', color = 'blue' where id = 'sk_1'")
        .await;
}
