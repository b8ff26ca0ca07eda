//! `GET /v1/errors` and `GET /v1/errors/{code}`: the error catalogue as JSON and as Markdown.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Document, Partner, Reply, Service};

/// The generated page in the repository.
const PAGE: &str = include_str!("../../../docs/errors.md");

/// Reads a path with some headers.
async fn read(keyless: &Partner, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut ask = keyless.ask(Method::GET, path);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.send().await
}

#[tokio::test]
async fn catalogue_is_served_without_a_key_as_a_list_and_row_by_row() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    let list = keyless.get("/v1/errors").await.ok();
    assert_eq!(list["next_cursor"], Value::Null);
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), Code::ALL.len());
    for (code, row) in Code::ALL.into_iter().zip(rows) {
        let entry = code.entry();
        let own = keyless.get(&format!("/v1/errors/{}", entry.code)).await;
        assert_eq!(own.ok(), *row);
        assert_eq!(own.header("ratelimit"), "");
        assert_eq!(row["code"], entry.code);
        assert_eq!(row["statuses"], json!(entry.statuses));
        assert_eq!(row["should_retry"], entry.retry.should_retry());
        let codes = row["lendfoundry_codes"].as_array().unwrap();
        assert_eq!(codes.len(), entry.statuses.len());
        for name in ["title", "meaning", "when", "what_to_do", "retry_class"] {
            assert!(row[name].as_str().is_some_and(|it| it.len() > 4), "{row}");
        }
        let details = row["details"].as_array().unwrap();
        let names: Vec<_> = details.iter().map(|it| it["name"].clone()).collect();
        let declared: Vec<_> = entry.details.iter().map(|it| json!(it.name)).collect();
        assert_eq!(names, declared);
    }
    let transition = keyless.get("/v1/errors/invalid_status_transition").await;
    assert_eq!(
        transition.ok()["lendfoundry_codes"],
        json!(["FORBIDDEN", "WORKFLOW_STATE_INVALID"])
    );
    for unknown in ["nonsense", "RATE_LIMITED", "%00", "rate_limited%20"] {
        let reply = keyless.get(&format!("/v1/errors/{unknown}")).await;
        reply.refused(404, Code::NotFound);
    }
    let reply = keyless.get("/v1/errors/%FF").await;
    reply.refused(400, Code::ValidationError);
    keyless
        .get("/v1/errors/")
        .await
        .refused(404, Code::NotFound);
}

#[tokio::test]
async fn type_of_every_problem_leads_to_its_row() {
    let service = Service::with(&[("PUBLIC_URL", "https://api.example.com/")]).await;
    let acme = service.partner("acme").await;
    for code in Code::ALL {
        let ask = acme
            .ask(Method::GET, "/v1/orders")
            .header("x-sandbox-force", code.as_str())
            .header("accept", "application/problem+json");
        let problem = ask.send().await.json();
        let kind = problem["type"].as_str().unwrap();
        let path = kind.strip_prefix("https://api.example.com").unwrap();
        let row = acme.with_key("").get(path).await.ok();
        assert_eq!(row["code"], code.as_str());
        assert_eq!(row["title"], problem["title"]);
        let statuses = row["statuses"].as_array().unwrap();
        assert!(statuses.contains(&problem["status"]), "{problem}");
    }
}

#[tokio::test]
async fn examples_in_the_document_are_the_responses() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    let document = Document::read();
    for (operation, path) in [
        ("list_errors", "/v1/errors"),
        ("get_error", "/v1/errors/past_order_cutoff"),
    ] {
        let members = &document.operation(operation).members;
        let example = members.pointer("/responses/200/content/application~1json/example");
        assert_eq!(example, Some(&keyless.get(path).await.ok()));
    }
}

#[tokio::test]
async fn markdown_is_served_on_request_with_an_etag_of_its_own() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    for path in ["/v1/errors", "/v1/errors/rate_limited"] {
        let mut tags = Vec::new();
        for (accept, media_type) in [
            ("application/json", "application/json"),
            ("text/markdown", "text/markdown; charset=utf-8"),
        ] {
            let reply = read(&keyless, path, &[("accept", accept)]).await;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), media_type);
            assert_eq!(reply.header("vary"), "Accept");
            assert_eq!(reply.header("cache-control"), "private, no-cache");
            let tag = reply.header("etag").to_owned();
            let again = [("accept", accept), ("if-none-match", &tag)];
            let again = read(&keyless, path, &again).await;
            assert_eq!((again.status, again.header("vary")), (304, "Accept"));
            assert!(again.body.is_empty());
            tags.push(tag);
        }
        assert_ne!(tags[0], tags[1]);
        let other = [("accept", "text/markdown"), ("if-none-match", &tags[0])];
        assert_eq!(read(&keyless, path, &other).await.status, 200);
    }
    let page = read(&keyless, "/v1/errors", &[("accept", "text/markdown")]).await;
    assert_eq!(page.body, PAGE);
    let row = read(
        &keyless,
        "/v1/errors/rate_limited",
        &[("accept", "text/markdown")],
    );
    let row = String::from_utf8(row.await.body.to_vec()).unwrap();
    assert!(row.starts_with("# rate_limited\n\n**Too many requests.**"));
    assert!(PAGE.contains(&format!("\n#{row}")));
}

#[tokio::test]
async fn unusable_accept_header_gets_json_and_never_406() {
    let service = Service::start().await;
    let keyless = service.partner("acme").await.with_key("");
    for (accept, media_type) in [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("nonsense", "application/json"),
        ("image/png", "application/json"),
        ("text/markdown;q=0", "application/json"),
        ("text/markdown;q=7", "application/json"),
        ("application/json, text/markdown", "application/json"),
        ("application/problem+json", "application/json"),
        (
            "application/json;q=0.5, text/markdown;q=0.6",
            "text/markdown; charset=utf-8",
        ),
        ("text/*", "text/markdown; charset=utf-8"),
    ] {
        let reply = read(&keyless, "/v1/errors", &[("accept", accept)]).await;
        assert_eq!(reply.status, 200, "{accept}");
        assert_eq!(reply.header("content-type"), media_type, "{accept}");
    }
}
