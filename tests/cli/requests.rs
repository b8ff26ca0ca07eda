//! Commands that read the request log.

use serde_json::Value;

use crate::{
    command::{Cli, call},
    process::words,
};

#[tokio::test(flavor = "multi_thread")]
async fn operator_finds_the_requests_of_a_partner() {
    let cli = Cli::new().await;
    let acme = cli.one(&["partner", "add", "Acme"]);
    cli.one(&["partner", "add", "Rival"]);
    let issued = cli.one(&["key", "issue", "Acme"]);
    let key = issued["api_key"].as_str().unwrap();
    let server = cli.serve("sandbox");
    let (status, refused) = call(&server, key, "/v1/orders?limit=0").await;
    assert_eq!(status, 400);
    assert_eq!(call(&server, key, "/v1/orders/nobodys").await.0, 404);
    assert_eq!(call(&server, "", "/v1/orders").await.0, 401);
    // A server that stops inserts what it has not inserted yet.
    let stopped = tokio::task::spawn_blocking(|| server.stop());
    stopped.await.unwrap();

    let id = refused["error"]["request_id"].as_str().unwrap();
    let shown = cli.one(&["request", "show", id]);
    for (name, expected) in [
        ("request_id", id),
        ("partner", "Acme"),
        ("partner_id", acme["id"].as_str().unwrap()),
        ("operation", "GET /v1/orders"),
        ("code", "validation_error"),
        ("api_key_prefix", &key[..12]),
    ] {
        assert_eq!(shown[name], expected, "{shown}");
    }
    assert_eq!(shown["status"], 400);
    assert_eq!(shown["details"]["issues"][0]["path"], "limit");

    let codes = |arguments: &[&str]| {
        let listed = cli.all(&[&["request", "list"], arguments].concat());
        let codes = listed
            .iter()
            .map(|it| it["code"].as_str().unwrap().to_owned());
        codes.collect::<Vec<_>>()
    };
    let newest_first = ["missing_api_key", "order_not_found", "validation_error"];
    assert_eq!(codes(&[]), newest_first);
    assert_eq!(codes(&["--partner", "Acme"]), newest_first[1..]);
    assert_eq!(codes(&["--partner", "Rival"]), Vec::<String>::new());
    let some = [
        "--code",
        "validation_error,missing_api_key",
        "--since",
        "1h",
    ];
    assert_eq!(codes(&some), ["missing_api_key", "validation_error"]);
    assert_eq!(codes(&["--limit", "1"]), newest_first[..1]);
    let keyless = cli.all(&["request", "list", "--code", "missing_api_key"]);
    assert_eq!(keyless[0]["partner"], Value::Null);

    let text = cli.run_with(&["request", "list"], "");
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(id), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_request_and_unknown_code_are_refused() {
    let cli = Cli::new().await;
    let unknown = cli.refused(&["request", "show", "req_5f3a9c0e1b7d42a8c6e04f19"]);
    assert!(unknown.contains("the log has no request"), "{unknown}");
    for usage in [
        &["request", "show", "5f3a9c0e1b7d42a8c6e04f19"][..],
        &["request", "list", "--code", "nonsense"],
    ] {
        let output = cli.run_with(usage, "");
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    }
}
