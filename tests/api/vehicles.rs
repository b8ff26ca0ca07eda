//! The catalogue over HTTP.

use lmn_partner_api::error::catalogue::Code;
use serde_json::Value;

use crate::support::{Car, Partner, Service};

/// Walks a list to its end in pages of three.
async fn walk(partner: &Partner, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = partner
            .get(&format!("/v1/vehicles?{query}&limit=3{cursor}"))
            .await;
        ids.extend(page.ids());
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

/// A small catalogue with ties in every sort.
async fn catalogue(service: &Service) -> Vec<Car> {
    let mut cars = Vec::new();
    for n in 0..8 {
        let base = match n {
            0 | 1 => Car::dealers(&format!("encar_{n}")),
            2 => Car::no_bid("sk_2"),
            _ => Car::lot(&format!("glovis_{n}"))
                .on(&format!("now() + interval '{} days'", 5 + n / 3)),
        };
        let car = Car {
            make: ["Hyundai", "Kia"][n % 2],
            model: ["Grandeur", "K5", "Casper"][n % 3],
            year: 2018 + i16::try_from(n % 3).unwrap(),
            mileage_km: 10_000 * i32::try_from(n % 4).unwrap(),
            listing_usd: 9_000 + 500 * i32::try_from(n % 3).unwrap(),
            source: if base.id == "sk_2" { "sk" } else { base.source },
            ..base
        };
        cars.push(service.car(car).await);
    }
    cars
}

fn sorted<K: Ord>(cars: &[Car], reverse: bool, by: impl Fn(&Car) -> K) -> Vec<String> {
    let mut cars: Vec<_> = cars.iter().map(|car| (by(car), car.id.clone())).collect();
    cars.sort();
    if reverse {
        cars.reverse();
    }
    cars.into_iter().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn every_sort_walks_all_pages_in_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let cars = catalogue(&service).await;
    let all = "make=hyundai,KIA";
    let auctions_first = sorted(&cars, false, |car| {
        (car.auction_result.is_none(), car.auction_date.clone())
    });
    // "now() - …" sorts after "now() + …" as text, and before it as time.
    let mut by_auction = auctions_first;
    by_auction.retain(|id| id != "sk_2");
    by_auction.insert(0, "sk_2".into());
    assert_eq!(walk(&acme, all).await, by_auction);
    assert_eq!(
        walk(&acme, &format!("{all}&sort=auction_date_asc")).await,
        by_auction
    );
    for (sort, expected) in [
        ("price_asc", sorted(&cars, false, |car| car.listing_usd)),
        ("price_desc", sorted(&cars, true, |car| car.listing_usd)),
        ("year_desc", sorted(&cars, true, |car| car.year)),
        ("mileage_asc", sorted(&cars, false, |car| car.mileage_km)),
    ] {
        assert_eq!(
            walk(&acme, &format!("{all}&sort={sort}")).await,
            expected,
            "{sort}"
        );
    }
}

#[tokio::test]
async fn filters_are_joined_by_and_and_their_values_by_or() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let cars = catalogue(&service).await;
    let matching = |wanted: &dyn Fn(&Car) -> bool| -> Vec<String> {
        let mut ids: Vec<_> = cars
            .iter()
            .filter(|car| wanted(car))
            .map(|car| car.id.clone())
            .collect();
        ids.sort();
        ids
    };
    let asked = async |query: &str| {
        let mut ids = walk(&acme, query).await;
        ids.sort();
        ids
    };
    assert_eq!(
        asked("make=HYUNDAI").await,
        matching(&|car| car.make == "Hyundai")
    );
    assert_eq!(
        asked("make=kia&model=k5,CASPER&source=dealer,glovis").await,
        matching(&|car| car.make == "Kia" && car.model != "Grandeur" && car.source != "sk")
    );
    assert_eq!(asked("source=sk").await, ["sk_2"]);
    assert_eq!(
        asked("source=sk,glovis&auction_status=no_bid").await,
        ["sk_2"]
    );
    assert_eq!(
        asked("ids=encar_0,sk_2,nobodys,a%20b").await,
        ["encar_0", "sk_2"]
    );
    assert_eq!(asked("ids=a%20b").await, [""; 0]);
    assert_eq!(asked("make=Hyundai%25").await, [""; 0]);
    service
        .sql("update vehicles set withdrawn_at = now() where id = 'sk_2'")
        .await;
    assert_eq!(asked("source=sk").await, [""; 0]);
}

