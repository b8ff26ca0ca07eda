//! Verification of signatures with a stock library and with the receivers shown in the documentation.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::scene::Scene;
use crate::support::{Document, settings};

#[path = "../../../examples/receiver/verify.rs"]
pub mod example;

/// The documentation of webhooks for partners.
const WEBHOOKS: &str = include_str!("../../../docs/portal/webhooks.md");
/// The documentation of events for partners.
const EVENTS: &str = include_str!("../../../docs/portal/events.md");

/// Returns the code blocks of a page in a language.
fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks.map(|it| it.split("```").next().unwrap()).collect()
}

/// Returns the receiver in a language that verifies LMN's own scheme.
fn receiver(language: &str) -> &'static str {
    let mut receivers = blocks(WEBHOOKS, language);
    receivers.retain(|it| it.contains("is_from_lmn") || it.contains("isFromLmn"));
    let [code] = receivers[..] else {
        panic!("one receiver in {language}")
    };
    code
}

/// Delivers events and returns the last one as received, with the time of its signature.
async fn delivered(scene: &Scene) -> (crate::support::Received, i64) {
    let order = scene.order("glovis_1").await;
    scene.ships(&order).await;
    assert_eq!(scene.drain().await, 3);
    let received = scene.sink.received().pop().unwrap();
    let time = received.header("x-lmn-timestamp").parse().unwrap();
    (received, time)
}

#[tokio::test]
async fn stock_standard_webhooks_library_verifies_deliveries() {
    let scene = Scene::set().await;
    let (received, _) = delivered(&scene).await;
    let stock = Webhook::new(&scene.secret).unwrap();
    stock.verify(&received.body, &received.headers).unwrap();
    let mut tampered = received.body.to_vec();
    tampered[10] ^= 1;
    assert!(stock.verify(&tampered, &received.headers).is_err());
    let mut headers = received.headers.clone();
    headers.insert(
        "webhook-id",
        "evt_01KNVD7K402JY0W9P0X3A6T4QB".parse().unwrap(),
    );
    assert!(stock.verify(&received.body, &headers).is_err());
    let other = Webhook::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    assert!(other.verify(&received.body, &received.headers).is_err());
}

#[tokio::test]
async fn receivers_in_the_documentation_accept_valid_and_refuse_other_signatures() {
    let scene = Scene::set().await;
    let (received, time) = delivered(&scene).await;
    let (secret, body) = (scene.secret.as_str(), received.body.to_vec());
    let signature = received.header("x-lmn-signature").to_owned();
    let mut tampered = body.clone();
    tampered[10] ^= 1;
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let endless = format!("t={}", "9".repeat(5_000));
    let mut cases = vec![
        (secret, signature.clone(), &body, time, true),
        (secret, signature.clone(), &body, time + 299, true),
        (secret, signature.clone(), &body, time + 301, false),
        (secret, signature.clone(), &body, time - 301, false),
        (secret, signature.clone(), &tampered, time, false),
        (other, signature.clone(), &body, time, false),
        (secret, signature.replace("v1=", "v0="), &body, time, false),
        (secret, format!("t={time},v1=,v1=zz"), &body, time, false),
        (secret, signature.replace("t=", "t=1"), &body, time, false),
        (secret, String::new(), &body, time, false),
        (secret, format!("t={}", i64::MIN), &body, time, false),
        (secret, endless, &body, time, false),
    ];
    // While a secret is being replaced, both secrets verify.
    let fresh = scene.acme.rotate_secret().await;
    scene.acme.test_endpoint().await;
    scene.drain().await;
    let test = scene.sink.received().pop().unwrap();
    let (both, test_body) = (
        test.header("x-lmn-signature").to_owned(),
        test.body.to_vec(),
    );
    let test_time: i64 = test.header("x-lmn-timestamp").parse().unwrap();
    for secret in [secret, fresh.as_str()] {
        cases.push((secret, both.clone(), &test_body, test_time, true));
    }
    for (n, (secret, signature, body, now, expected)) in cases.iter().enumerate() {
        assert_eq!(
            example::is_from_lmn(secret, signature, body, *now),
            *expected,
            "{n}: Rust"
        );
    }
    let asked = cases.iter().map(|(secret, signature, body, now, _)| {
        json!({"secret": secret, "signature": signature, "body": String::from_utf8(body.to_vec()).unwrap(), "now": now})
    });
    let asked: Vec<_> = asked.collect();
    let expected: Vec<bool> = cases.iter().map(|it| it.4).collect();
    let python = "\nimport json, sys\nfor it in json.load(sys.stdin):\n    \
        print(json.dumps(is_from_lmn(it['secret'], it['signature'], it['body'].encode(), it['now'])))\n";
    let node = "\nfor (const it of JSON.parse(require('fs').readFileSync(0)))\n  \
        console.log(isFromLmn(it.secret, it.signature, Buffer.from(it.body), it.now))\n";
    for (language, program, driver) in [("python", "python3", python), ("javascript", "node", node)]
    {
        let flag = if program == "node" { "-e" } else { "-c" };
        let script = format!("{}{driver}", receiver(language));
        if let Some(verdicts) = run(program, &[flag, &script], &json!(asked)) {
            assert_eq!(verdicts, expected, "{language}");
        }
    }
}

