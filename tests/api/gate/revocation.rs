//! A revoked key is refused by every replica within a second, whatever happens to the notification.

use std::time::{Duration, Instant};

use lmn_partner_api::errors::catalogue::Code;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    database::TestDatabase,
    process::Process,
    support::{Partner, Service, Vehicle, eventually, settings, wait_for_blocked_session},
    wire,
};

/// Time after which every replica must refuse a revoked key.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// Requests that are sent after that time.
const REQUESTS: usize = 50;
/// A request that needs a key and then, because it is malformed, no database.
const PATH: &str = "/v1/orders?limit=0";

/// State of the connection over which a replica receives notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// It works.
    Whole,
    /// It is closed, and no new one can be opened.
    Cut,
    /// It is open, and new ones can be opened, but no data passes in either direction.
    Hangs,
}

/// A replica whose notification connection can be made to fail; its other connections always work.
struct Replica {
    process: Process,
    link: watch::Sender<Link>,
}

impl Replica {
    async fn start(database: &TestDatabase) -> Self {
        let (link, seen) = watch::channel(Link::Whole);
        let url = wire::url_at(database, proxy(database, seen).await);
        let process = tokio::task::spawn_blocking(move || {
            let arguments = ["serve", "--no-worker", "--json"];
            Process::on(&url, &arguments, &[settings::LOG_OFF])
        });
        Self {
            process: process.await.unwrap(),
            link,
        }
    }
}

/// Starts a proxy in front of the database that makes the notification connection fail; returns its port.
async fn proxy(database: &TestDatabase, link: watch::Receiver<Link>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = (*database.pool.connect_options()).clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (options, link) = (options.clone(), link.clone());
            tokio::spawn(async move {
                let server = wire::dial(&options).await?;
                carry(client, server, link).await
            });
        }
    });
    port
}

async fn carry(
    mut client: TcpStream,
    mut server: Box<dyn wire::Stream>,
    mut link: watch::Receiver<Link>,
) -> std::io::Result<()> {
    // The first message holds the name of the application: a length, and the rest.
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    let is_heartbeat = String::from_utf8_lossy(&startup).contains("lmn heartbeat");
    let failed = async {
        if is_heartbeat {
            *link.wait_for(|it| *it != Link::Whole).await.unwrap()
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
    if how == Link::Hangs {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Revokes a key while two replicas serve requests; the notification connection of one fails just before.
async fn check_revocation(link: Link) {
    let database = TestDatabase::new().await;
    let (near, far) = tokio::join!(Replica::start(&database), Replica::start(&database));
    let acme = Partner::add(&database.pool, near.process.url(), "acme").await;
    let at = [&near, &far].map(|it| acme.at(it.process.url()));
    for acme in &at {
        for _ in 0..20 {
            acme.get(PATH).await.issues();
        }
    }
    far.link.send_replace(link);
    acme.revoke(&database.pool, &acme.api_key).await;
    let revoked = Instant::now();
    let [near, far] = at.map(|acme| tokio::spawn(keep_asking(acme, revoked)));
    near.await.unwrap();
    far.await.unwrap();
}

/// Sends requests without a pause, and checks that none sent a second after the revocation is served.
async fn keep_asking(acme: Partner, revoked: Instant) {
    let (mut late, mut refused) = (0, false);
    while late < REQUESTS {
        let sent = revoked.elapsed();
        let reply = acme.get(PATH).await;
        if reply.status == 400 {
            assert!(
                !refused,
                "served again {sent:?} after the revocation, having been refused"
            );
            assert!(
                sent < REFUSED_WITHIN,
                "still served {sent:?} after the revocation"
            );
            continue;
        }
        let details = reply.refused(401, Code::InvalidApiKey);
        assert_eq!(details["reason"], "revoked");
        refused = true;
        late += usize::from(sent >= REFUSED_WITHIN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_refused_in_time_when_the_notification_arrives() {
    check_revocation(Link::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_refused_in_time_when_the_connection_is_lost() {
    check_revocation(Link::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_refused_in_time_when_the_connection_hangs() {
    check_revocation(Link::Hangs).await;
}

#[tokio::test]
async fn cached_key_is_not_looked_up_and_needs_no_connection() {
    let settings = [
        settings::database_connections_max(1),
        settings::acquire_seconds(1),
        settings::lock_seconds(7),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.get(PATH).await.issues();
    let holder = service.lock_vehicles().await;
    // The only connection of the replica is now in the middle of a write.
    let write = {
        let rival = rival.clone();
        tokio::spawn(async move { rival.place_order("glovis_1", 12_000).await })
    };
    wait_for_blocked_session(service.db()).await;
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
async fn simultaneous_requests_share_one_lookup_of_their_key() {
    let settings = [
        settings::unknown_key_burst(100),
        settings::database_connections_max(1),
        settings::acquire_seconds(30),
        settings::lock_seconds(7),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let unseen = format!("lmn_stg_{:0<28}", "unseen");
    acme.issue(service.db(), &unseen).await;
    let acme = acme.with_key(&unseen);
    let holder = service.lock_vehicles().await;
    let write = tokio::spawn(async move { rival.place_order("glovis_1", 12_000).await });
    wait_for_blocked_session(service.db()).await;
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
