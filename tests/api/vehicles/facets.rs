//! Facets: the distinct values of the listed vehicles.

use lmn_partner_api::router::router;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    database::TestDatabase,
    support::{Partner, Service, Vehicle},
};

const FACETS: &str = "/v1/vehicles/facets";

/// Adds vehicles of three sources; `sk_2` is withdrawn.
async fn add_vehicles(service: &Service) {
    let vehicles = [
        Vehicle {
            make: "기아",
            model: "모닝",
            fuel: Some("lpg"),
            color: Some("흰색"),
            ..Vehicle::dealers("encar_1")
        },
        Vehicle {
            make: "Kia",
            model: "K5",
            fuel: Some("diesel"),
            transmission: Some("auto"),
            color: Some("black"),
            ..Vehicle::dealers("encar_2")
        },
        Vehicle {
            source: "sk",
            make: "Kia",
            model: "K3",
            fuel: Some("gasoline"),
            transmission: Some("dct"),
            ..Vehicle::lot("sk_1")
        },
        Vehicle {
            source: "sk",
            make: "Saab",
            model: "9-3",
            fuel: Some("electric"),
            transmission: Some("manual"),
            color: Some("green"),
            ..Vehicle::lot("sk_2")
        },
        Vehicle {
            source: "aj",
            make: "BMW",
            model: "X5",
            transmission: Some("auto"),
            color: Some("Black"),
            ..Vehicle::lot("aj_1")
        },
        Vehicle {
            source: "aj",
            make: "Kia",
            model: "K5",
            fuel: Some("diesel"),
            transmission: Some("auto"),
            color: Some("black"),
            ..Vehicle::lot("aj_2")
        },
    ];
    for vehicle in vehicles {
        service.vehicle(vehicle).await;
    }
    service.withdraw_vehicle("sk_2").await;
}

impl Partner {
    /// Reads the facets without `as_of`.
    async fn facets(&self, query: &str) -> Value {
        let mut facets = self.get(&format!("{FACETS}{query}")).await.ok();
        let as_of = facets.as_object_mut().unwrap().remove("as_of").unwrap();
        assert!(as_of.as_str().unwrap().ends_with("+09:00"));
        facets
    }

