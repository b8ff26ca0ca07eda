//! Operations that the settings deprecate: the headers of their responses, the document, and the metric.

use lmn_partner_api::{errors::catalogue::Code, values::id::PartnerId};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Document, Partner, Reply, Service, Vehicle, settings};

/// `GET /v1/vehicles`, which needs a key, and `GET /v1/errors`, which needs none, are deprecated.
const DEPRECATED: [settings::Setting; 6] = {
    let [since, sunset, link] = settings::LIST_VEHICLES_DEPRECATED;
    [
        since,
        sunset,
        link,
        (
            "DEPRECATIONS__LIST_ERRORS__DEPRECATED_AT",
            "2027-01-01T00:00:00Z",
        ),
        (
            "DEPRECATIONS__LIST_ERRORS__SUNSET_AT",
            "2028-01-01T00:00:00Z",
        ),
        (
            "DEPRECATIONS__LIST_ERRORS__LINK",
            "https://lmn.example/docs/changelog",
        ),
    ]
};
/// The link that announces a deprecation.
const ANNOUNCEMENT: &str = "<https://lmn.example/docs/changelog>; rel=\"deprecation\"";

/// Returns all values of `Link`.
fn links(reply: &Reply) -> Vec<&str> {
    let links = reply.headers.get_all("link").iter();
    links.map(|it| it.to_str().unwrap()).collect()
}

/// Asserts that a reply has the headers of a deprecated operation, and `Link` as the last of its links.
#[track_caller]
fn assert_announced(reply: &Reply) {
    assert_eq!(reply.header("deprecation"), "@1798761600", "{reply:?}");
    assert_eq!(reply.header("sunset"), "Sat, 01 Jan 2028 00:00:00 GMT");
    assert_eq!(links(reply).last(), Some(&ANNOUNCEMENT));
}

/// Starts a service with deprecated operations and two vehicles, and returns it with a partner.
async fn deprecated() -> (Service, Partner) {
    let service = Service::with(&DEPRECATED).await;
    let acme = service.partner("acme").await;
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    (service, acme)
}

#[tokio::test]
async fn responses_of_a_deprecated_operation_announce_it() {
    let (_service, acme) = deprecated().await;
    let document = Document::with(&DEPRECATED);
    let keyless = acme.with_key("");
    for (partner, query, status) in [
        (&acme, "?source=glovis&limit=2", 200),
        (&acme, "?limit=0", 400),
        (&keyless, "", 401),
    ] {
        let reply = partner.get(&format!("/v1/vehicles{query}")).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_announced(&reply);
        assert_eq!(links(&reply), [ANNOUNCEMENT]);
        document.check("list_vehicles", &reply);
    }
    let page = acme.get("/v1/vehicles?source=glovis&limit=1").await;
    page.ok();
    assert_announced(&page);
    let [next, _] = links(&page)[..] else {
        panic!("{page:?}");
    };
    assert!(next.ends_with("; rel=\"next\""), "{next}");
    document.check("list_vehicles", &page);

    let head = acme.ask(Method::HEAD, "/v1/vehicles").send().await;
    assert_announced(&head);
    let forced = acme.ask(Method::GET, "/v1/vehicles");
    let forced = forced.header("x-sandbox-force", "internal_error");
    let failed = forced.send().await;
    failed.refused(500, Code::InternalError);
    assert_announced(&failed);
    let errors = keyless.get("/v1/errors").await;
    assert_announced(&errors);
    document.check("list_errors", &errors);
}

#[tokio::test]
async fn responses_of_other_operations_announce_nothing() {
    let (_service, acme) = deprecated().await;
    let placed = acme.place_order("glovis_1", 12_000).await;
    placed.created();
    for reply in [
        placed,
        acme.get("/v1/vehicles/glovis_1").await,
        acme.get("/v1/errors/not_found").await,
        acme.get("/v1/orders").await,
        acme.ask(Method::PATCH, "/v1/vehicles").send().await,
        acme.get("/v1/nowhere").await,
    ] {
        for name in ["deprecation", "sunset", "link"] {
            assert_eq!(reply.header(name), "", "{reply:?}");
        }
    }
}

#[test]
fn document_marks_deprecated_operations_and_no_others() {
    let (document, usual) = (Document::with(&DEPRECATED), Document::read());
    for operation in &document.operations {
        let before = usual.operation(&operation.id);
        assert_eq!(before.members["deprecated"], Value::Null);
        if !["list_vehicles", "list_errors"].contains(&operation.id.as_str()) {
            assert_eq!(operation.members, before.members, "{}", operation.id);
            continue;
        }
        assert_eq!(operation.members["deprecated"], true);
        for (status, response) in operation.members["responses"].as_object().unwrap() {
            let headers = &response["headers"];
            assert_eq!(headers["Deprecation"]["example"], "@1798761600", "{status}");
            assert!(headers["Sunset"].is_object() && headers["Link"].is_object());
        }
    }
}

#[tokio::test]
async fn requests_for_a_deprecated_operation_are_counted_by_partner() {
    let (service, acme) = deprecated().await;
    for path in ["/v1/vehicles", "/v1/vehicles?limit=0", "/v1/orders"] {
        acme.get(path).await;
    }
    acme.with_key("").get("/v1/vehicles").await;
    let partner = PartnerId::from(acme.id).to_string();
    for (partner, count) in [(partner.as_str(), 2.0), ("none", 1.0)] {
        let name = format!(
            "lmn_deprecated_requests_total{{operation=\"list_vehicles\",partner=\"{partner}\"}}"
        );
        assert_eq!(service.metric(&name).await, count, "{name}");
    }
    let text = service.metrics().await;
    assert!(!text.contains("operation=\"list_orders\""), "{text}");
}