#[tokio::test]
async fn dealers_cars_are_listed_by_make_or_ids() {
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
async fn dealers_cars_that_a_filter_drops_are_counted() {
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
    // Dealers were not in scope, or nothing dropped them: no header.
    assert_eq!(dropped("source=glovis&auction_status=upcoming").await.0, "");
    assert_eq!(dropped("make=kia").await.0, "");
    // Later pages repeat page 1's figure.
    let (_, cursor) = dropped("make=hyundai,kia&auction_status=upcoming&limit=2").await;
    service
        .sql("update vehicles set withdrawn_at = now() where source = 'dealer'")
        .await;
    let cursor = cursor.as_str().unwrap();
    let later = dropped(&format!(
        "make=KIA,Hyundai&auction_status=upcoming&limit=2&cursor={cursor}"
    ))
    .await;
    assert_eq!(later.0, "dealer=2");
}

#[tokio::test]
async fn a_cursor_belongs_to_its_sort_and_filters() {
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

#[tokio::test]
async fn one_car_is_shown_with_everything_the_contract_lists() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service
        .car(Car::lot("glovis_1").on("timestamptz '2026-04-20T13:00:00+09:00'"))
        .await;
    service
        .sql(
            r#"update vehicles set options = '{sunroof,hud}', photos = '{https://images.example.com/1.jpg}',
                   inspection = '{"inspected_on":"2026-04-01","summary":"Sound.","items":[{"part":"hood","finding":"scratch"}]}',
                   first_registered_on = '2021-03-04', accident_grade = 'A', auction_count = 2, lot_number = '2345'"#,
        )
        .await;
    let car = acme.get("/v1/vehicles/glovis_1").await.ok();
    insta::assert_json_snapshot!(car);
    let summary = &acme.get("/v1/vehicles?source=glovis").await.ok()["data"][0];
    let detail_only = [
        "vin",
        "license_plate",
        "first_registered_on",
        "location",
        "photos",
        "inspection",
        "description",
    ];
    for (field, value) in summary.as_object().unwrap() {
        match field.as_str() {
            "pricing" => assert_eq!(value, &serde_json::json!({"listing_usd": 10_000})),
            _ => assert_eq!(value, &car[field], "{field}"),
        }
    }
    let fields = |value: &Value| value.as_object().unwrap().len();
    assert_eq!(fields(&car), fields(summary) + detail_only.len());
}

#[tokio::test]
async fn a_car_that_is_unknown_or_withdrawn_is_404() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    service
        .sql("update vehicles set withdrawn_at = now()")
        .await;
    for id in [
        "glovis_1",
        "glovis_2",
        "%00",
        "%ff",
        "a%20b",
        "%F0%9F%9A%97",
    ] {
        acme.get(&format!("/v1/vehicles/{id}"))
            .await
            .refused(404, Code::VehicleNotFound);
    }
}

#[tokio::test]
async fn buy_now_cars_say_so_and_have_no_cutoff() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::dealers("encar_1")).await;
    service.car(Car::no_bid("glovis_1")).await;
    service.car(Car::lot("glovis_2")).await;
    for (id, buy_now) in [("encar_1", true), ("glovis_1", true), ("glovis_2", false)] {
        let car = acme.get(&format!("/v1/vehicles/{id}")).await.ok();
        assert_eq!(car["buy_now"], buy_now, "{id}");
        assert_eq!(car["order_cutoff_at"].is_null(), buy_now, "{id}");
    }
}
