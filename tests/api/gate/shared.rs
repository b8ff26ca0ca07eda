//! The rate limit shared by all replicas: real processes on one real store, which is killed, suspended and
//! misconfigured.

use std::{
    fs::{read_to_string, write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, FakeRelativeClock},
};
use lmn_partner_api::{errors::catalogue::Code, values::rate_limit::Policy};
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    task::spawn_blocking,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    database::TestDatabase,
    process::{Process, lmn_on},
    store::Store,
    support::{Partner, Reply, burst_alone, eventually, limit, settings},
};

/// A replica and its log.
struct Replica {
    process: Process,
    log: NamedTempFile,
}

impl Replica {
    fn start(database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![
            settings::LOG_INFO,
            // Long timeouts, because machines that run tests are busy.
            settings::shared_timeout_milliseconds(5_000),
            settings::shared_connect_milliseconds(5_000),
            settings::shared_retry_milliseconds(100),
        ];
        all.extend(settings);
        let log = NamedTempFile::new().unwrap();
        let arguments = ["serve", "--json", "--no-worker"];
        let command = lmn_on(&database.url(), &arguments, &all);
        let process = Process::run_with_log(command, log.reopen().unwrap());
        Self { process, log }
    }

    /// Starts a replica that counts in a store, and waits until it does.
    async fn counting_in(url: &str, database: &TestDatabase) -> Self {
        let replica = Self::start(database, &[settings::shared_store(url)]);
        replica.shows("lmn_rate_limit_shared_up 1").await;
        replica
    }

    async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("{}/metrics", self.process.operator_url())).await;
        answer.unwrap().text().await.unwrap()
    }

    /// Waits for a line in the metrics.
    async fn shows(&self, line: &str) {
        eventually(line, async || {
            let metrics = self.metrics().await;
            metrics.lines().any(|it| it == line).then_some(())
        })
        .await;
    }

    /// Returns the value of a metric, 0 if the metric is absent.
    async fn counts(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let mut lines = metrics.lines().filter_map(|it| it.strip_prefix(name));
        lines.next().map_or(0, |it| it.trim().parse().unwrap())
    }

    /// Returns the number of requests that the replica has limited without the store.
    async fn limited_alone(&self) -> u64 {
        self.counts("lmn_rate_limit_local_total{reason=\"away\"}")
            .await
            + self
                .counts("lmn_rate_limit_local_total{reason=\"failed\"}")
                .await
    }

    /// Returns how often its log contains a text.
    fn logged(&self, text: &str) -> usize {
        read_to_string(self.log.path())
            .unwrap()
            .matches(text)
            .count()
    }
}

/// Adds a partner with a limit of its own for reads.
async fn partner(database: &TestDatabase, replica: &Replica, limit: Policy) -> Partner {
    let acme = Partner::add(&database.pool, replica.process.url(), "acme").await;
    acme.set_read_limit(&database.pool, limit).await;
    acme
}

