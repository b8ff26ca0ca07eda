//! Filters of the list, and the vehicles that they keep.

use lmn_partner_api::vehicles::render::render_all;
use reqwest::Method;

use super::list_all;
use crate::support::{Partner, Service, Vehicle};

/// Returns two dealers' vehicles and four lots that differ in every column.
fn vehicles() -> [Vehicle; 6] {
    let [d1, d2] = [
        Vehicle {
            make: "기아",
            model: "모닝",
            trim: Some("럭셔리"),
            year: 2016,
            mileage_km: 90_000,
            fuel: Some("lpg"),
            color: Some("흰색"),
            options: &["어라운드뷰"],
            listing_usd: 3_000,
            ..Vehicle::dealers("d1")
        },
        Vehicle {
            make: "Kia",
            model: "K5",
            trim: Some("Prestige"),
            year: 2018,
            mileage_km: 50_000,
            fuel: Some("diesel"),
            transmission: Some("auto"),
            color: Some("Black"),
            options: &["HUD", "sunroof"],
            listing_usd: 9_000,
            ..Vehicle::dealers("d2")
        },
    ];
    let [l1, l2, l3, l4] = lots();
    [d1, d2, l1, l2, l3, l4]
}

fn lots() -> [Vehicle; 4] {
    [
        Vehicle {
            source: "sk",
            make: "KIA",
            model: "K5 Hybrid",
            year: 2019,
            mileage_km: 40_000,
            fuel: Some("gasoline_hybrid"),
            transmission: Some("dct"),
            color: Some("BLACK"),
            options: &["sunroof"],
            listing_usd: 11_000,
            accident_grade: Some("A"),
            exterior_grade: Some("B"),
            auction_count: Some(1),
            ..Vehicle::lot("l1").auction_at("2026-04-20T00:00:00+09:00")
        },
        Vehicle {
            make: "ＫＩＡ",
            model: "K5",
            trim: Some("Noblesse 2.0"),
            year: 2020,
            mileage_km: 30_000,
            fuel: Some("gasoline"),
            transmission: Some("auto"),
            options: &["Sunroof", "hud"],
            listing_usd: 12_000,
            accident_grade: Some("F"),
            auction_count: Some(2),
            ..Vehicle::lot("l2").auction_at("2026-04-20T23:59:59.999+09:00")
        },
        Vehicle {
            source: "aj",
            make: "Citroën",
            model: "C4 Picasso",
            year: 2021,
            mileage_km: 20_000,
            fuel: Some("diesel"),
            transmission: Some("manual"),
            color: Some("red"),
            listing_usd: 13_000,
            exterior_grade: Some("A"),
            ..Vehicle::no_bid("l3").auction_at("2026-04-19T10:00:00+09:00")
        },
        Vehicle {
            make: "Mercedes-Benz",
            model: "E-Class",
            trim: Some("(W213) 기아"),
            year: 2022,
            mileage_km: 0,
            listing_usd: 40_000,
            accident_grade: Some("B"),
            exterior_grade: Some("B"),
            auction_count: Some(3),
            ..Vehicle::lot("l4").auction_at("2026-04-21T00:00:00+09:00")
        },
    ]
}

/// Adds the vehicles.
async fn add_vehicles(service: &Service) {
    for vehicle in vehicles() {
        service.vehicle(vehicle).await;
    }
}

/// Names every make, so that dealers' vehicles are in scope.
const ALL_MAKES: &str = "make=kia,기아,citroën,mercedes-benz";

/// Queries, and the ids of the vehicles that match.
const ANY_VEHICLE: &[(&str, &str)] = &[
    ("", "d1 d2 l1 l2 l3 l4"),
    // Names match in any case, width and composition; one of several values is enough.
    ("source=dealer,sk,glovis&make=kIa", "d2 l1 l2"),
    ("make=%EF%BC%AB%EF%BD%89a", "d2 l1 l2"),
    ("make=%E1%84%80%E1%85%B5%E1%84%8B%E1%85%A1", "d1"),
    ("make=CITROE%CC%88N", "l3"),
    ("make=%20kia%20,%20기아", "d1 d2 l1 l2"),
    ("make=KIA&model=k5", "d2 l2"),
    ("make=kia,기아&model=K5,모닝", "d1 d2 l2"),
    ("make=ki", ""),
    ("make=k%25", ""),
    ("make=k_a", ""),
    ("color=black", "d2 l1"),
    ("color=흰색,RED", "d1 l3"),
    // Sources, fuels and transmissions match exactly.
    ("source=dealer&make=kia", "d2"),
    ("source=sk,aj", "l1 l3"),
    ("fuel=diesel", "d2 l3"),
    ("fuel=gasoline,lpg", "d1 l2"),
    ("transmission=auto,dct", "d2 l1 l2"),
    // Every keyword is a prefix of a word of the make, model or trim.
    ("keyword=k5", "d2 l1 l2"),
    ("keyword=K5%20kI", "d2 l1 l2"),
    ("keyword=hyb", "l1"),
    ("keyword=brid", ""),
    ("keyword=기아", "d1 l4"),
    ("keyword=기", "d1 l4"),
    ("keyword=럭셔%20모", "d1"),
    ("keyword=benz%20w2", "l4"),
    ("keyword=e-class", "l4"),
    ("keyword=k5%20prestige", "d2"),
    ("keyword=CITRO%C3%8B", "l3"),
    ("keyword=2.0", "l2"),
    ("keyword=c4*", "l3"),
    // All of the options are required.
    ("options_include=sunroof", "d2 l1 l2"),
    ("options_include=SUNROOF,Hud", "d2 l2"),
    ("options_include=어라운드뷰", "d1"),
    ("options_include=hud,어라운드뷰", ""),
    // Ranges include both ends.
    ("year_min=2019&year_max=2020", "l1 l2"),
    ("year_min=2021", "l3 l4"),
    ("year_max=2016", "d1"),
    ("mileage_max_km=20000", "l3 l4"),
    ("mileage_max_km=0", "l4"),
    ("price_min_usd=12000&price_max_usd=13000", "l2 l3"),
    ("price_max_usd=9000", "d1 d2"),
    // Filters are joined by AND.
    (
        "fuel=diesel&transmission=auto&color=black&options_include=hud&price_max_usd=9000&year_min=2018",
        "d2",
    ),
    ("ids=d1,d2,l1&fuel=diesel", "d2"),
    ("ids=l4,unknown,%EA%B0%80,a%20b", "l4"),
];

