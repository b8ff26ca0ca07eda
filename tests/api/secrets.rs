//! Nothing secret is told: keys and a password are planted, and every output is searched for them.

use std::fs::File;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    database::TestDatabase,
    process::{Process, lmn, run, words},
    store::Store,
    support::{Car, Partner, eventually, key},
};

/// Never checked by a server that trusts its own machine, and in every connection URL.
const PASSWORD: &str = "PlantedPassword7";
/// Of the shared store of rate limits.
const STORE_PASSWORD: &str = "PlantedStorePassword9";
/// Keys of the right form, each with a tail that stands nowhere else. The first 12 characters are public.
const REVOKED: &str = "lmn_stg_revoPlantedRevokedAAAAAAAA01";
const EXPIRED: &str = "lmn_stg_exprPlantedExpiredAAAAAAAA02";
const UNKNOWN: &str = "lmn_stg_nobdPlantedUnknownAAAAAAAA03";
const FOREIGN: &str = "lmn_prd_frgnPlantedForeignAAAAAAAA04";
const BROKEN: &str = "lmn_stg_brknPlantedBrokenKey05";
const VALID: &str = "lmn_stg_goodPlantedValidKeyAAAAAAA06";
const USER: &str = "PlantedUser08@example.com";
const ALL: [&str; 6] = [REVOKED, EXPIRED, UNKNOWN, FOREIGN, BROKEN, VALID];

/// Whatever of the planted may stand nowhere.
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

/// Everything that was said, to search it once.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, by: &str, text: impl Into<String>) {
        self.0.push((by.to_owned(), text.into()));
    }

    /// Asks and adds the whole answer, its headers as they are written.
    async fn ask(&mut self, by: &str, request: RequestBuilder) -> u16 {
        let response = request.send().await.expect("it answers");
        let (status, mut text) = (response.status().as_u16(), String::new());
        for (name, value) in response.headers() {
            text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
        }
        text += &response.text().await.expect("the body arrives");
        self.add(by, text);
        status
    }

    fn holds(&self, secret: &str) -> Option<&str> {
        let mut holders = self.0.iter().filter(|(_, text)| text.contains(secret));
        holders.next().map(|(by, _)| by.as_str())
    }
}

/// The database's URL with a password in it.
fn url_of(database: &TestDatabase) -> String {
    let url = database.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (account, place) = rest.split_once('@').unwrap();
    let user = account.split(':').next().unwrap();
    format!("{scheme}://{user}:{PASSWORD}@{place}")
}

/// Starts a replica that logs all it can into a file.
fn replica(url: &str, store: &str, log: &File) -> Process {
    let variables = [
        ("DATABASE_URL", url),
        ("LMN_RATE_LIMIT__SHARED__URL", store),
        ("LMN_RATE_LIMIT__SHARED__RETRY_MILLISECONDS", "50"),
        ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ("LMN_LOG__FILTER", "trace"),
    ];
    Process::run_with_log(
        lmn(&["serve", "--json"], &variables),
        log.try_clone().unwrap(),
    )
}

/// Sends every key where keys belong, over both versions of HTTP.
async fn send_as_key(said: &mut Said, url: &str) {
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
                said.ask("an answer", as_key(Method::GET, path)).await;
            }
            let order = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}).to_string();
            for accept in ["application/json", "application/problem+json"] {
                let placing = as_key(Method::POST, "/v1/orders")
                    .header("accept", accept)
                    .header("idempotency-key", key())
                    .header("content-type", "application/json");
                said.ask("an answer", placing.body(order.clone())).await;
            }
            let twice = as_key(Method::GET, "/v1/orders").header("x-api-key", UNKNOWN);
            said.ask("an answer", twice).await;
        }
    }
}

