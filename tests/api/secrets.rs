//! Secrets appear in no output: keys and passwords are planted, and every output is searched for them.

use std::fs::File;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    database::TestDatabase,
    process::{Process, lmn_on, run, words},
    store::Store,
    support::{Partner, Vehicle, end_sessions, eventually, key, settings},
};

/// The database password, in every connection URL; the server trusts local connections and does not check it.
const PASSWORD: &str = "PlantedPassword7";
/// The password of the shared store of rate limits.
const STORE_PASSWORD: &str = "PlantedStorePassword9";
/// Keys of the right form, each with a unique tail. The first 12 characters are public.
const REVOKED: &str = "lmn_stg_revoPlantedRevokedAAAAAAAA01";
const EXPIRED: &str = "lmn_stg_exprPlantedExpiredAAAAAAAA02";
const UNKNOWN: &str = "lmn_stg_nobdPlantedUnknownAAAAAAAA03";
const FOREIGN: &str = "lmn_prd_frgnPlantedForeignAAAAAAAA04";
const BROKEN: &str = "lmn_stg_brknPlantedBrokenKey05";
const VALID: &str = "lmn_stg_goodPlantedValidKeyAAAAAAA06";
const USER: &str = "PlantedUser08@example.com";
const ALL: [&str; 6] = [REVOKED, EXPIRED, UNKNOWN, FOREIGN, BROKEN, VALID];

/// Returns the parts of the planted secrets that must not appear in any output.
fn secrets() -> Vec<String> {
    let tails = ALL.iter().map(|key| key[12..].to_owned());
    let digest = |key: &&str| {
        let digest = Sha256::digest(key.as_bytes());
        let hex = digest.iter().map(|byte| format!("{byte:02x}"));
        hex.collect::<String>()
    };
    let digests = ALL.iter().map(digest);
    let passwords = [PASSWORD, STORE_PASSWORD].map(str::to_owned);
    tails.chain(digests).chain(passwords).collect()
}

/// Every output with its origin, to search them all at the end.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, origin: &str, text: impl Into<String>) {
        self.0.push((origin.to_owned(), text.into()));
    }

    /// Sends a request and adds the whole response, with its headers; returns the status.
    async fn ask(&mut self, origin: &str, request: RequestBuilder) -> u16 {
        let response = request.send().await.expect("the server answers");
        let (status, mut text) = (response.status().as_u16(), String::new());
        for (name, value) in response.headers() {
            text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
        text += &response.text().await.expect("the body arrives");
        self.add(origin, text);
        status
    }

    /// Returns the origin of an output that contains a secret.
    fn origin_of(&self, secret: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(_, text)| text.contains(secret));
        found.next().map(|(origin, _)| origin.as_str())
    }
}

/// Returns the URL of the database with the password in it.
fn url_of(database: &TestDatabase) -> String {
    let url = database.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (account, place) = rest.split_once('@').unwrap();
    let user = account.split(':').next().unwrap();
    format!("{scheme}://{user}:{PASSWORD}@{place}")
}

/// Starts a replica that logs at level `trace` into a file.
fn replica(url: &str, store: &str, log: &File) -> Process {
    let settings = [
        settings::shared_store(store),
        settings::shared_retry_milliseconds(50),
        ("LOG__FILTER", "trace"),
    ];
    let command = lmn_on(url, &["serve", "--json"], &settings);
    Process::run_with_log(command, log.try_clone().unwrap())
}

