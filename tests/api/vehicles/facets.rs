//! The values that there are.

use lmn_partner_api::{
    error::catalogue::Code,
    router::router,
    vehicles::{facets::counting::refresh, render::render_all},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Car, Partner, Service, eventually, somebody_waits},
};

const FACETS: &str = "/v1/vehicles/facets";

/// Makes the last count one of long ago.
async fn age_by_an_hour(service: &Service) {
    service
        .sql("update facets set as_of = as_of - interval '1 hour'")
        .await;
}

/// Counts as if the last time were long ago.
async fn count(service: &Service) {
    age_by_an_hour(service).await;
    refresh(&service.app).await.unwrap();
}

/// Cars of three sources; `sk_2` is withdrawn.
async fn furnish(service: &Service) {
    for (id, source, make, model, fuel, transmission, color) in [
        (
            "encar_1", "dealer", "기아", "모닝", "'lpg'", "null", "'흰색'",
        ),
        (
            "encar_2", "dealer", "Kia", "K5", "'diesel'", "'auto'", "'black'",
        ),
        ("sk_1", "sk", "Kia", "K3", "'gasoline'", "'dct'", "null"),
        (
            "sk_2",
            "sk",
            "Saab",
            "9-3",
            "'electric'",
            "'manual'",
            "'green'",
        ),
        ("aj_1", "aj", "BMW", "X5", "null", "'auto'", "'Black'"),
        ("aj_2", "aj", "Kia", "K5", "'diesel'", "'auto'", "'black'"),
    ] {
        let car = match source {
            "dealer" => Car::dealers(id),
            _ => Car::lot(id),
        };
        let car = Car {
            source,
            make,
            model,
            ..car
        };
        service.car(car).await;
        let update = format!(
            "update vehicles set fuel = {fuel}, transmission = {transmission}, color = {color} where id = '{id}'"
        );
        service.sql(&update).await;
    }
    service
        .sql("update vehicles set withdrawn_at = now() where id = 'sk_2'")
        .await;
    render_all(&service.database.product, 100).await.unwrap();
}

impl Partner {
    /// Reads facets without their time.
    async fn facets(&self, query: &str) -> Value {
        let mut facets = self.get(&format!("{FACETS}{query}")).await.ok();
        let as_of = facets.as_object_mut().unwrap().remove("as_of").unwrap();
        assert!(as_of.as_str().unwrap().ends_with("+09:00"));
        facets
    }
}

#[tokio::test]
async fn facets_are_the_distinct_values_of_listed_cars_in_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    refresh(&service.app).await.unwrap();
    let all = json!({
        "makes": ["BMW", "Kia", "기아"],
        "models": {"BMW": ["X5"], "Kia": ["K3", "K5"], "기아": ["모닝"]},
        "fuels": ["diesel", "gasoline", "lpg"],
        "transmissions": ["auto", "dct"],
        "sources": ["aj", "dealer", "sk"],
        "colors": ["Black", "black", "흰색"],
    });
    assert_eq!(acme.facets("").await, all);
    assert_eq!(
        acme.facets("?source=dealer,sk,aj,lotte,kcar,glovis").await,
        all
    );
    let sk = json!({
        "makes": ["Kia"], "models": {"Kia": ["K3"]}, "fuels": ["gasoline"], "transmissions": ["dct"],
        "sources": ["sk"], "colors": [],
    });
    assert_eq!(acme.facets("?source=sk").await, sk);
    let two = json!({
        "makes": ["BMW", "Kia"], "models": {"BMW": ["X5"], "Kia": ["K3", "K5"]}, "fuels": ["diesel", "gasoline"],
        "transmissions": ["auto", "dct"], "sources": ["aj", "sk"], "colors": ["Black", "black"],
    });
    assert_eq!(acme.facets("?source=sk,%20aj,sk").await, two);
    let none = json!({
        "makes": [], "models": {}, "fuels": [], "transmissions": [], "sources": [], "colors": [],
    });
    assert_eq!(acme.facets("?source=lotte").await, none);
}

#[tokio::test]
async fn what_a_facet_says_finds_cars() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    refresh(&service.app).await.unwrap();
    let facets = acme.facets("").await;
    for (make, models) in facets["models"].as_object().unwrap() {
        for model in models.as_array().unwrap() {
            let path = format!("/v1/vehicles?make={make}&model={}", model.as_str().unwrap());
            assert!(!acme.get(&path).await.ids().is_empty(), "{path}");
        }
    }
}

#[tokio::test]
async fn a_source_that_does_not_exist_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    refresh(&service.app).await.unwrap();
    let issue = |kind: &str| ("source".to_owned(), kind.to_owned());
    for (query, issues) in [
        ("source=encar,SK,sk", vec![issue("INVALID_VALUE"); 2]),
        ("source=", vec![issue("INVALID_VALUE")]),
        ("source=sk,sk,sk,sk,sk,sk,sk", vec![issue("TOO_MANY")]),
        ("source=sk&source=aj", vec![issue("DUPLICATE")]),
    ] {
        let reply = acme.get(&format!("{FACETS}?{query}")).await;
        assert_eq!(reply.issues(), issues, "{query}");
    }
    acme.get(&format!("{FACETS}?colour=red")).await.ok();
}