/// Queries that no dealer's vehicle can match.
const AUCTIONED: &[(&str, &str)] = &[
    ("accident_grade=A,B", "l1 l4"),
    ("exterior_grade=B", "l1 l4"),
    ("auction_status=no_bid", "l3"),
    ("auction_status=upcoming,no_bid", "l1 l2 l3 l4"),
    ("auction_status=sold", ""),
    ("auction_date_from=2026-04-20", "l1 l2 l4"),
    ("auction_date_to=2026-04-20", "l1 l2 l3"),
    (
        "auction_date_from=2026-04-20&auction_date_to=2026-04-20",
        "l1 l2",
    ),
    ("auction_date_from=2026-04-22", ""),
    ("auction_count_min=2", "l2 l4"),
    ("auction_count_max=1", "l1"),
    ("auction_count_min=0", "l1 l2 l4"),
];

#[tokio::test]
async fn each_filter_keeps_exactly_the_matching_vehicles() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    for (query, expected) in ANY_VEHICLE.iter().chain(AUCTIONED) {
        let is_scoped = ["make=", "ids=", "source="]
            .iter()
            .any(|it| query.contains(it));
        let query = match is_scoped {
            true => (*query).to_owned(),
            false => format!("{ALL_MAKES}&{query}"),
        };
        for sort in ["auction_date_asc", "price_desc"] {
            let mut ids = list_all(&acme, &format!("{query}&sort={sort}")).await;
            ids.sort();
            assert_eq!(ids.join(" "), *expected, "{query} {sort}");
        }
    }
}

/// Reads `X-LMN-Filtered-Out` of a page, and the cursor of the next one.
async fn filtered_out(acme: &Partner, query: &str) -> (Option<String>, Option<String>) {
    let reply = acme.get(&format!("/v1/vehicles?{query}")).await;
    let next = reply.ok()["next_cursor"].as_str().map(str::to_owned);
    let header = reply.headers.contains_key("x-lmn-filtered-out");
    (
        header.then(|| reply.header("x-lmn-filtered-out").to_owned()),
        next,
    )
}

#[tokio::test]
async fn dropped_dealers_are_counted_only_when_in_scope_and_dropped() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    for (query, count) in [
        ("accident_grade=A", Some(2)),
        ("exterior_grade=A,B", Some(2)),
        ("auction_status=upcoming", Some(2)),
        ("auction_date_from=2026-01-01", Some(2)),
        ("auction_date_to=2026-01-01", Some(2)),
        ("auction_count_min=0", Some(2)),
        ("auction_count_max=9", Some(2)),
        // Only vehicles that match all other filters are counted.
        ("auction_status=upcoming&fuel=lpg", Some(1)),
        ("auction_status=upcoming&keyword=k&year_min=2018", Some(1)),
        (
            "auction_status=upcoming&options_include=hud,sunroof",
            Some(1),
        ),
        ("auction_status=upcoming&price_max_usd=100", Some(0)),
        ("auction_status=upcoming&source=dealer", Some(2)),
        ("auction_status=upcoming&ids=d1,l1", Some(1)),
        ("auction_status=upcoming&source=sk,glovis", None),
        ("", None),
        ("fuel=lpg&year_min=2000", None),
    ] {
        let (header, _) = filtered_out(&acme, &format!("{ALL_MAKES}&{query}")).await;
        assert_eq!(header, count.map(|it| format!("dealer={it}")), "{query}");
    }
    // Dealers' vehicles are out of scope without a make, so none is dropped.
    assert_eq!(
        filtered_out(&acme, "source=sk&accident_grade=A").await.0,
        None
    );
    let head = acme
        .ask(Method::HEAD, "/v1/vehicles?ids=d1,l1&accident_grade=A")
        .send()
        .await;
    assert_eq!(head.header("x-lmn-filtered-out"), "dealer=1");
}

