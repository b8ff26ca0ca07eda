//! The list: sorts, filters, cursors, and the rule for dealers' vehicles.

use lmn_partner_api::errors::catalogue::Code;

use super::list_all;
use crate::support::{Service, Vehicle};

/// Adds a small catalogue with ties in every sort, and returns its vehicles.
async fn catalogue(service: &Service) -> Vec<Vehicle> {
    let mut vehicles = Vec::new();
    for n in 0..8 {
        let base = match n {
            0 | 1 => Vehicle::dealers(&format!("encar_{n}")),
            2 => Vehicle::no_bid("sk_2"),
            _ => Vehicle::lot(&format!("glovis_{n}"))
                .auction_in_days(5 + i32::try_from(n / 3).unwrap()),
        };
        let vehicle = Vehicle {
            make: ["Hyundai", "Kia"][n % 2],
            model: ["Grandeur", "K5", "Casper"][n % 3],
            year: 2018 + i16::try_from(n % 3).unwrap(),
            mileage_km: 10_000 * i32::try_from(n % 4).unwrap(),
            listing_usd: 9_000 + 500 * i32::try_from(n % 3).unwrap(),
            source: if base.id == "sk_2" { "sk" } else { base.source },
            ..base
        };
        vehicles.push(service.vehicle(vehicle).await);
    }
    vehicles
}

fn sorted<K: Ord>(vehicles: &[Vehicle], reverse: bool, by: impl Fn(&Vehicle) -> K) -> Vec<String> {
    let mut vehicles: Vec<_> = vehicles
        .iter()
        .map(|vehicle| (by(vehicle), vehicle.id.clone()))
        .collect();
    vehicles.sort();
    if reverse {
        vehicles.reverse();
    }
    vehicles.into_iter().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn every_sort_lists_all_pages_in_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let vehicles = catalogue(&service).await;
    let all = "make=hyundai,KIA";
    let by_auction = sorted(&vehicles, false, |vehicle| {
        (vehicle.auction_date.is_none(), vehicle.auction_date.clone())
    });
    assert_eq!(list_all(&acme, all).await, by_auction);
    assert_eq!(
        list_all(&acme, &format!("{all}&sort=auction_date_asc")).await,
        by_auction
    );
    for (sort, expected) in [
        (
            "price_asc",
            sorted(&vehicles, false, |vehicle| vehicle.listing_usd),
        ),
        (
            "price_desc",
            sorted(&vehicles, true, |vehicle| vehicle.listing_usd),
        ),
        ("year_desc", sorted(&vehicles, true, |vehicle| vehicle.year)),
        (
            "mileage_asc",
            sorted(&vehicles, false, |vehicle| vehicle.mileage_km),
        ),
    ] {
        assert_eq!(
            list_all(&acme, &format!("{all}&sort={sort}")).await,
            expected,
            "{sort}"
        );
    }
}

#[tokio::test]
async fn filters_are_joined_by_and_and_their_values_by_or() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let vehicles = catalogue(&service).await;
    let matching = |wanted: &dyn Fn(&Vehicle) -> bool| -> Vec<String> {
        let mut ids: Vec<_> = vehicles
            .iter()
            .filter(|vehicle| wanted(vehicle))
            .map(|vehicle| vehicle.id.clone())
            .collect();
        ids.sort();
        ids
    };
    let found = async |query: &str| {
        let mut ids = list_all(&acme, query).await;
        ids.sort();
        ids
    };
    assert_eq!(
        found("make=HYUNDAI").await,
        matching(&|vehicle| vehicle.make == "Hyundai")
    );
    assert_eq!(
        found("make=kia&model=k5,CASPER&source=dealer,glovis").await,
        matching(&|vehicle| vehicle.make == "Kia"
            && vehicle.model != "Grandeur"
            && vehicle.source != "sk")
    );
    assert_eq!(found("source=sk").await, ["sk_2"]);
    assert_eq!(
        found("source=sk,glovis&auction_status=no_bid").await,
        ["sk_2"]
    );
    assert_eq!(
        found("ids=encar_0,sk_2,unknown,a%20b").await,
        ["encar_0", "sk_2"]
    );
    assert_eq!(found("ids=a%20b").await, [""; 0]);
    assert_eq!(found("make=Hyundai%25").await, [""; 0]);
    service.withdraw_vehicle("sk_2").await;
    assert_eq!(found("source=sk").await, [""; 0]);
}