#[tokio::test]
async fn every_replica_gives_the_same_and_one_of_them_counts() {
    let database = TestDatabase::new().await;
    let url = database.url();
    let service = Service::on(database, &[], router).await;
    let other = Service::at(TestDatabase::new().await, &url, &[], router).await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    refresh(&service.app).await.unwrap();
    let first = acme.get(FACETS).await;
    assert_eq!(acme.at(&other.url).get(FACETS).await.body, first.body);
    // The other one comes by soon after, and finds nothing to do even if there is something new.
    service.car(Car::lot("glovis_1")).await;
    refresh(&other.app).await.unwrap();
    assert_eq!(acme.get(FACETS).await.body, first.body);
    age_by_an_hour(&service).await;
    refresh(&other.app).await.unwrap();
    let second = acme.get(FACETS).await;
    assert_eq!(
        second.ok()["makes"],
        json!(["BMW", "Hyundai", "Kia", "기아"])
    );
    let known = acme
        .ask(Method::GET, FACETS)
        .header("if-none-match", second.header("etag"))
        .send()
        .await;
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[tokio::test]
async fn while_no_car_changes_only_their_time_moves_on() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    refresh(&service.app).await.unwrap();
    // Something that a count would not find.
    service
        .sql("update facets set found = jsonb_set(found, '{colors}', '[\"sepia\"]') where source = 'kcar'")
        .await;
    count(&service).await;
    let as_of = acme.get(FACETS).await.ok()["as_of"].clone();
    assert_eq!(
        acme.facets("?source=kcar").await["colors"],
        json!(["sepia"])
    );
    service
        .sql("update vehicles set withdrawn_at = now() where source = 'aj'")
        .await;
    count(&service).await;
    let counted = acme.get(FACETS).await.ok();
    assert_eq!(counted["colors"], json!(["black", "흰색"]));
    assert_eq!(counted["sources"], json!(["dealer", "sk"]));
    assert!(counted["as_of"].as_str() > as_of.as_str());
}

#[tokio::test]
async fn facets_that_are_older_than_five_minutes_are_not_given() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    acme.get(FACETS)
        .await
        .refused(503, Code::ServiceUnavailable);
    refresh(&service.app).await.unwrap();
    service
        .sql("update facets set as_of = as_of - interval '290 seconds'")
        .await;
    acme.get(FACETS).await.ok();
    service
        .sql("update facets set as_of = as_of - interval '11 seconds'")
        .await;
    let stale = acme.get(FACETS).await;
    stale.refused(503, Code::ServiceUnavailable);
    assert_eq!(stale.header("retry-after"), "2");
}

#[tokio::test]
async fn readers_do_not_wait_for_who_counts() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    refresh(&service.app).await.unwrap();
    let mut counting = service.db().begin().await.unwrap();
    for statement in [
        "lock table facets in share row exclusive mode",
        "update facets set as_of = as_of + interval '1 second'",
    ] {
        sqlx::query(statement)
            .execute(&mut *counting)
            .await
            .unwrap();
    }
    acme.get(FACETS).await.ok();
    counting.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_caller_after_a_long_stop_gets_fresh_facets() {
    let database = TestDatabase::new().await;
    Car::lot("glovis_1").insert(&database).await;
    let acme = Partner::add(&database.pool, "", "acme").await;
    // Whoever counts is kept waiting, and so is who would call.
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("lock table facets in share row exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let url = database.url();
    let starting = tokio::task::spawn_blocking(move || {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
            ("LMN_CATALOGUE__FACETS_SECONDS", "1"),
        ];
        Process::start(&["serve", "--no-worker", "--json"], &variables)
    });
    somebody_waits(&database.pool).await;
    assert!(!starting.is_finished(), "it is ready before it has counted");
    holder.rollback().await.unwrap();
    let replica = starting.await.unwrap();
    let acme = acme.at(replica.url());
    let first = acme.get(FACETS).await.ok();
    assert_eq!(first["models"], json!({"Hyundai": ["Grandeur"]}));
    // And it goes on counting, also without a worker.
    let kia = Car {
        make: "Kia",
        ..Car::dealers("encar_1")
    };
    kia.insert(&database).await;
    eventually("the new brand is there", async || {
        let facets = acme.get(FACETS).await.ok();
        (facets["makes"] == json!(["Hyundai", "Kia"])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_counts_too() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    furnish(&service).await;
    let url = service.database.url();
    let _worker = Process::start(&["worker", "--json"], &[("DATABASE_URL", &url)]);
    eventually("the facets are counted", async || {
        let facets = acme.get(FACETS).await;
        (facets.status == 200).then_some(())
    })
    .await;
    assert_eq!(
        acme.facets("?source=aj").await["makes"],
        json!(["BMW", "Kia"])
    );
}