/// Sends requests and returns how many pass; the others must be refused by the rate limit.
async fn passing(acme: &Partner, requests: usize) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        let reply = acme.get("/v1/orders").await;
        match reply.status {
            200 => passed += 1,
            _ => drop(reply.refused(429, Code::RateLimited)),
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_admit_together_as_many_requests_as_one_would() {
    const LIMIT: usize = 40;
    const WINDOW: u64 = 2;
    const BURST: usize = 15;
    const ENOUGH: u64 = 95;
    let interval = Duration::from_millis(50);
    let (database, store) = (TestDatabase::new().await, Store::start());
    let replicas = [
        Replica::counting_in(&store.url(), &database).await,
        Replica::counting_in(&store.url(), &database).await,
    ];
    let limit = limit(LIMIT as u32, WINDOW as u32, BURST as u32);
    let acme = partner(&database, &replicas[0], limit).await;
    let commands = store.listen();
    let key: String = "read:40:2:15".to_owned();
    let listening = spawn_blocking(move || commands.passes_until("enough", &key));

    static PASSED: AtomicU64 = AtomicU64::new(0);
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let acme = acme.at(replicas[n % 2].process.url());
            tokio::spawn(async move {
                while PASSED.load(Ordering::Relaxed) < ENOUGH {
                    let passed = passing(&acme, 1).await;
                    PASSED.fetch_add(passed as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    store.ask("ECHO enough");
    let passes = listening.await.unwrap();
    assert_eq!(passes.len() as u64, PASSED.load(Ordering::Relaxed));
    // No request was lost or counted twice, to the nanosecond.
    for pair in passes.windows(2) {
        assert_eq!(pair[1].arrival - pair[0].arrival, interval.as_nanos());
    }
    // No period of the window's length holds more requests than the limit and the burst together.
    let window = Duration::from_secs(WINDOW).as_micros() as u64;
    for (n, first) in passes.iter().enumerate() {
        let within = passes[n..]
            .iter()
            .take_while(|it| it.at <= first.at + window);
        assert!(within.count() <= LIMIT + BURST);
    }
    // No request was refused that one replica would have admitted: after the burst, one per interval.
    let late = |n: usize| {
        let due = passes[0].at + (n + 1 - BURST) as u64 * interval.as_micros() as u64;
        passes[n].at as i64 - due as i64
    };
    let late: Vec<i64> = (BURST..passes.len()).map(late).collect();
    let (early, punctual) = (late.iter().min().unwrap(), late.iter().rev().take(20).min());
    assert!(*early > -2_000, "{late:?}");
    assert!(*punctual.unwrap() < interval.as_micros() as i64, "{late:?}");
    for replica in &replicas {
        assert_eq!(replica.limited_alone().await, 0);
        assert!(
            replica
                .counts("lmn_rate_limit_shared_duration_seconds_count")
                .await
                > 0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_exact_at_every_replica() {
    let (database, store) = (TestDatabase::new().await, Store::start());
    let replicas = [
        Replica::counting_in(&store.url(), &database).await,
        Replica::counting_in(&store.url(), &database).await,
    ];
    let acme = partner(&database, &replicas[0], limit(2, 3, 1)).await;
    let at = replicas.each_ref().map(|it| acme.at(it.process.url()));
    let began = Instant::now();
    at[0].get("/v1/orders").await.ok();
    let mut promised = None;
    for acme in at.iter().cycle() {
        let asked = Instant::now();
        let reply = acme.get("/v1/orders").await;
        if reply.status == 200 {
            break;
        }
        reply.refused(429, Code::RateLimited);
        assert!(promised.is_none_or(|it| asked < it), "{reply:?}");
        let retry_after: u64 = reply.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&retry_after), "{reply:?}");
        let promise = Instant::now() + Duration::from_secs(retry_after);
        promised = promised.min(Some(promise)).or(Some(promise));
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "no request passes"
        );
    }
    assert!(promised.is_some(), "no request was refused");
    assert!(
        began.elapsed() >= Duration::from_millis(1500),
        "one request is allowed every 1.5 s"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compares the script, run with a clock set by hand, with `governor`, to the nanosecond.
    #[test]
    fn store_counts_as_a_replica_does(cases in prop::collection::vec(case(), 200)) {
        let store = Store::start();
        let client = redis::Client::open(store.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        for (n, case) in cases.iter().enumerate() {
            case.compare(&mut connection, n)?;
        }
    }
}

/// A policy so slow that no key in the store expires while the test runs, and the times at which requests arrive.
#[derive(Debug, Clone)]
struct Case {
    interval: u64,
    burst: u32,
    start: u64,
    /// Pauses before each request in microseconds, and whether the store has lost its data by then.
    pauses: Vec<(u64, bool)>,
}

fn case() -> impl Strategy<Value = Case> {
    let policy = (1..=100_u64, 6_000..=1_000_000_u64).prop_flat_map(|(limit, window)| {
        let interval = window * 1_000_000_000 / limit;
        let burst_max = (86_400 * limit / window).max(1) as u32;
        (Just(interval), 1..=burst_max.min(20))
    });
    let start = 1_600_000_000_000_000..4_000_000_000_000_000_u64;
    (policy, start).prop_flat_map(|((interval, burst), start)| {
        let microseconds = interval / 1000;
        let pause = prop_oneof![
            3 => Just(0),
            2 => 0..1_000_u64,
            4 => 0..=microseconds * 2,
            1 => Just(microseconds),
            1 => Just(microseconds + 1),
            1 => 0..=microseconds * 25,
        ];
        let pause = (pause, prop::bool::weighted(0.1));
        prop::collection::vec(pause, 1..40).prop_map(move |pauses| Case {
            interval,
            burst,
            start,
            pauses,
        })
    })
}

impl Case {
    fn compare(&self, connection: &mut redis::Connection, n: usize) -> Result<(), TestCaseError> {
        let script = script_with_a_clock();
        let quota = Quota::with_period(Duration::from_nanos(self.interval)).unwrap();
        let clock = FakeRelativeClock::default();
        let burst = self.burst.try_into().unwrap();
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone());
        let (mut now, mut full_in) = (self.start, 0_u64);
        for (pause, is_lost) in &self.pauses {
            now += pause;
            clock.advance(Duration::from_micros(*pause));
            full_in = full_in.saturating_sub(pause * 1000);
            let key = format!("case:{n}");
            let mut unheard = 0;
            if *is_lost {
                let _: u32 = redis::cmd("DEL").arg(&key).query(connection).unwrap();
                unheard = full_in;
            }
            let verdict = limiter.check();
            let wait = verdict.map_err(|it| it.wait_time_from(clock.now()).as_nanos() as u64);
            let wait = wait.err().unwrap_or(0);
            full_in += if wait == 0 { self.interval } else { 0 };
            let counted: (u64, u64) = redis::cmd("EVAL")
                .arg(&script)
                .arg(1)
                .arg(&key)
                .arg(self.interval)
                .arg(self.burst)
                .arg(unheard)
                .arg(now / 1_000_000)
                .arg(now % 1_000_000)
                .query(connection)
                .unwrap();
            prop_assert_eq!(counted, (wait, full_in));
        }
        Ok(())
    }
}

/// Returns the script with a clock that its last two arguments set.
fn script_with_a_clock() -> String {
    let script = include_str!("../../../src/middleware/rate_limit/gcra.lua");
    let script = script.replacen("redis.call('TIME')", "{ARGV[4], ARGV[5]}", 1);
    assert!(script.contains("ARGV[5]") && !script.contains("'TIME'"));
    script
}

#[test]
fn store_whose_clock_is_set_back_makes_no_caller_wait_until_it_has_caught_up() {
    const INTERVAL: u64 = 10;
    let store = Store::start();
    let client = redis::Client::open(store.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let script = script_with_a_clock();
    for burst in [1_u64, 3] {
        let mut at = |second: u64| -> u64 {
            let policy = [INTERVAL * 1_000_000_000, burst, 0];
            let mut asked = redis::cmd("EVAL");
            asked.arg(&script).arg(1).arg(burst).arg(&policy);
            let (wait, _): (u64, u64) = asked.arg(second).arg(0).query(&mut connection).unwrap();
            wait / 1_000_000_000
        };
        let (noon, eleven) = (1_700_000_000, 1_700_000_000 - 3600);
        for _ in 0..burst {
            assert_eq!(at(noon), 0);
        }
        // The wait is that after a burst, and it is exact.
        assert_eq!(at(eleven), INTERVAL);
        assert_eq!(at(eleven + 4), INTERVAL - 4);
        assert_eq!(at(eleven + INTERVAL), 0);
        assert_eq!(at(eleven + INTERVAL), INTERVAL);
        assert_eq!(at(eleven + 2 * INTERVAL), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_killed_under_load_fails_no_request_and_is_used_again_after_its_restart() {
    let (database, mut store) = (TestDatabase::new().await, Store::start());
    let replica = Replica::counting_in(&store.url(), &database).await;
    let acme = partner(&database, &replica, burst_alone(3)).await;
    assert_eq!(passing(&acme, 2).await, 2);
    let beta = Partner::add(&database.pool, replica.process.url(), "beta").await;
    let load: Vec<_> = (0..4)
        .map(|_| {
            let beta = beta.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    beta.get("/v1/orders").await.ok();
                }
            })
        })
        .collect();
    eventually("the store is under load", async || {
        let counted = replica.counts("lmn_rate_limit_shared_duration_seconds_count");
        (counted.await > 20).then_some(())
    })
    .await;
    store.kill();
    replica.shows("lmn_rate_limit_shared_up 0").await;
    // The replica remembers the requests counted in the store: two of a burst of three.
    assert_eq!(passing(&acme, 5).await, 1);
    for load in load {
        load.await.unwrap();
    }
    assert!(replica.limited_alone().await > 5);
    let (found, lost) = (
        "the shared store is available",
        "is unavailable; this replica limits on its own",
    );
    assert_eq!((replica.logged(found), replica.logged(lost)), (1, 1));

    store.start_again();
    replica.shows("lmn_rate_limit_shared_up 1").await;
    assert_eq!((replica.logged(found), replica.logged(lost)), (2, 1));
    let before = replica.limited_alone().await;
    assert_eq!(
        passing(&acme, 5).await,
        0,
        "the store receives the requests that passed without it"
    );
    assert_eq!(replica.limited_alone().await, before);
    // The store holds no secret.
    let name = store.ask("KEYS lmn:1:sandbox:{*}:read:1:20000:3");
    assert_eq!(
        name,
        Some("*1".to_owned()),
        "one API key is counted under this name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_is_killed_and_restarted_gives_no_partner_another_burst() {
    let (database, mut store) = (TestDatabase::new().await, Store::start());
    let replicas = [
        Replica::counting_in(&store.url(), &database).await,
        Replica::counting_in(&store.url(), &database).await,
    ];
    let acme = partner(&database, &replicas[0], limit(1, 8_000, 10)).await;
    let [one, two] = replicas.each_ref().map(|it| acme.at(it.process.url()));
    assert_eq!(passing(&one, 6).await, 6);
    assert_eq!(passing(&two, 1).await, 1);
    store.kill();
    for replica in &replicas {
        replica.shows("lmn_rate_limit_shared_up 0").await;
    }
    // Each replica continues from the last state that it received: six of ten, and seven of ten.
    assert_eq!((passing(&one, 9).await, passing(&two, 9).await), (4, 3));
    store.start_again();
    for replica in &replicas {
        replica.shows("lmn_rate_limit_shared_up 1").await;
    }
    // The store was empty; the first request brings it the requests that passed without it.
    let (first, second) = (passing(&one, 2).await, passing(&two, 2).await);
    assert_eq!((first, second), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_used_up_before_the_store_is_killed_does_not_return_with_it() {
    let (database, mut store) = (TestDatabase::new().await, Store::start());
    let replica = Replica::counting_in(&store.url(), &database).await;
    let beta = Partner::add(&database.pool, replica.process.url(), "beta").await;
    beta.set_read_limit(&database.pool, burst_alone(3)).await;
    let acme = partner(&database, &replica, burst_alone(3)).await;
    assert_eq!(passing(&acme, 5).await, 3);
    assert_eq!(passing(&beta, 2).await, 2);
    // Twice, because the state brought to one store must be brought to the next one, too.
    for _ in 0..2 {
        store.kill();
        replica.shows("lmn_rate_limit_shared_up 0").await;
        // No request is sent meanwhile.
        store.start_again();
        replica.shows("lmn_rate_limit_shared_up 1").await;
        let before = replica.limited_alone().await;
        assert_eq!(passing(&acme, 5).await, 0);
        assert_eq!(replica.limited_alone().await, before);
    }
    assert_eq!(passing(&beta, 5).await, 1, "no partner loses a request");
    store.kill();
    replica.shows("lmn_rate_limit_shared_up 0").await;
    assert_eq!((passing(&acme, 2).await, passing(&beta, 2).await), (0, 0));
    store.start_again();
    replica.shows("lmn_rate_limit_shared_up 1").await;
    assert_eq!((passing(&acme, 2).await, passing(&beta, 2).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_hangs_costs_its_timeout_once() {
    let (database, store) = (TestDatabase::new().await, Store::start());
    let url = store.url();
    let settings = [
        settings::shared_store(&url),
        settings::shared_timeout_milliseconds(300),
        settings::shared_connect_milliseconds(300),
    ];
    let replica = Replica::start(&database, &settings);
    replica.shows("lmn_rate_limit_shared_up 1").await;
    let acme = Partner::add(&database.pool, replica.process.url(), "acme").await;
    acme.get("/v1/orders").await.ok();
    store.hang();
    let began = Instant::now();
    for _ in 0..100 {
        acme.get("/v1/orders").await.ok();
    }
    let took = began.elapsed();
    let failed = replica
        .counts("lmn_rate_limit_local_total{reason=\"failed\"}")
        .await;
    assert!(failed <= 1, "{failed} requests have waited");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(replica.logged("it did not answer within"), 1);
    store.go_on();
    replica.shows("lmn_rate_limit_shared_up 1").await;
    let before = replica.limited_alone().await;
    acme.get("/v1/orders").await.ok();
    assert_eq!(replica.limited_alone().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_refusals_are_the_same_with_a_store_and_without_one() {
    let (database, store) = (TestDatabase::new().await, Store::start());
    let shared = Replica::counting_in(&store.url(), &database).await;
    let local = Replica::start(&database, &[]);
    let acme = partner(&database, &shared, burst_alone(3)).await;
    let limit_fields = |reply: &Reply| {
        let headers: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
        let fields = [
            "ratelimit-policy",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
        ];
        let fields = fields.map(|name| reply.header(name).to_owned());
        let (state, _) = reply.header("ratelimit").split_once(";t=").unwrap();
        let t: i64 = reply.header("ratelimit")[state.len() + 3..]
            .parse()
            .unwrap();
        let mut details = reply.json()["error"]["details"].clone();
        let reset_at = details.get_mut("reset_at").map(serde_json::Value::take);
        let retry_after = details.get_mut("retry_after").map(serde_json::Value::take);
        let waits = (
            reset_at.is_some(),
            retry_after.map(|it| it.as_i64().unwrap() / 100),
        );
        (
            reply.status,
            headers,
            fields,
            state.to_owned(),
            t / 100,
            details,
            waits,
        )
    };
    for _ in 0..5 {
        let with = acme.get("/v1/orders").await;
        let without = acme.at(local.process.url()).get("/v1/orders").await;
        assert_eq!(limit_fields(&with), limit_fields(&without));
    }
    assert!(
        !local.metrics().await.contains("lmn_rate_limit_"),
        "a replica without a store has no metrics of one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limit_starts_anew_and_a_flushed_script_is_sent_again() {
    let (database, store) = (TestDatabase::new().await, Store::start());
    let replica = Replica::counting_in(&store.url(), &database).await;
    let acme = partner(&database, &replica, burst_alone(3)).await;
    assert_eq!(passing(&acme, 4).await, 3);
    assert_eq!(store.ask("SCRIPT FLUSH"), Some("+OK".into()));
    acme.set_read_limit(&database.pool, burst_alone(2)).await;
    eventually("the new limit is in force", async || {
        (acme.get("/v1/orders").await.header("x-ratelimit-limit") == "2").then_some(())
    })
    .await;
    assert_eq!(passing(&acme, 4).await, 1);
    assert_eq!(replica.limited_alone().await, 0);
    // The script was sent whole again, and from then on by its digest.
    let evaluated = evaluations(&store);
    assert!(evaluated > 0, "the first request sends the script");
    assert_eq!(passing(&acme, 10).await, 0);
    assert_eq!(evaluations(&store), evaluated);
}

/// Returns how often a store received a whole script to run.
fn evaluations(store: &Store) -> u64 {
    let client = redis::Client::open(store.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let info = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut connection);
    let info: String = info.unwrap();
    let calls = |line: &str| {
        line.strip_prefix("cmdstat_eval:calls=")?
            .split(',')
            .next()?
            .parse()
            .ok()
    };
    info.lines().find_map(calls).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_refuses_commands_fails_no_request() {
    let database = TestDatabase::new().await;
    // With a wrong password the store never counts, and every partner is served.
    let locked = Store::with(&["--requirepass", "right"]);
    let url = format!("{}?pass=wrong", locked.url());
    let replica = Replica::start(&database, &[settings::shared_store(&url)]);
    let acme = partner(&database, &replica, burst_alone(3)).await;
    assert_eq!(passing(&acme, 5).await, 3);
    replica.shows("lmn_rate_limit_shared_up 0").await;
    eventually("the refusal is logged", async || {
        (replica.logged("AuthenticationFailed") == 1).then_some(())
    })
    .await;
    let right = format!("{}?pass=right", locked.url());
    let replica = Replica::counting_in(&right, &database).await;
    assert_eq!(passing(&acme.at(replica.process.url()), 5).await, 3);

    // A store that has become a replica of another one: it answers and cannot write.
    let store = Store::start();
    let replica = Replica::counting_in(&store.url(), &database).await;
    let acme = acme.at(replica.process.url());
    assert_eq!(store.ask("REPLICAOF 127.0.0.1 1"), Some("+OK".into()));
    assert_eq!(passing(&acme, 5).await, 3);
    eventually("the refusal is logged", async || {
        (replica.logged("ReadOnly") == 1).then_some(())
    })
    .await;
    // The server is ready all the same.
    let ready = reqwest::get(format!("{}/readyz", replica.process.operator_url())).await;
    assert_eq!(ready.unwrap().status(), 200);
    assert_eq!(store.ask("REPLICAOF NO ONE"), Some("+OK".into()));
    replica.shows("lmn_rate_limit_shared_up 1").await;
}

/// Writes a certificate authority, and a certificate for `localhost` signed by it with its key, into a folder.
/// Returns the path of the authority.
fn authority(folder: &Path) -> String {
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    write(path("authority"), authority.pem()).unwrap();
    write(path("certificate"), certificate.pem()).unwrap();
    write(path("key"), key.serialize_pem()).unwrap();
    path("authority")
}

/// Accepts TLS connections with the certificate in a folder, and passes them on to a store, which may lack TLS.
async fn terminate_tls(store: &Store, folder: &Path) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key")).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = store.socket();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut store = UnixStream::connect(socket).await?;
                copy_bidirectional(&mut client, &mut store).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn store_is_trusted_over_tls_if_the_authority_has_signed_its_certificate() {
    let database = TestDatabase::new().await;
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (right, wrong) = (authority(folder.path()), authority(elsewhere.path()));
    let store = Store::start();
    let port = terminate_tls(&store, folder.path()).await;
    let url = format!("rediss://localhost:{port}");
    let replica = |authority: &str| {
        let settings = [
            settings::shared_store(&url),
            ("RATE_LIMIT__SHARED__AUTHORITY_FILE", authority),
        ];
        Replica::start(&database, &settings)
    };
    let trusting = replica(&right);
    trusting.shows("lmn_rate_limit_shared_up 1").await;
    let acme = partner(&database, &trusting, burst_alone(3)).await;
    assert_eq!(passing(&acme, 4).await, 3);
    assert_eq!(trusting.limited_alone().await, 0);
    let distrusting = replica(&wrong);
    eventually("the refusal is logged", async || {
        (distrusting.logged("invalid peer certificate") == 1).then_some(())
    })
    .await;
    distrusting.shows("lmn_rate_limit_shared_up 0").await;
}
