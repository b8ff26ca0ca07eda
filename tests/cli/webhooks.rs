//! The operator's eye on deliveries, and events sent again.

use serde_json::{Value, json};

use crate::{
    desk::Desk,
    orders::{lots, order, partner},
    process::Process,
};

/// Puts an endpoint that is paused, so that nothing leaves this machine.
async fn hook(server: &Process, key: &str) {
    let request = reqwest::Client::new().put(format!("{}/v1/webhook_endpoint", server.url()));
    let request = request
        .header("x-api-key", key)
        .header("content-type", "application/json")
        .body(json!({"url": "https://1.1.1.1/lmn", "enabled": false}).to_string());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 201);
}

/// Sends the events of a while again, first as a trial.
fn replay_a_while(desk: &Desk) {
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
    let trial = desk.one(&[range.as_slice(), &["--dry-run"]].concat());
    assert_eq!(
        (&trial["events"], &trial["dry_run"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(desk.one(&["webhook", "show", "acme"])["waiting"], 1);
    assert_eq!(desk.one(&range)["events"], 1);
    assert_eq!(desk.one(&["webhook", "show", "acme"])["waiting"], 2);
    assert_eq!(
        desk.one(&range)["events"],
        0,
        "what waits is not sent twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_deliveries_and_sends_events_again() {
    let desk = Desk::new().await;
    let acme = partner(&desk, "acme");
    desk.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let server = desk.serve("sandbox");
    let id = order(&server, &acme, "glovis_1", 12_000).await;
    desk.all(&["order", "advance", &id, "acquiring"]);
    let words = desk.refused(&["webhook", "show", "acme"]);
    assert!(words.contains("has no webhook endpoint"), "{words}");
    hook(&server, &acme).await;
    desk.all(&[
        "auction",
        "reschedule",
        "glovis_1",
        "2099-04-25T13:00:00+09:00",
    ]);

    let shown = desk.one(&["webhook", "show", "acme"]);
    assert_eq!(
        (&shown["url"], &shown["enabled"]),
        (&json!("https://1.1.1.1/lmn"), &json!(false))
    );
    assert_eq!((&shown["waiting"], shown.get("secret")), (&json!(1), None));
    let skipped = desk.all(&[
        "webhook",
        "deliveries",
        "acme",
        "--status",
        "delivery_skipped",
    ]);
    assert_eq!(skipped.len(), 1);
    assert_eq!(desk.all(&["webhook", "deliveries", "acme"]).len(), 2);

    replay_a_while(&desk);
    let event = skipped[0]["id"].as_str().unwrap();
    assert_eq!(
        desk.one(&["webhook", "replay", event])["delivery_status"],
        "pending"
    );
    let unknown = desk.refused(&["webhook", "replay", "evt_01KNVD7K402JY0W9P0X3A6T4QB"]);
    assert!(unknown.contains("there is no event"), "{unknown}");
    for usage in [
        &["webhook", "replay"][..],
        &["webhook", "replay", "--partner", "acme"],
        &["webhook", "replay", "x"],
    ] {
        assert_eq!(desk.run_with(usage, "").status.code(), Some(2), "{usage:?}");
    }
    let audit = desk.all(&["audit", "--partner", "acme"]);
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