#[tokio::test]
async fn dealers_vehicles_are_listed_by_make_or_ids() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for query in [
        "",
        "source=dealer",
        "source=glovis,dealer",
        "auction_status=upcoming",
    ] {
        let reply = acme.get(&format!("/v1/vehicles?{query}")).await;
        let details = reply.refused(400, Code::ValidationError);
        assert_eq!(details["field"], "make", "{query}");
        assert_eq!(reply.issues(), [("make".into(), "REQUIRES".into())]);
    }
    for query in [
        "source=glovis",
        "source=dealer&make=kia",
        "ids=a",
        "make=kia",
    ] {
        acme.get(&format!("/v1/vehicles?{query}")).await.ok();
    }
    let many = vec!["a"; 101].join(",");
    assert_eq!(
        acme.get(&format!("/v1/vehicles?ids={many}")).await.issues(),
        [("ids".into(), "TOO_MANY".into())]
    );
    for (query, issue) in [
        ("make=", "INVALID_VALUE"),
        ("make=a%00", "INVALID_VALUE"),
        ("make=kia,", "INVALID_VALUE"),
    ] {
        assert_eq!(
            acme.get(&format!("/v1/vehicles?{query}")).await.issues(),
            [("make".into(), issue.into())]
        );
    }
}

#[tokio::test]
async fn dealers_vehicles_dropped_by_a_filter_are_counted() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    catalogue(&service).await;
    let dropped = async |query: &str| {
        let reply = acme.get(&format!("/v1/vehicles?{query}")).await;
        reply.ok();
        (
            reply.header("x-lmn-filtered-out").to_owned(),
            reply.json()["next_cursor"].clone(),
        )
    };
    assert_eq!(
        dropped("make=hyundai,kia&auction_status=upcoming").await.0,
        "dealer=2"
    );
    assert_eq!(
        dropped("make=kia&auction_status=upcoming").await.0,
        "dealer=1"
    );
    // The header is absent if dealers' vehicles are out of scope or none is dropped.
    assert_eq!(dropped("source=glovis&auction_status=upcoming").await.0, "");
    assert_eq!(dropped("make=kia").await.0, "");
    // Later pages repeat the count of the first page.
    let (_, cursor) = dropped("make=hyundai,kia&auction_status=upcoming&limit=2").await;
    for id in ["encar_0", "encar_1"] {
        service.withdraw_vehicle(id).await;
    }
    let cursor = cursor.as_str().unwrap();
    let later = dropped(&format!(
        "make=KIA,Hyundai&auction_status=upcoming&limit=2&cursor={cursor}"
    ))
    .await;
    assert_eq!(later.0, "dealer=2");
}

#[tokio::test]
async fn cursor_belongs_to_its_sort_and_filters() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    catalogue(&service).await;
    let page = acme
        .get("/v1/vehicles?make=hyundai,kia&limit=2&sort=price_asc")
        .await
        .json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let reason = async |query: &str| {
        let reply = acme
            .get(&format!("/v1/vehicles?{query}&cursor={cursor}"))
            .await;
        reply.refused(400, Code::InvalidCursor)["reason"].clone()
    };
    assert_eq!(
        reason("make=hyundai,kia&sort=price_desc").await,
        "sort_mismatch"
    );
    assert_eq!(reason("make=hyundai,kia").await, "sort_mismatch");
    assert_eq!(
        reason("make=hyundai&sort=price_asc").await,
        "filter_mismatch"
    );
    assert_eq!(
        acme.get("/v1/orders?cursor=x")
            .await
            .refused(400, Code::InvalidCursor)["reason"],
        "malformed"
    );
    acme.get(&format!(
        "/v1/vehicles?make=Kia,HYUNDAI&limit=1&sort=price_asc&cursor={cursor}"
    ))
    .await
    .ok();
}
