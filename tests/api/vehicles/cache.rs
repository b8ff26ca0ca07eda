//! The vehicle cache: vehicles are cached by id and version, and pages of all partners and queries are assembled from
//! them.

use lmn_partner_api::vehicles::render::render_all;

use crate::support::{Service, Vehicle, eventually};

const PAGE: &str = "/v1/vehicles?source=glovis&limit=20";

/// Returns the number of cache hits and of cache misses of vehicles in lists.
async fn hits_and_misses(service: &Service) -> (f64, f64) {
    let count = async |result: &str| {
        let labels = format!("{{kind=\"summary\",result=\"{result}\"}}");
        service
            .metric(&format!("lmn_catalogue_cache_total{labels}"))
            .await
    };
    (count("hit").await, count("miss").await)
}

/// Adds twenty vehicles of two makes.
async fn add_vehicles(service: &Service) {
    for n in 10..30 {
        let vehicle = Vehicle {
            make: ["Hyundai", "Kia"][n % 2],
            listing_usd: 5_000 + i32::try_from(n).unwrap(),
            ..Vehicle::lot(&format!("glovis_{n}"))
        };
        service.vehicle(vehicle).await;
    }
}

#[tokio::test]
async fn changed_vehicle_causes_one_cache_miss() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let first = acme.get(PAGE).await;
    assert_eq!(first.ids().len(), 20);
    assert_eq!(hits_and_misses(&service).await, (0.0, 20.0));
    assert_eq!(acme.get(PAGE).await.body, first.body);
    assert_eq!(hits_and_misses(&service).await, (20.0, 20.0));
    for change in [
        "update vehicles set listing_usd = 7000 where id = 'glovis_17'",
        "update vehicles set color = 'red', updated_at = now() where id = 'glovis_10'",
    ] {
        let (hits, misses) = hits_and_misses(&service).await;
        service.sql(change).await;
        acme.get(PAGE).await.ok();
        let now = hits_and_misses(&service).await;
        assert_eq!(now, (hits + 19.0, misses + 1.0), "{change}");
    }
    let page = acme.get(PAGE).await.ok();
    assert_eq!(page["data"][7]["pricing"]["listing_usd"], 7_000);
    assert_eq!(page["data"][0]["color"], "red");
}

#[tokio::test]
async fn cached_vehicle_serves_every_query() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let other = service.partner("other").await;
    add_vehicles(&service).await;
    let all: Vec<_> = acme.get(PAGE).await.ids();
    let (_, misses) = hits_and_misses(&service).await;
    for query in [
        "source=glovis",
        "limit=19&source=glovis,%20glovis",
        "make=KIA,hyundai",
        "make=Hyundai,Kia&source=glovis,dealer&year_min=1999",
        "ids=glovis_10,glovis_29,glovis_11",
        "source=glovis&keyword=grand&sort=price_desc",
    ] {
        let found = other.get(&format!("/v1/vehicles?{query}")).await.ids();
        assert!(found.len() >= 3 && found.iter().all(|it| all.contains(it)));
    }
    assert_eq!(hits_and_misses(&service).await.1, misses);
}

#[tokio::test]
async fn replica_without_a_cache_returns_the_same_vehicles() {
    let service = Service::with(&[("CATALOGUE__CACHE_MEBIBYTES", "0")]).await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let first = acme.get(PAGE).await;
    assert_eq!(first.ids().len(), 20);
    assert_eq!(acme.get(PAGE).await.body, first.body);
    let vehicle = acme.get("/v1/vehicles/glovis_10").await;
    let again = acme.get("/v1/vehicles/glovis_10").await;
    assert_eq!((again.ok(), &again.body), (vehicle.ok(), &vehicle.body));
    assert_eq!(vehicle.header("etag"), again.header("etag"));
    service
        .sql("update vehicles set listing_usd = 7000 where id = 'glovis_10'")
        .await;
    let page = acme.get(PAGE).await.ok();
    assert_eq!(page["data"][0]["pricing"]["listing_usd"], 7_000);
    let vehicle = acme.get("/v1/vehicles/glovis_10").await.ok();
    assert_eq!(vehicle["pricing"]["listing_usd"], 7_000);
}

#[tokio::test]
async fn page_is_the_same_after_the_catalogue_was_loaded_again() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let columns = "make, model, year, mileage_km, listing_usd, auction_date, auction_result, listed_at, updated_at, priced_at";
    let copy = |id: &str, source: &str, count: u32| {
        format!(
            "insert into vehicles (id, source, {columns}) select '{id}_' || n, '{source}', {columns}
             from vehicles, generate_series(1, {count}) as n where id = 'glovis_1'"
        )
    };
    // The deletion of so many vehicles makes the replica reload the others at the same version.
    service.sql(&copy("sk", "sk", 12_000)).await;
    service.sql(&copy("aj", "aj", 3)).await;
    let expected = ["aj_1", "aj_2", "aj_3", "glovis_1"];
    let page = async || {
        let page = acme.get("/v1/vehicles?source=aj,glovis,sk&limit=10").await;
        page.ids()
    };
    assert_eq!(page().await.len(), 10);
    service
        .sql_elsewhere("delete from vehicles where source = 'sk'")
        .await;
    eventually("they are gone", async || {
        (page().await == expected).then_some(())
    })
    .await;
    for _ in 0..3 {
        service.app.catch_up().await;
        assert_eq!(page().await, expected);
    }
    let facets = acme.get("/v1/vehicles/facets").await.ok();
    assert_eq!(facets["sources"], serde_json::json!(["aj", "glovis"]));
}

#[tokio::test]
async fn rewritten_table_whose_rows_have_moved_shows_the_same_vehicles() {
    let service = Service::with(&[("CATALOGUE__CACHE_MEBIBYTES", "0")]).await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    // Rows that one statement wrote have one version, so only their ids tell them apart where they have moved.
    service
        .sql("update vehicles set description = 'rewritten'")
        .await;
    render_all(service.app.database(), 100).await.unwrap();
    service.sql_elsewhere("vacuum full vehicles").await;
    let before = acme.get(PAGE).await;
    // Every row moves to the place of the one before it, which the change log does not record.
    let first = "delete from vehicles where ctid = (select min(ctid) from vehicles) returning id";
    let (gone,): (String,) = sqlx::query_as(first).fetch_one(service.db()).await.unwrap();
    service.sql_elsewhere("vacuum full vehicles").await;
    service.app.catch_up().await;
    let page = acme.get(PAGE).await;
    let expected: Vec<_> = before.ids().into_iter().filter(|it| *it != gone).collect();
    assert_eq!(page.ids(), expected);
    for vehicle in page.ok()["data"].as_array().unwrap() {
        let path = format!("/v1/vehicles/{}", vehicle["id"].as_str().unwrap());
        let alone = acme.get(&path).await;
        let price = |it: &serde_json::Value| it["pricing"]["listing_usd"].clone();
        assert_eq!(price(&alone.ok()), price(vehicle));
    }
}
