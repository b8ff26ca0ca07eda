//! Servers that fall silent with their connections open, and servers that are standbys for a while. A proxy stands
//! between the replica and its database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lmn_partner_api::{errors::catalogue::Code, router::router};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Partner, Service, Vehicle, eventually, key},
    wire,
};

/// The server's answer to a new session that it accepts writes.
const ACCEPTS_WRITES: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x01t";
/// Short timeouts of a statement and of a lock, so that a test need not wait for the default ones.
const SHORT: [(&str, &str); 2] = [
    ("DATABASE__STATEMENT_SECONDS", "2"),
    ("DATABASE__LOCK_SECONDS", "1"),
];
/// The time within which writes must succeed again: the limits above, and a margin for busy machines.
const HEALED: Duration = Duration::from_secs(8);

/// The state of the network between a replica and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Whole,
    /// Connections that were open carry nothing more and stay open. New ones work.
    OldOnesSilent,
    /// No connection carries anything.
    Silent,
    /// Connections that were open are cut. New ones reach a server that says it is a standby.
    Standby,
}

/// A proxy in front of a database.
struct Proxy {
    port: u16,
    link: watch::Sender<Link>,
}

impl Proxy {
    /// Starts a proxy. With `spares_heartbeat`, the connection of the heartbeat always works.
    async fn start(database: &TestDatabase, spares_heartbeat: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = Arc::new((*database.pool.connect_options()).clone());
        let link = watch::Sender::new(Link::Whole);
        let links = link.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (options, link) = (options.clone(), links.subscribe());
                tokio::spawn(async move {
                    let server = wire::dial(&options).await?;
                    carry(client, server, link, spares_heartbeat).await
                });
            }
        });
        Self { port, link }
    }

    fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

/// Carries a connection until the link changes.
async fn carry(
    mut client: TcpStream,
    mut server: Box<dyn wire::Stream>,
    mut link: watch::Receiver<Link>,
    spares_heartbeat: bool,
) -> std::io::Result<()> {
    let opened_in = *link.borrow_and_update();
    // The first message has the name of the application: a length, and the rest.
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    let is_heartbeat = String::from_utf8_lossy(&startup).contains("lmn heartbeat");
    let is_spared = spares_heartbeat && is_heartbeat;
    if opened_in == Link::Silent && !is_spared {
        return std::future::pending().await;
    }
    server.write_u32(length).await?;
    server.write_all(&startup).await?;
    let changed = async {
        match is_spared {
            true => std::future::pending().await,
            false => *link.wait_for(|it| *it != opened_in).await.unwrap(),
        }
    };
    let carrying = relay(&mut client, &mut server, opened_in == Link::Standby);
    let now = tokio::select! {
        biased;
        now = changed => now,
        ended = carrying => return ended,
    };
    if matches!(now, Link::OldOnesSilent | Link::Silent) {
        // Both ends stay open.
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Copies bytes in both directions, and tells the client that the server is a standby if it is to be one.
async fn relay(
    client: &mut TcpStream,
    server: &mut Box<dyn wire::Stream>,
    is_standby: bool,
) -> std::io::Result<()> {
    let (mut sent, mut answered) = ([0; 16_384], [0; 16_384]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => match read? {
                0 => return Ok(()),
                length => server.write_all(&sent[..length]).await?,
            },
            read = server.read(&mut answered) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                let answer = &mut answered[..length];
                let size = ACCEPTS_WRITES.len();
                let at = answer.windows(size).position(|it| it == ACCEPTS_WRITES);
                if let Some(at) = at.filter(|_| is_standby) {
                    answer[at + size - 1] = b'f';
                }
                client.write_all(answer).await?;
            }
        }
    }
}

/// Starts a replica behind a proxy, with a partner and lots.
async fn replica(
    spares_heartbeat: bool,
    settings: &[(&str, &str)],
    lots: usize,
) -> (Service, Proxy, Partner) {
    let database = TestDatabase::new().await;
    let proxy = Proxy::start(&database, spares_heartbeat).await;
    let url = wire::url_at(&database, proxy.port);
    let settings = [SHORT.as_slice(), settings].concat();
    let service = Service::at(database, &url, &settings, router).await;
    let acme = service.partner("acme").await;
    for n in 0..lots {
        Vehicle::lot(&format!("glovis_{n}"))
            .insert(&service.database)
            .await;
    }
    service.app.catch_up().await;
    (service, proxy, acme)
}

/// Orders a lot each, all at once; returns what became of each, with its key.
async fn place_orders(acme: &Partner, lots: std::ops::Range<usize>) -> Vec<(usize, String, u16)> {
    let mut orders = JoinSet::new();
    for n in lots {
        let acme = acme.clone();
        orders.spawn(async move {
            let (key, vehicle) = (key(), format!("glovis_{n}"));
            let reply = acme.place_order_once(&key, &vehicle, 12_000).await;
            if reply.status != 201 {
                reply.refused(503, Code::ServiceUnavailable);
            }
            (n, key, reply.status)
        });
    }
    orders.join_all().await
}

/// Repeats an order with its key until it succeeds.
async fn repeat_order(acme: &Partner, lot: usize, key: &str) {
    eventually("the order succeeds", async || {
        let vehicle = format!("glovis_{lot}");
        let reply = acme.place_order_once(key, &vehicle, 12_000).await;
        matches!(reply.status, 200 | 201).then_some(())
    })
    .await;
}

