//! The OpenAPI document of the operator API.

use lmn_partner_api::{operators::model::Role, router::operator_document};
use reqwest::Method;
use serde_json::Value;

use crate::support::{OperatorApi, Reply, Service};

/// Returns every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                found.push(to.trim_start_matches('#').to_owned());
            }
            members.values().for_each(|it| references(it, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn document_describes_every_operation_with_its_role_and_errors() {
    let document = operator_document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for to in &found {
        assert!(document.pointer(to).is_some(), "{to}");
    }
    let paths = document["paths"].as_object().unwrap();
    assert!(
        paths.keys().all(|path| path.starts_with("/v1/")),
        "{:?}",
        paths.keys()
    );
    let operations = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values());
    for operation in operations {
        let name = &operation["operationId"];
        let description = operation["description"].as_str().unwrap();
        assert!(description.contains("Needs the role `"), "{name}");
        let succeeds = |status: &str| operation["responses"].get(status).is_some();
        assert!(["200", "201", "202"].into_iter().any(succeeds), "{name}");
        for status in ["400", "401", "403", "500", "503"] {
            assert!(
                operation["responses"].get(status).is_some(),
                "{name} {status}"
            );
        }
    }
    let order = &document["components"]["schemas"]["OperatorOrder"]["properties"];
    assert!(order.get("partner").is_some() && order.get("vehicle_id").is_some());
}

#[tokio::test]
async fn document_and_reference_are_served_without_a_token() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Viewer).await;
    let served = mina.ask_openly(Method::GET, "/openapi.json").send().await;
    assert_eq!(served.ok(), operator_document());
    // `/docs` leads to the reference.
    let page = reqwest::get(format!("{}/docs", mina.url)).await.unwrap();
    assert!(
        page.url().path() == "/operator/docs/reference",
        "{}",
        page.url()
    );
    let page = Reply::of(page).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let script = reqwest::get(format!("{}/operator/docs/reference.js", mina.url))
        .await
        .unwrap();
    assert_eq!(script.status().as_u16(), 200);
}