    /// Reads `as_of`: the time at which the catalogue last changed.
    async fn as_of(&self) -> String {
        let facets = self.get(FACETS).await.ok();
        facets["as_of"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn facets_are_the_distinct_values_of_listed_vehicles_in_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
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
async fn facets_of_an_empty_catalogue_are_empty() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let none = json!({
        "makes": [], "models": {}, "fuels": [], "transmissions": [], "sources": [], "colors": [],
    });
    assert_eq!(acme.facets("").await, none);
    service.vehicle(Vehicle::lot("sk_1")).await;
    service.delete_vehicle("sk_1").await;
    assert_eq!(acme.facets("").await, none);
}

#[tokio::test]
async fn every_facet_value_finds_vehicles() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let all = acme.facets("").await;
    let texts = |values: &Value| -> Vec<String> {
        let values = values.as_array().unwrap().iter();
        values.map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let makes = texts(&all["makes"]);
    let any_make = ("make", makes.join(","));
    let mut queries = Vec::new();
    for make in makes {
        for model in texts(&all["models"][&make]) {
            queries.push([("make", make.clone()), ("model", model)]);
        }
    }
    for (facet, filter) in [
        ("fuels", "fuel"),
        ("transmissions", "transmission"),
        ("sources", "source"),
        ("colors", "color"),
    ] {
        let values = texts(&all[facet]).into_iter();
        queries.extend(values.map(|it| [any_make.clone(), (filter, it)]));
    }
    assert_eq!(queries.len(), 15);
    for query in queries {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&query)
            .finish();
        let found = acme.get(&format!("/v1/vehicles?{query}")).await.ids();
        assert!(!found.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn unknown_source_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let issue = |kind: &str| ("source".to_owned(), kind.to_owned());
    for (query, issues) in [
        ("source=encar,SK,sk", vec![issue("INVALID_VALUE"); 2]),
        ("source=", vec![issue("INVALID_VALUE")]),
        ("source=sk,sk,sk,sk,sk,sk,sk", vec![issue("TOO_MANY")]),
        ("source=sk&source=encar", vec![issue("INVALID_VALUE")]),
    ] {
        let reply = acme.get(&format!("{FACETS}?{query}")).await;
        assert_eq!(reply.issues(), issues, "{query}");
    }
    acme.get(&format!("{FACETS}?colour=red")).await.ok();
}

#[tokio::test]
async fn facets_are_the_same_on_every_replica() {
    let service = Service::start().await;
    let url = service.database.url();
    let other = Service::at(TestDatabase::new().await, &url, &[], router).await;
    let acme = service.partner("acme").await;
    let there = acme.at(&other.url);
    add_vehicles(&service).await;
    other.app.catch_up().await;
    let conditional = async |acme: &Partner, etag: &str| {
        let ask = acme.ask(Method::GET, FACETS).header("if-none-match", etag);
        ask.send().await
    };
    let first = acme.get(FACETS).await;
    first.ok();
    assert_eq!(there.get(FACETS).await.body, first.body);
    let same = conditional(&there, first.header("etag")).await;
    assert_eq!((same.status, same.body.len()), (304, 0));

    service.vehicle(Vehicle::lot("glovis_1")).await;
    other.app.catch_up().await;
    let second = conditional(&there, first.header("etag")).await;
    let makes = &second.ok()["makes"];
    assert_eq!(*makes, json!(["BMW", "Hyundai", "Kia", "기아"]));
    assert_eq!(acme.get(FACETS).await.body, second.body);
    let same = conditional(&acme, second.header("etag")).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
}

#[tokio::test]
async fn as_of_moves_only_when_a_vehicle_changes() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let first = acme.get(FACETS).await;
    // An order, a new partner and a catch-up change no vehicle.
    acme.place_order("sk_1", 12_000).await.created();
    service.partner("other").await;
    service.app.catch_up().await;
    assert_eq!(acme.get(FACETS).await.body, first.body);
    let mut as_of = acme.as_of().await;
    let mut moves = async |change: &str| {
        let now = acme.as_of().await;
        assert!(now > as_of, "{change}: {now} after {as_of}");
        as_of = now;
    };
    service.set_color("aj_1", "sepia").await;
    moves("another color").await;
    service.withdraw_vehicle("aj_1").await;
    moves("a withdrawal").await;
    service.restore_vehicle("aj_1").await;
    moves("a restoration").await;
    service.delete_vehicle("aj_2").await;
    moves("a deletion").await;
    service.delete_vehicle("aj_2").await;
    assert_eq!(acme.as_of().await, as_of, "there was nothing to delete");
}

#[tokio::test]
async fn vehicle_whose_make_changes_moves_to_another_facet() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for id in ["sk_1", "sk_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let found = async |query: &str| acme.get(&format!("/v1/vehicles?{query}")).await.ids();
    let rename = async |id: &str| {
        let rename = "update vehicles set make = 'Genesis', model = 'G80' where id =";
        service.sql(&format!("{rename} '{id}'")).await;
    };
    rename("sk_1").await;
    let facets = acme.facets("").await;
    let models = json!({"Genesis": ["G80"], "Hyundai": ["Grandeur"]});
    assert_eq!(facets["makes"], json!(["Genesis", "Hyundai"]));
    assert_eq!(facets["models"], models);
    assert_eq!(found("make=hyundai").await, ["sk_2"]);
    assert_eq!(found("make=genesis&model=g80").await, ["sk_1"]);
    assert_eq!(found("make=genesis,hyundai&model=grandeur").await, ["sk_2"]);

    rename("sk_2").await;
    let facets = acme.facets("").await;
    assert_eq!(facets["makes"], json!(["Genesis"]));
    assert_eq!(facets["models"], json!({"Genesis": ["G80"]}));
    assert_eq!(found("make=hyundai").await, [""; 0]);
    assert_eq!(found("make=genesis").await, ["sk_1", "sk_2"]);
    assert_eq!(found("source=glovis&keyword=grandeur").await, [""; 0]);
}
