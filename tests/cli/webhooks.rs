//! Commands that show deliveries and send events again.

use serde_json::{Value, json};

use crate::{
    command::Cli,
    orders::{lots, order, partner},
    process::Process,
};

/// Puts a paused endpoint, so that nothing is sent from this machine.
async fn put_endpoint(server: &Process, key: &str) {
    let request = reqwest::Client::new().put(format!("{}/v1/webhook_endpoint", server.url()));
    let request = request
        .header("x-api-key", key)
        .header("content-type", "application/json")
        .body(json!({"url": "https://1.1.1.1/lmn", "enabled": false}).to_string());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 201);
}

/// Sends the events of a period again, first as a dry run.
fn replay_period(cli: &Cli) {
    let range = [
        "webhook",
        "replay",
        "--partner",
        "acme",
        "--since",
        "1h",
        "--until",
        "2099-01-01T00:00:00+09:00",
    ];
    let dry_run = cli.one(&[range.as_slice(), &["--dry-run"]].concat());
    assert_eq!(
        (&dry_run["events"], &dry_run["dry_run"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(cli.one(&["webhook", "show", "acme"])["waiting"], 1);
    assert_eq!(cli.one(&range)["events"], 1);
    assert_eq!(cli.one(&["webhook", "show", "acme"])["waiting"], 2);
    assert_eq!(
        cli.one(&range)["events"],
        0,
        "a waiting event is not sent twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_sees_deliveries_and_sends_events_again() {
    let cli = Cli::new().await;
    let acme = partner(&cli, "acme");
    cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let server = cli.serve("sandbox");
    let id = order(&server, &acme, "glovis_1", 12_000).await;
    cli.all(&["order", "advance", &id, "acquiring"]);
    let words = cli.refused(&["webhook", "show", "acme"]);
    assert!(words.contains("has no webhook endpoint"), "{words}");
    put_endpoint(&server, &acme).await;
    cli.all(&[
        "auction",
        "reschedule",
        "glovis_1",
        "2099-04-25T13:00:00+09:00",
    ]);

    let shown = cli.one(&["webhook", "show", "acme"]);
    assert_eq!(
        (&shown["url"], &shown["enabled"]),
        (&json!("https://1.1.1.1/lmn"), &json!(false))
    );
    assert_eq!((&shown["waiting"], shown.get("secret")), (&json!(1), None));
    let skipped = cli.all(&[
        "webhook",
        "deliveries",
        "acme",
        "--status",
        "delivery_skipped",
    ]);
    assert_eq!(skipped.len(), 1);
    assert_eq!(cli.all(&["webhook", "deliveries", "acme"]).len(), 2);

    replay_period(&cli);
    let event = skipped[0]["id"].as_str().unwrap();
    assert_eq!(
        cli.one(&["webhook", "replay", event])["delivery_status"],
        "pending"
    );
    let unknown = cli.refused(&["webhook", "replay", "evt_01KNVD7K402JY0W9P0X3A6T4QB"]);
    assert!(unknown.contains("there is no event"), "{unknown}");
    for usage in [
        &["webhook", "replay"][..],
        &["webhook", "replay", "--partner", "acme"],
        &["webhook", "replay", "x"],
    ] {
        assert_eq!(cli.run_with(usage, "").status.code(), Some(2), "{usage:?}");
    }
    let audit = cli.all(&["audit", "--partner", "acme"]);
    let by_operator: Vec<&Value> = audit
        .iter()
        .filter(|it| it["actor"] == "operator:kim")
        .map(|it| &it["action"])
        .collect();
    assert!(
        by_operator.contains(&&json!("webhook.replayed"))
            && by_operator.contains(&&json!("webhook.redelivered"))
    );
}
