//! The Postman collection: it has every operation of the document, and its requests work.

use std::collections::BTreeSet;

use reqwest::{Method, Url};
use serde_json::Value;

use crate::{
    process::{run, words},
    support::{Document, Service, Vehicle, key},
};

/// Returns the collection that the command prints.
fn collection() -> Value {
    let output = run(&["openapi", "--postman"], &[]);
    assert!(output.status.success(), "{}", words(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns all requests, each with the name of its folder.
fn requests(collection: &Value) -> Vec<(&str, &Value)> {
    let folders = collection["item"].as_array().unwrap().iter();
    let requests = folders.flat_map(|folder| {
        let items = folder["item"].as_array().unwrap().iter();
        items.map(|it| (folder["name"].as_str().unwrap(), &it["request"]))
    });
    requests.collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let enabled = value.as_array().into_iter().flatten();
    let enabled = enabled.filter(|it| it["disabled"] != true);
    enabled.map(|it| (it["key"].as_str().unwrap(), it["value"].as_str().unwrap()))
}

fn method(request: &Value) -> Method {
    request["method"].as_str().unwrap().parse().unwrap()
}

#[test]
fn collection_has_every_operation_once_in_the_folder_of_its_tag() {
    let document = Document::read();
    let collection = collection();
    let mut expected: BTreeSet<_> = document
        .operations
        .iter()
        .map(|it| {
            let tag = it.members["tags"][0].as_str().unwrap().to_owned();
            (tag, it.method.to_string(), it.template.clone())
        })
        .collect();
    let base_url = collection["variable"][0]["value"].as_str().unwrap();
    assert_eq!(document.text["servers"][0]["url"], base_url);
    for (folder, request) in requests(&collection) {
        let url = &request["url"];
        let segments = url["path"].as_array().unwrap().iter();
        let template = segments.map(|it| match it.as_str().unwrap().strip_prefix(':') {
            Some(name) => format!("/{{{name}}}"),
            None => format!("/{}", it.as_str().unwrap()),
        });
        let template: String = template.collect();
        let operation = (folder.to_owned(), method(request).to_string(), template);
        assert!(expected.remove(&operation), "{operation:?}");

        let raw = url["raw"].as_str().unwrap();
        let mut whole = raw.replace("{{base_url}}", base_url);
        for (name, value) in entries(&url["variable"]) {
            assert!(!value.is_empty(), "{raw}: `{name}` has a value");
            whole = whole.replace(&format!(":{name}"), value);
        }
        let parsed = Url::parse(&whole).unwrap();
        let shown: Vec<_> = entries(&url["query"]).collect();
        assert_eq!(parsed.query_pairs().count(), shown.len(), "{raw}");
    }
    assert!(expected.is_empty(), "{expected:?}");
}

#[tokio::test]
async fn requests_of_the_collection_are_valid() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let collection = collection();
    let requests = requests(&collection);
    let order = requests.iter().find(|(_, it)| {
        let raw = it["url"]["raw"].as_str().unwrap();
        raw.ends_with("/v1/orders") && it["method"] == "POST"
    });
    let order = order.unwrap().1["body"]["raw"].as_str().unwrap();
    let order: Value = serde_json::from_str(order).unwrap();
    let lot = Vehicle::lot(order["vehicle_id"].as_str().unwrap());
    service.vehicle(lot).await;
    let mut sent = 0;
    for (folder, request) in requests {
        // A resource that exists only after another request; the host of an endpoint is looked up.
        let has_id = entries(&request["url"]["variable"]).any(|(name, _)| name == "id");
        let is_remote = method(request) == Method::PUT;
        if has_id || is_remote {
            continue;
        }
        let raw = request["url"]["raw"].as_str().unwrap();
        let path = raw.replace("{{base_url}}", "");
        let path = entries(&request["url"]["variable"]).fold(path, |path, (name, value)| {
            path.replace(&format!(":{name}"), value)
        });
        let mut ask = acme.ask(method(request), &path);
        for (name, value) in entries(&request["header"]) {
            ask = ask.header(name, &value.replace("{{$guid}}", &key()));
        }
        if let Some(body) = request["body"]["raw"].as_str() {
            ask = ask.body(body.to_owned());
        }
        let reply = ask.send().await;
        let is_found = reply.status == 404 && folder == "webhooks";
        assert!(reply.status < 300 || is_found, "{raw}: {reply:?}");
        sent += 1;
    }
    assert!(sent > 10, "{sent} requests");
}