/// Sends the good key also where no key belongs.
async fn send_elsewhere(said: &mut Said, url: &str) {
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
        said.ask("an answer", get(&path)).await;
    }
    // The next page of a list: a link that is made from the request.
    let mut path = format!("/v1/vehicles?source=glovis&limit=1&api_key={VALID}");
    let status = said.ask("a page", get(&path)).await;
    assert_eq!(status, 200);
    path += "&make=hyundai";
    said.ask("a page", get(&path)).await;
    for header in [
        "authorization",
        "cookie",
        "traceparent",
        "x-request-id",
        "referer",
    ] {
        let request = get("/v1/orders").header(header, VALID);
        said.ask("an answer", request).await;
    }
}

/// What the service writes down of values that are echoed to their sender, as issues are.
async fn send_as_input(url: &str) {
    let mut echoed = Said::default();
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
    for statement in [
        "update api_keys set revoked_at = now() where prefix = 'lmn_stg_revo'",
        "update api_keys set expires_at = now() where prefix = 'lmn_stg_expr'",
    ] {
        sqlx::query(statement)
            .execute(&database.pool)
            .await
            .unwrap();
    }
}

/// Runs commands that read keys or the database's URL, right and wrong ones.
fn ask_the_command_line(said: &mut Said, url: &str) {
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
        said.add(
            &arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
        );
        said.add(&arguments.join(" "), words(&output));
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
            said.add(&wrong, words(&output));
        }
    }
    for wrong in [
        url.replace("postgres://", "mysql://"),
        format!("postgres://lmn:{PASSWORD}@127.0.0.1:1/nowhere"),
        format!("postgres://lmn:{PASSWORD}@[nonsense/lmn"),
    ] {
        let output = run(&["serve", "--json"], &[("DATABASE_URL", &wrong)]);
        assert!(!output.status.success(), "{output:?}");
        said.add(&wrong, words(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_found_in_no_output() {
    let database = TestDatabase::new().await;
    for id in ["glovis_1", "glovis_2", "glovis_3"] {
        Car::lot(id).insert(&database).await;
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let url = url_of(&database);
    let mut store = Store::with(&["--requirepass", STORE_PASSWORD]);
    let store_url = format!("{}?pass={STORE_PASSWORD}", store.url());
    let replica = replica(&url, &store_url, log.as_file());
    let acme = Partner::add(&database.pool, replica.url(), "acme").await;
    plant(&database, &acme).await;

    let mut said = Said::default();
    send_as_key(&mut said, replica.url()).await;
    send_elsewhere(&mut said, replica.url()).await;
    send_as_input(replica.url()).await;
    // The connections break, and the log says how.
    store.kill();
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name like 'lmn%'",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    send_as_key(&mut said, replica.url()).await;
    let operator = replica.operator_url().to_owned();
    for path in ["/metrics", "/readyz", "/healthz"] {
        said.ask(path, Client::new().get(format!("{operator}{path}")))
            .await;
    }
    eventually("the log says so", async || {
        let said = std::fs::read_to_string(log.path()).unwrap();
        let both = [
            "the gate's listening connection was lost",
            "the shared store of rate limits is away",
        ];
        both.iter().all(|it| said.contains(it)).then_some(())
    })
    .await;
    let stopped = tokio::task::spawn_blocking(|| replica.stop())
        .await
        .unwrap();
    said.add("standard output", String::from_utf8_lossy(&stopped.stdout));

    ask_the_command_line(&mut said, &url);
    let dump: String = sqlx::query_scalar("select database_to_xml(true, false, '')::text")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    // An order keeps whom it is for, and a key its digest; neither is told to anybody.
    assert!(dump.contains(USER), "an order was placed");

    let written = std::fs::read_to_string(log.path()).unwrap();
    check_log(&written);
    said.add("the log", written);
    assert_eq!(said.holds(USER), None, "whom an order is for is told");
    for secret in secrets() {
        assert_eq!(said.holds(&secret), None, "{secret} is told");
    }
    for key in ALL {
        assert!(!dump.contains(&key[12..]), "{key} is stored");
    }
    assert!(!dump.contains(PASSWORD));
}

/// The log is one worth searching: it has all there is, and names the keys by what is public of them.
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
        assert!(lines.iter().any(from), "{target} has said something");
    }
}