/// Runs a program that reads JSON and prints a line `true` or `false` per case; returns `None` if it is not installed.
fn run(program: &str, arguments: &[&str], input: &Value) -> Option<Vec<bool>> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("{program} is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    let verdicts = String::from_utf8(output.stdout).unwrap();
    Some(verdicts.lines().map(|it| it.parse().unwrap()).collect())
}

#[test]
fn receiver_in_the_documentation_is_the_tested_one() {
    let source = include_str!("../../../examples/receiver/verify.rs");
    assert!(
        source.contains(receiver("rust").trim()),
        "docs/portal/webhooks.md differs from examples/receiver/verify.rs"
    );
    let source = include_str!("../../../examples/python/receiver.py");
    let (_, function) = receiver("python").split_once("\n\n\n").unwrap();
    assert!(
        source.contains(function.trim()),
        "docs/portal/webhooks.md differs from examples/python/receiver.py"
    );
}

#[test]
fn documentation_shows_every_event_type_as_it_is_sent() {
    let document = Document::read();
    let validator = document.validator(&json!({"$ref": "#/components/schemas/Event"}));
    let mut types = Vec::new();
    for block in blocks(EVENTS, "json") {
        let payload: Value = serde_json::from_str(block).unwrap();
        if let Err(error) = validator.validate(&payload) {
            panic!("{error} at {} in {payload:#}", error.instance_path());
        }
        types.push(payload["type"].as_str().unwrap().to_owned());
    }
    let schema = &document.text["components"]["schemas"]["EventType"]["x-extensible-enum"];
    assert_eq!(json!(types), *schema);
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_can_be_replaced_while_events_are_delivered() {
    let scene = Scene::with(&[settings::poll_milliseconds(50)]).await;
    scene.start_worker();
    let mut secrets = vec![scene.secret.clone()];
    let mut orders = Vec::new();
    for n in 0..20 {
        orders.push(scene.order(&format!("glovis_{n}")).await);
    }
    for (n, order) in orders.iter().enumerate() {
        scene.ships(order).await;
        if n % 7 == 3 {
            secrets.push(scene.acme.rotate_secret().await);
        }
    }
    crate::support::eventually("every event is delivered", async || {
        (scene.count("delivered").await == 60).then_some(())
    })
    .await;
    // Each delivery verifies with a secret in force at that time and, during a rotation, with its successor, too.
    for it in scene.sink.received() {
        let (signature, time) = (
            it.header("x-lmn-signature"),
            it.header("x-lmn-timestamp").parse().unwrap(),
        );
        let fits: Vec<_> = (0..secrets.len())
            .filter(|n| example::is_from_lmn(&secrets[*n], signature, &it.body, time))
            .collect();
        assert_eq!(fits.len(), signature.matches("v1=").count(), "{signature}");
        assert!(
            (1..=2).contains(&fits.len()) && fits.windows(2).all(|it| it[0] + 1 == it[1]),
            "{fits:?}"
        );
    }
    scene.end_overlap_of_secrets().await;
    scene.acme.test_endpoint().await;
    crate::support::eventually("the test arrives", async || {
        (scene.sink.count() == 61).then_some(())
    })
    .await;
    let last = scene.sink.received().pop().unwrap();
    assert_eq!(last.header("x-lmn-signature").matches("v1=").count(), 1);
    let time = last.header("x-lmn-timestamp").parse().unwrap();
    assert!(example::is_from_lmn(
        secrets.last().unwrap(),
        last.header("x-lmn-signature"),
        &last.body,
        time
    ));
}