#[tokio::test]
async fn number_of_dropped_dealers_is_exact_and_the_same_on_later_pages() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 0..3 {
        service.vehicle(Vehicle::lot(&format!("l{n}"))).await;
    }
    service.vehicle(Vehicle::dealers("d0")).await;
    let columns =
        "source, make, model, year, mileage_km, listing_usd, listed_at, updated_at, priced_at";
    service
        .sql(&format!(
            "insert into vehicles (id, {columns}) select 'd' || n, {columns} from vehicles, generate_series(1, 12344) as n
             where id = 'd0'"
        ))
        .await;
    let query = "make=hyundai&auction_status=upcoming";
    let (first, next) = filtered_out(&acme, &format!("{query}&limit=1")).await;
    assert_eq!(first.as_deref(), Some("dealer=12345"));
    service.delete_vehicle("d7").await;
    let (one_less, _) = filtered_out(&acme, query).await;
    assert_eq!(one_less.as_deref(), Some("dealer=12344"));
    let priced = format!("{query}&price_max_usd=9999");
    for id in ["d5", "d6", "l0"] {
        service.set_price(id, 9_000).await;
    }
    let (cheap, _) = filtered_out(&acme, &priced).await;
    assert_eq!(cheap.as_deref(), Some("dealer=2"));
    // Later pages repeat the count of the first page.
    let cursor = next.unwrap();
    let (later, next) = filtered_out(&acme, &format!("{query}&limit=1&cursor={cursor}")).await;
    assert_eq!(later, first);
    let (last, next) = filtered_out(&acme, &format!("{query}&cursor={}", next.unwrap())).await;
    assert_eq!((last, next), (first, None));
}

#[tokio::test]
async fn page_of_rare_vehicles_is_full_in_every_sort() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let base = Vehicle {
        year: 2010,
        ..Vehicle::lot("l0000")
    };
    service.vehicle(base).await;
    let columns = "source, make, model, mileage_km, auction_date, auction_result, listed_at, updated_at, priced_at";
    // 1,500 of 9,000 vehicles are red and of 2020: the most expensive ones, which are also the last by id.
    service
        .sql(&format!(
            "insert into vehicles (id, listing_usd, year, color, {columns})
             select 'l' || to_char(n, 'fm0000'), 1000 + n, case when n > 7500 then 2020 else 2010 end,
                 case when n > 7500 then 'red' end, {columns}
             from vehicles, generate_series(1, 9000) as n where id = 'l0000'"
        ))
        .await;
    let rare: Vec<_> = (7_501..=9_000).map(|n| format!("l{n}")).collect();
    let most_expensive_first: Vec<_> = rare.iter().rev().cloned().collect();
    for filter in [
        "year_min=2020",
        "color=red",
        "color=red&year_max=2020",
        "price_min_usd=8501&year_min=2019",
    ] {
        for (sort, expected) in [
            ("price_asc", &rare),
            ("mileage_asc", &rare),
            ("auction_date_asc", &rare),
            ("price_desc", &most_expensive_first),
            ("year_desc", &most_expensive_first),
        ] {
            let query = format!("source=glovis&{filter}&sort={sort}");
            let full = [&[200; 7][..], &[100]].concat();
            assert_eq!(pages(&acme, &query, 200).await, full, "{query}");
            let page = acme.get(&format!("/v1/vehicles?{query}&limit=7")).await;
            assert_eq!(page.ids(), expected[..7], "{query}");
        }
    }
}

/// Reads all pages of a list, and returns the number of vehicles on each page.
async fn pages(acme: &Partner, query: &str, limit: usize) -> Vec<usize> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/vehicles?{query}&limit={limit}{cursor}");
        let page = acme.get(&path).await;
        pages.push(page.ids().len());
        let next = page.json()["next_cursor"].as_str().map(str::to_owned);
        assert_eq!(page.headers.contains_key("link"), next.is_some());
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn unrendered_vehicle_is_shown_with_its_current_values() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("l1")).await;
    service.vehicle(Vehicle::lot("l2")).await;
    service
        .sql("update vehicles set trim = 'Noblesse', listing_usd = 12345, updated_at = now() where id = 'l2'")
        .await;
    let unrendered = "select count(*) from vehicles where summary is null";
    assert_eq!(service.count(unrendered).await, 1);
    let list = acme
        .get("/v1/vehicles?source=glovis&sort=price_desc")
        .await
        .ok();
    assert_eq!(list["data"][0]["trim"], "Noblesse");
    assert_eq!(list["data"][0]["pricing"]["listing_usd"], 12_345);
    assert_eq!(list["data"][1]["id"], "l1");
    render_all(&service.database.product, 100).await.unwrap();
    assert_eq!(service.count(unrendered).await, 0);
    let rendered = acme
        .get("/v1/vehicles?source=glovis&sort=price_desc&limit=2")
        .await;
    assert_eq!(rendered.ok()["data"], list["data"]);
}