/// Sends every key in the key header, over both versions of HTTP.
async fn send_as_key(outputs: &mut Outputs, url: &str) {
    let clients = [
        Client::new(),
        Client::builder().http2_prior_knowledge().build().unwrap(),
    ];
    for client in clients {
        for api_key in ALL {
            let as_key = |method: Method, path: &str| {
                let request = client.request(method, format!("{url}{path}"));
                request
                    .header("x-api-key", api_key)
                    .header("x-user-id", USER)
            };
            for path in [
                "/v1/orders",
                "/v1/vehicles?source=glovis&limit=1",
                "/nowhere",
            ] {
                outputs.ask("an answer", as_key(Method::GET, path)).await;
            }
            let order = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}).to_string();
            for accept in ["application/json", "application/problem+json"] {
                let placing = as_key(Method::POST, "/v1/orders")
                    .header("accept", accept)
                    .header("idempotency-key", key())
                    .header("content-type", "application/json");
                outputs.ask("an answer", placing.body(order.clone())).await;
            }
            let twice = as_key(Method::GET, "/v1/orders").header("x-api-key", UNKNOWN);
            outputs.ask("an answer", twice).await;
        }
    }
}

/// Sends the valid key in places other than the key header, too.
async fn send_elsewhere(outputs: &mut Outputs, url: &str) {
    let client = Client::new();
    let get = |path: &str| {
        let request = client.get(format!("{url}{path}"));
        request.header("x-api-key", VALID)
    };
    for path in [
        format!("/v1/orders?api_key={VALID}"),
        format!("/v1/orders?limit=0&api_key={VALID}"),
        format!("/v1/orders/{VALID}"),
        format!("/v1/vehicles/{VALID}"),
        format!("/{VALID}"),
    ] {
        outputs.ask("an answer", get(&path)).await;
    }
    // The link to the next page of a list is made from the request.
    let mut path = format!("/v1/vehicles?source=glovis&limit=1&api_key={VALID}");
    let status = outputs.ask("a page", get(&path)).await;
    assert_eq!(status, 200);
    path += "&make=hyundai";
    outputs.ask("a page", get(&path)).await;
    for header in [
        "authorization",
        "cookie",
        "traceparent",
        "x-request-id",
        "referer",
    ] {
        let request = get("/v1/orders").header(header, VALID);
        outputs.ask("an answer", request).await;
    }
}

/// Sends the valid key as input values. Responses echo such values to their sender, so only the log and the
/// database are searched for them.
async fn send_as_input(url: &str) {
    let mut echoed = Outputs::default();
    let client = Client::new();
    let base = || {
        client
            .post(format!("{url}/v1/orders"))
            .header("x-api-key", VALID)
    };
    for request in [
        base().header("idempotency-key", VALID),
        base().header("x-sandbox-force", VALID),
        base()
            .header("idempotency-key", key())
            .header("content-type", VALID),
        base()
            .header("idempotency-key", key())
            .header("content-type", "application/json")
            .body(json!({"vehicle_id": VALID, "max_bid_amount_usd": VALID}).to_string()),
        client
            .get(format!("{url}/v1/orders?status={VALID}&cursor={VALID}"))
            .header("x-api-key", VALID),
    ] {
        let status = echoed.ask("an echo", request).await;
        assert!((400..500).contains(&status), "{status}");
    }
}

/// Issues the planted keys to a partner.
async fn plant(database: &TestDatabase, acme: &Partner) {
    for planted in [REVOKED, EXPIRED, VALID] {
        acme.issue(&database.pool, planted).await;
    }
    acme.revoke(&database.pool, REVOKED).await;
    acme.expire(&database.pool, EXPIRED, 0).await;
}