async fn readiness(operator: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{operator}/readyz")).await.unwrap();
    let status = answer.status().as_u16();
    let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    (status, body)
}

/// Waits until the replica is ready, or is not because of its database.
async fn becomes_ready(operator: &str, is_ready: bool) {
    eventually("readiness changes", async || {
        let (status, body) = readiness(operator).await;
        let is_database = body["missing"][0]["what"] == "database";
        (status == if is_ready { 200 } else { 503 } && is_database != is_ready).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_succeed_again_after_the_old_primary_has_fallen_silent() {
    let (service, proxy, acme) = replica(false, &[], 24).await;
    // Every session of the pool is open.
    let before = place_orders(&acme, 0..8).await;
    assert!(before.iter().all(|it| it.2 == 201));
    proxy.set(Link::OldOnesSilent);
    let silent_at = Instant::now();
    let during = place_orders(&acme, 8..24).await;
    for (lot, key, _) in &during {
        repeat_order(&acme, *lot, key).await;
    }
    assert!(silent_at.elapsed() < HEALED, "{:?}", silent_at.elapsed());
    assert_eq!(service.count("select count(*) from orders").await, 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_of_a_silent_server_are_not_asked_one_after_the_other() {
    let (service, proxy, acme) = replica(false, &[], 10).await;
    place_orders(&acme, 0..8).await;
    // Then each of them is asked before it is used, for at most half a second. The catalogue has a session of its own.
    let used = "select count(*) from pg_stat_activity
                where datname = current_database() and application_name = 'lmn'
                  and state_change > clock_timestamp() - interval '1.1 seconds'";
    eventually("the sessions have been idle for a while", async || {
        (service.count(used).await <= 1).then_some(())
    })
    .await;
    proxy.set(Link::OldOnesSilent);
    let silent_at = Instant::now();
    let reply = acme.place_order("glovis_8", 12_000).await;
    reply.created();
    assert!(
        silent_at.elapsed() < Duration::from_secs(2),
        "{:?}",
        silent_at.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_on_a_standby_is_not_ready_and_heals_after_the_promotion() {
    let settings = [
        ("DATABASE__ACQUIRE_SECONDS", "1"),
        ("OPERATOR__DATABASE_SILENCE_MILLISECONDS", "500"),
    ];
    // The heartbeat goes on, so only the writes show that something is wrong.
    let (service, proxy, acme) = replica(true, &settings, 9).await;
    let operator = service.operator_url().await;
    becomes_ready(&operator, true).await;
    place_orders(&acme, 0..8).await;
    proxy.set(Link::Standby);
    let refused = eventually("writes are refused", async || {
        let reply = acme.cancel("01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
        (reply.status != 404).then_some(reply)
    })
    .await;
    refused.refused(503, Code::ServiceUnavailable);
    becomes_ready(&operator, false).await;
    proxy.set(Link::Whole);
    let promoted_at = Instant::now();
    // No request tells the replica that writes can begin again.
    becomes_ready(&operator, true).await;
    acme.place_order("glovis_8", 12_000).await.created();
    assert!(
        promoted_at.elapsed() < HEALED,
        "{:?}",
        promoted_at.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn process_with_writes_in_progress_ends_while_its_database_is_silent() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::start(&database, false).await;
    let url = wire::url_at(&database, proxy.port);
    for n in 0..16 {
        Vehicle::lot(&format!("glovis_{n}")).insert(&database).await;
    }
    let server = spawn_blocking(move || {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
            ("LMN_SERVER__DEADLINE_SECONDS", "3"),
            ("LMN_DATABASE__STATEMENT_SECONDS", "2"),
            ("LMN_DATABASE__LOCK_SECONDS", "1"),
            ("LMN_DATABASE__ACQUIRE_SECONDS", "2"),
            ("LMN_WEBHOOKS__BACKLOG_SECONDS", "1"),
            ("LMN_LOG__FILTER", "off"),
        ];
        Process::start(&["serve", "--json"], &variables)
    });
    let server = server.await.unwrap();
    let acme = Partner::add(&database.pool, server.url(), "acme").await;
    acme.get("/v1/orders").await.ok();
    proxy.set(Link::Silent);
    let orders = tokio::spawn(async move { place_orders(&acme, 0..16).await });
    let operator = server.operator_url().to_owned();
    eventually("the writes are in progress", async || {
        let metrics = reqwest::get(format!("{operator}/metrics")).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let in_flight = metrics
            .lines()
            .any(|it| it == "lmn_http_requests_in_flight 16");
        in_flight.then_some(())
    })
    .await;
    let asked_at = Instant::now();
    let stopped = timeout(
        Duration::from_secs(30),
        spawn_blocking(move || server.stop()),
    );
    let stopped = stopped.await.expect("the process ends").unwrap();
    assert!(stopped.status.success());
    assert!(asked_at.elapsed() < HEALED, "{:?}", asked_at.elapsed());
    let orders = orders.await.unwrap();
    assert!(
        orders.iter().all(|it| it.2 == 503),
        "every accepted request is answered"
    );
}
