//! `lmn certify`: it passes on the example integrations, and names what a broken one does wrong.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};

use super::program::{Language, Program, Times, Workspace};
use crate::{
    database::TestDatabase,
    process::{Process, run},
    support::{Answer, Partner, Received, Service, Sink, Vehicle, settings},
    webhooks::verify::example as receiver,
};

/// The result of the command.
struct Certificate {
    passed: bool,
    /// The outcome and the message of each step.
    steps: BTreeMap<String, (String, String)>,
}

impl Certificate {
    /// Expects that a step has an outcome, and that its message contains a text.
    #[track_caller]
    fn expect(&self, step: &str, outcome: &str, text: &str) {
        let (found, message) = &self.steps[step];
        assert!(
            found == outcome && message.contains(text),
            "{step}: {found}: {message}"
        );
    }
}

/// Certifies a partner's integration, with the endpoint's secret if it is given.
async fn certify(partner: &Partner, secret: Option<&str>, options: &[&str]) -> Certificate {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key = file("key", &partner.api_key);
    let url = partner.url.as_str();
    let mut arguments = vec!["certify", "--json", "--url", url, "--key", key.as_str()];
    arguments.extend(options);
    let secret_file = secret.map(|it| file("secret", it));
    if let Some(secret) = &secret_file {
        arguments.extend(["--secret", secret.as_str()]);
    }
    let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &[])
    });
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    for kept in [Some(partner.api_key.as_str()), secret]
        .into_iter()
        .flatten()
    {
        assert!(
            !text.contains(kept) && !words.contains(kept),
            "{text}{words}"
        );
    }
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words}"));
    let passed = document["passed"] == json!(true);
    assert_eq!(output.status.success(), passed, "{words}");
    let steps = document["steps"].as_array().unwrap().iter();
    let member = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    Certificate {
        passed,
        steps: steps
            .map(|it| {
                (
                    member(it, "step"),
                    (member(it, "outcome"), member(it, "message")),
                )
            })
            .collect(),
    }
}

/// Starts a server with a worker, whose attempts last at most a second, and adds vehicles.
async fn serve(database: &TestDatabase) -> Process {
    for n in 0..3 {
        Vehicle::lot(&format!("glovis_{n}")).insert(database).await;
    }
    let settings = [settings::LOCAL_ENDPOINTS, settings::attempt_seconds(1)];
    Process::on(&database.url(), &["serve", "--json"], &settings)
}