/// Runs commands that read keys or connection URLs, valid and invalid ones.
fn ask_the_command_line(outputs: &mut Outputs, url: &str) {
    for arguments in [
        ["key", "list", "acme"].as_slice(),
        &["key", "list", "acme", "--json"],
        &["partner", "show", "acme", "--json"],
        &["audit", "--json"],
        &["config", "check"],
        &["config", "check", "--json"],
    ] {
        let output = run(arguments, &[("DATABASE_URL", url)]);
        assert!(output.status.success(), "{output:?}");
        outputs.add(
            &arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
        );
        outputs.add(&arguments.join(" "), words(&output));
    }
    for wrong in [
        "redis://:{}@[nonsense",
        "http://:{}@store",
        "rediss://:{}@store#insecure",
    ] {
        let wrong = wrong.replace("{}", STORE_PASSWORD);
        for arguments in [["config", "check"], ["serve", "--json"]] {
            let store = ("LMN_RATE_LIMIT__SHARED__URL", wrong.as_str());
            let output = run(&arguments, &[("DATABASE_URL", url), store]);
            assert!(!output.status.success(), "{output:?}");
            outputs.add(&wrong, words(&output));
        }
    }
    for wrong in [
        url.replace("postgres://", "mysql://"),
        format!("postgres://lmn:{PASSWORD}@127.0.0.1:1/nowhere"),
        format!("postgres://lmn:{PASSWORD}@[nonsense/lmn"),
    ] {
        let output = run(&["serve", "--json"], &[("DATABASE_URL", &wrong)]);
        assert!(!output.status.success(), "{output:?}");
        outputs.add(&wrong, words(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_found_in_no_output() {
    let database = TestDatabase::new().await;
    for id in ["glovis_1", "glovis_2", "glovis_3"] {
        Vehicle::lot(id).insert(&database).await;
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let url = url_of(&database);
    let mut store = Store::with(&["--requirepass", STORE_PASSWORD]);
    let store_url = format!("{}?pass={STORE_PASSWORD}", store.url());
    let replica = replica(&url, &store_url, log.as_file());
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    plant(&database, &acme).await;

    let mut outputs = Outputs::default();
    send_as_key(&mut outputs, replica.url()).await;
    send_elsewhere(&mut outputs, replica.url()).await;
    send_as_input(replica.url()).await;
    // The connections break, which is logged.
    store.kill();
    end_sessions(&database.pool).await;
    send_as_key(&mut outputs, replica.url()).await;
    let operator = replica.operator_url().to_owned();
    for path in ["/metrics", "/readyz", "/healthz"] {
        outputs
            .ask(path, Client::new().get(format!("{operator}{path}")))
            .await;
    }
    eventually("the lost connections are logged", async || {
        let outputs = std::fs::read_to_string(log.path()).unwrap();
        let both = [
            "the gate's listening connection was lost",
            "the shared store of rate limits is unavailable",
        ];
        both.iter().all(|it| outputs.contains(it)).then_some(())
    })
    .await;
    let stopped = tokio::task::spawn_blocking(|| replica.stop())
        .await
        .unwrap();
    outputs.add("standard output", String::from_utf8_lossy(&stopped.stdout));

    ask_the_command_line(&mut outputs, &url);
    let dump: String = sqlx::query_scalar("select database_to_xml(true, false, '')::text")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    // The database holds the user of an order and the digest of a key; no output shows either.
    assert!(dump.contains(USER), "an order was placed");

    let written = std::fs::read_to_string(log.path()).unwrap();
    check_log(&written);
    outputs.add("the log", written);
    assert_eq!(
        outputs.origin_of(USER),
        None,
        "the user of an order is shown"
    );
    for secret in secrets() {
        assert_eq!(outputs.origin_of(&secret), None, "{secret} is shown");
    }
    for key in ALL {
        assert!(!dump.contains(&key[12..]), "{key} is stored");
    }
    assert!(!dump.contains(PASSWORD));
}

/// Checks that the log is complete enough to be searched: it has all levels, targets, and the public key prefixes.
fn check_log(log: &str) {
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let has = |level: &str| lines.iter().any(|line| line["level"] == level);
    assert!(has("TRACE") && has("DEBUG") && has("INFO"), "{log}");
    let of_key = |line: &&Value| line["span"]["key"] == VALID[..12];
    assert!(lines.iter().find(of_key).is_some(), "the prefix is public");
    for target in ["sqlx", "h2"] {
        let from = |line: &Value| {
            line["target"]
                .as_str()
                .is_some_and(|it| it.starts_with(target))
        };
        assert!(lines.iter().any(from), "{target} has logged something");
    }
}
