//! A revoked key is refused by every replica within a second, whatever becomes of the news.

use std::time::{Duration, Instant};

use lmn_partner_api::error::catalogue::Code;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Car, Partner, Service, eventually, somebody_waits},
    wire,
};

/// What the contract promises.
const PROMISE: Duration = Duration::from_secs(1);
/// Requests that are made after that.
const REQUESTS: usize = 50;
/// What needs a key and then, because it is wrong, nothing of the database.
const PATH: &str = "/v1/orders?limit=0";

/// What becomes of the connection by which a replica hears the news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It works.
    Whole,
    /// It is closed, and none can be opened.
    Cut,
    /// It is open, new ones can be opened, and nothing arrives any more, neither way.
    Hangs,
}

/// A replica whose news comes over a line that can fail; all else goes to the database as ever.
struct Replica {
    process: Process,
    line: watch::Sender<Line>,
}

impl Replica {
    async fn start(database: &TestDatabase) -> Self {
        let (line, seen) = watch::channel(Line::Whole);
        let url = wire::url_at(database, proxy(database, seen).await);
        let variables = [
            ("DATABASE_URL", url),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("LMN_LOG__FILTER", "off".to_owned()),
        ];
        let process = tokio::task::spawn_blocking(move || {
            let variables = variables
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            Process::start(&["serve", "--no-worker", "--json"], &variables)
        });
        Self {
            process: process.await.unwrap(),
            line,
        }
    }
}

/// Stands before the database, and lets the line that hears the news fail.
async fn proxy(database: &TestDatabase, line: watch::Receiver<Line>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = (*database.pool.connect_options()).clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (options, line) = (options.clone(), line.clone());
            tokio::spawn(async move {
                let server = wire::dial(&options).await?;
                carry(client, server, line).await
            });
        }
    });
    port
}

async fn carry(
    mut client: TcpStream,
    mut server: Box<dyn wire::Stream>,
    mut line: watch::Receiver<Line>,
) -> std::io::Result<()> {
    // The first message names who connects: its length, and the rest.
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    let hears_the_news = String::from_utf8_lossy(&startup).contains("lmn heartbeat");
    let failed = async {
        if hears_the_news {
            *line.wait_for(|it| *it != Line::Whole).await.unwrap()
        } else {
            std::future::pending().await
        }
    };
    let whole = async {
        server.write_u32(length).await?;
        server.write_all(&startup).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    let how = tokio::select! {
        biased;
        how = failed => how,
        ended = whole => return ended.map(drop),
    };
    if how == Line::Hangs {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Revokes a key while requests keep coming to two replicas, one of which has a line that fails just before.
async fn refused_in_time(line: Line) {
    let database = TestDatabase::new().await;
    let (near, far) = tokio::join!(Replica::start(&database), Replica::start(&database));
    let acme = Partner::add(&database.pool, near.process.url(), "acme").await;
    let at = [&near, &far].map(|it| acme.at(it.process.url()));
    for acme in &at {
        for _ in 0..20 {
            acme.get(PATH).await.issues();
        }
    }
    far.line.send_replace(line);
    sqlx::query("update api_keys set revoked_at = now()")
        .execute(&database.pool)
        .await
        .unwrap();
    let revoked = Instant::now();
    let [near, far] = at.map(|acme| tokio::spawn(insist(acme, revoked)));
    near.await.unwrap();
    far.await.unwrap();
}

/// Asks all the time, and checks that nothing is served that is sent a second after the revocation.
async fn insist(acme: Partner, revoked: Instant) {
    let (mut late, mut refused) = (0, false);
    while late < REQUESTS {
        let sent = revoked.elapsed();
        let reply = acme.get(PATH).await;
        if reply.status == 400 {
            assert!(
                !refused,
                "it was refused, and is served again after {sent:?}"
            );
            assert!(sent < PROMISE, "it is still served after {sent:?}");
            continue;
        }
        let details = reply.refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], "revoked");
        refused = true;
        late += usize::from(sent >= PROMISE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_time_when_the_news_arrives() {
    refused_in_time(Line::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_time_when_the_news_is_lost() {
    refused_in_time(Line::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_time_when_the_line_hangs() {
    refused_in_time(Line::Hangs).await;
}

#[tokio::test]
async fn a_remembered_key_is_not_looked_up_and_needs_no_connection() {
    let settings = [
        ("DATABASE__CONNECTIONS_MAX", "1"),
        ("DATABASE__ACQUIRE_SECONDS", "1"),
        ("DATABASE__LOCK_SECONDS", "7"),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
    acme.get(PATH).await.issues();
    let holder = service.lock_vehicles().await;
    // The one connection of the replica is in the middle of a write now.
    let write = {
        let rival = rival.clone();
        tokio::spawn(async move { rival.place_order("glovis_1", 12_000).await })
    };
    somebody_waits(service.db()).await;
    for _ in 0..20 {
        acme.get(PATH).await.issues();
    }
    let unseen = format!("lmn_stg_{:0<28}", "unseen");
    acme.issue(service.db(), &unseen).await;
    let looked_up = acme.with_key(&unseen).get(PATH).await;
    looked_up.refused(503, Code::ServiceUnavailable);
    holder.rollback().await.unwrap();
    write.await.unwrap().created();
    eventually("the other key is looked up", async || {
        (acme.with_key(&unseen).get(PATH).await.status == 400).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_who_must_be_looked_up_at_once_are_looked_up_together() {
    let settings = [
        // Nothing remembered is ever trusted.
        ("GATE__KEY_TRUST_MILLISECONDS", "2"),
        ("DATABASE__HEARTBEAT_MILLISECONDS", "1"),
        ("DATABASE__CONNECTIONS_MAX", "1"),
        ("DATABASE__ACQUIRE_SECONDS", "30"),
        ("DATABASE__LOCK_SECONDS", "7"),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.car(Car::lot("glovis_1")).await;
    acme.get(PATH).await.issues();
    let holder = service.lock_vehicles().await;
    let write = tokio::spawn(async move { rival.place_order("glovis_1", 12_000).await });
    somebody_waits(service.db()).await;
    let before = service.metric("lmn_key_reads_total").await;
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let acme = acme.clone();
            tokio::spawn(async move { acme.get(PATH).await })
        })
        .collect();
    eventually("all of them wait for the one connection", async || {
        (service.metric("lmn_http_requests_in_flight").await >= 51.0).then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    write.await.unwrap().created();
    for asked in asking {
        asked.await.unwrap().issues();
    }
    let reads = service.metric("lmn_key_reads_total").await - before;
    assert!((1.0..=5.0).contains(&reads), "{reads}");
}