async fn check_example(language: Language) {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    let workspace = Workspace::new(&acme.api_key);
    let url = server.url().to_owned();
    let program = tokio::task::spawn_blocking(move || {
        let mut program = Program::start(language, &url, &workspace, 2, Times::USUAL);
        program.until("done");
        program
    });
    // It goes on receiving events.
    let _program = program.await.unwrap();
    let certificate = certify(&acme, None, &["--advance"]).await;
    for (step, outcome) in [
        ("sandbox", "ok"),
        ("key", "ok"),
        ("orders", "ok"),
        ("cancellation", "skipped"),
        ("reports", "skipped"),
        ("feed", "ok"),
        ("failed_events", "ok"),
        ("endpoint", "ok"),
        ("test_event", "ok"),
        ("redelivery", "ok"),
        ("sequence", "ok"),
        ("forgery", "ok"),
        ("signed", "skipped"),
        ("tampered", "skipped"),
        ("stale", "skipped"),
        ("replay", "skipped"),
    ] {
        certificate.expect(step, outcome, "");
    }
    assert!(certificate.passed);
    certificate.expect("orders", "ok", "2 orders");
    certificate.expect("forgery", "ok", "401, 401, 401");
    certificate.expect("signed", "skipped", "--secret");
    let secured = acme.rows("/v1/orders?status=secured").await;
    assert_eq!(secured.len(), 1, "one order was moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_integration_is_certified() {
    check_example(Language::Rust).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_integration_is_certified() {
    check_example(Language::Python).await;
}

/// A partner that has placed an order and has an endpoint.
struct Candidate {
    acme: Partner,
    secret: String,
    sink: Sink,
}

impl Candidate {
    async fn new(database: &TestDatabase, server: &Process, name: &str) -> Self {
        let acme = Partner::add(&database.pool, server.url(), name).await;
        acme.place_order("glovis_1", 12_000).await.created();
        let sink = Sink::start().await;
        let endpoint = acme.hook(json!({"url": sink.url()})).await.expect(201);
        let secret = endpoint["secret"].as_str().unwrap().to_owned();
        Self { acme, secret, sink }
    }

    /// Returns a function that verifies deliveries, each as if it had just been signed.
    fn verifies(&self) -> impl Fn(&Received) -> bool + Send + use<> {
        let secret = self.secret.clone();
        move |it: &Received| {
            let time = it.header("x-lmn-timestamp").parse().unwrap_or(0);
            let signature = it.header("x-lmn-signature");
            receiver::is_from_lmn(&secret, signature, &it.body, time)
        }
    }

    async fn certify(&self, options: &[&str]) -> Certificate {
        certify(&self.acme, Some(&self.secret), options).await
    }
}

/// Returns the Unix time of this machine.
fn now() -> i64 {
    let elapsed = std::time::UNIX_EPOCH.elapsed().unwrap();
    elapsed.as_secs().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn integration_that_verifies_deliveries_passes_every_step() {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let good = Candidate::new(&database, &server, "good").await;
    let secret = good.secret.clone();
    good.sink.decides(move |it| {
        let signature = it.header("x-lmn-signature");
        match receiver::is_from_lmn(&secret, signature, &it.body, now()) {
            true => 200.into(),
            false => 401.into(),
        }
    });
    let order = good.acme.place_order("glovis_2", 12_000).await.id();
    good.acme.cancel(&order).await.ok();
    let certificate = good.certify(&["--advance"]).await;
    for (step, (outcome, message)) in &certificate.steps {
        let expected = if step == "reports" { "skipped" } else { "ok" };
        assert_eq!(outcome, expected, "{step}: {message}");
    }
    assert!(certificate.passed);
    let sequences = good.sink.taken();
    let sequences: Vec<_> = sequences
        .iter()
        .map(|it| it.1)
        .filter(|it| *it > 0)
        .collect();
    assert_eq!(sequences, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn receiver_that_accepts_what_it_should_refuse_is_named() {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;

    let trusting = Candidate::new(&database, &server, "trusting").await;
    let certificate = trusting.certify(&[]).await;
    assert!(!certificate.passed);
    certificate.expect("test_event", "ok", "");
    certificate.expect("forgery", "failed", "without a signature");
    certificate.expect("tampered", "failed", "raw body");
    certificate.expect("stale", "failed", "10 minutes ago");

    let timeless = Candidate::new(&database, &server, "timeless").await;
    let verifies = timeless.verifies();
    timeless.sink.decides(move |it| match verifies(it) {
        true => 200.into(),
        false => 401.into(),
    });
    let certificate = timeless.certify(&[]).await;
    assert!(!certificate.passed);
    certificate.expect("forgery", "ok", "401, 401, 401");
    certificate.expect("tampered", "ok", "");
    certificate.expect("stale", "failed", "five minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn receiver_that_refuses_what_it_should_accept_is_named() {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;

    let failing = Candidate::new(&database, &server, "failing").await;
    failing.sink.answers(500);
    let certificate = failing.certify(&[]).await;
    assert!(!certificate.passed);
    certificate.expect("test_event", "failed", "answered with 500");
    certificate.expect("redelivery", "skipped", "`test_event`");
    certificate.expect("signed", "failed", "answered with 500");
    certificate.expect("stale", "skipped", "`signed`");

    let slow = Candidate::new(&database, &server, "slow").await;
    slow.sink
        .answers(Answer::from(200).after(Duration::from_millis(1_500)));
    let certificate = slow.certify(&[]).await;
    assert!(!certificate.passed);
    certificate.expect("test_event", "failed", "respond with 2xx within 10 seconds");

    // An event that arrives again is a conflict for it.
    let strict = Candidate::new(&database, &server, "strict").await;
    let (verifies, mut known) = (strict.verifies(), Vec::new());
    strict.sink.decides(move |it| {
        if !verifies(it) {
            return 401.into();
        }
        if known.contains(&it.id()) {
            return 409.into();
        }
        known.push(it.id());
        200.into()
    });
    let certificate = strict.certify(&[]).await;
    assert!(!certificate.passed);
    certificate.expect("redelivery", "failed", "answered with 409");
    certificate.expect("replay", "failed", "answered with 409");
}

#[tokio::test(flavor = "multi_thread")]
async fn integration_that_lacks_an_order_or_a_usable_endpoint_is_named() {
    let database = TestDatabase::new().await;
    let server = serve(&database).await;

    let idle = Partner::add(&database.pool, server.url(), "idle").await;
    let certificate = certify(&idle, None, &[]).await;
    assert!(!certificate.passed);
    certificate.expect("orders", "failed", "no order in the last 30 days");
    certificate.expect("endpoint", "failed", "PUT /v1/webhook_endpoint");
    certificate.expect("forgery", "skipped", "`endpoint`");

    let deaf = Candidate::new(&database, &server, "deaf").await;
    let url = deaf.sink.url();
    let rare = json!({"url": url, "event_types": ["order.price_updated"]});
    deaf.acme.hook(rare).await.ok();
    let certificate = deaf.certify(&[]).await;
    certificate.expect("endpoint", "failed", "order.status_changed");
    deaf.acme
        .hook(json!({"url": url, "enabled": false}))
        .await
        .ok();
    let certificate = deaf.certify(&[]).await;
    certificate.expect("endpoint", "failed", "paused");

    deaf.acme.hook(json!({"url": url})).await.ok();
    let Candidate { acme, sink, .. } = deaf;
    sink.stop().await;
    let certificate = certify(&acme, None, &[]).await;
    assert!(!certificate.passed, "a required step was not judged");
    certificate.expect("test_event", "failed", "got no response");
    certificate.expect("forgery", "skipped", "cannot be reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_sandbox_gets_the_key() {
    let (service, acme) = Service::in_production().await;
    let acme = acme.with_key("lmn_stg_0123456789abcdefghijklmnopqr");
    let certificate = certify(&acme, None, &[]).await;
    assert!(!certificate.passed);
    certificate.expect("sandbox", "failed", "production");
    certificate.expect("key", "skipped", "`sandbox`");
    certificate.expect("endpoint", "skipped", "`key`");
    drop(service);

    let database = TestDatabase::new().await;
    let server = serve(&database).await;
    let stranger = Partner::add(&database.pool, server.url(), "acme").await;
    let stranger = stranger.with_key("lmn_stg_0123456789abcdefghijklmnopqr");
    let certificate = certify(&stranger, None, &[]).await;
    certificate.expect("key", "failed", "invalid_api_key");
    certificate.expect("orders", "skipped", "`key`");
}

#[test]
fn steps_are_printed_as_lines_and_wrong_usage_is_refused() {
    let unreachable = ["certify", "--url", "http://127.0.0.1:1"];
    let key = ("LMN_API_KEY", "lmn_stg_0123456789abcdefghijklmnopqr");
    let output = run(&unreachable, &[key]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("failed   sandbox        GET /: the API cannot be reached"),
        "{first}"
    );
    assert_eq!(text.lines().count(), 16, "{text}");
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains("the integration does not pass: `sandbox` failed, `key` skipped"),
        "{words}"
    );

    let words = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = run(arguments, variables);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(words(&unreachable, &[]).contains("there is no API key"));
    let production = ("LMN_API_KEY", "lmn_prd_0123456789abcdefghijklmnopqr");
    assert!(words(&unreachable, &[production]).contains("key for production"));
    let given = [&unreachable[..], &["--key", key.1]].concat();
    let refusal = words(&given, &[]);
    assert!(
        refusal.contains("the name of a file") && !refusal.contains(key.1),
        "{refusal}"
    );
    for wrong in [
        &["certify"][..],
        &["certify", "--url", "localhost"],
        &["certify", "--url", "http://127.0.0.1:1", "--days", "0"],
    ] {
        assert_eq!(run(wrong, &[key]).status.code(), Some(2), "{wrong:?}");
    }
}
