//! Load shedding: requests beyond a bound are refused at once, and other partners are not affected.

use std::time::Duration;

use config::{Config, File, FileFormat};
use lmn_partner_api::{config::DEFAULTS, errors::catalogue::Code};
use regex::Regex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::support::{
    Partner, Reply, Service, Vehicle, blocked_sessions, eventually, key, limit, settings,
    wait_for_blocked_session,
};

/// Timeout longer than any limit that these tests set.
const PATIENCE: Duration = Duration::from_secs(20);

/// Orders two vehicles that another transaction has locked; waits until both orders wait for the locks.
async fn two_writes_that_wait(service: &Service, partner: &Partner) -> JoinSet<Reply> {
    let mut writes = JoinSet::new();
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let holder = service.lock_vehicles().await;
    for id in ["glovis_1", "glovis_2"] {
        let partner = partner.clone();
        writes.spawn(async move { partner.place_order(id, 12_000).await });
    }
    eventually("both orders wait for their vehicle", async || {
        (blocked_sessions(service.db()).await == 2).then_some(())
    })
    .await;
    // Held until the test aborts the tasks.
    writes.spawn(async move {
        std::future::pending::<()>().await;
        holder.rollback().await.unwrap();
        unreachable!()
    });
    writes
}

/// Checks that a request was shed and may be sent again.
fn was_shed(reply: &Reply) {
    let details = reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(
        details["retry_after"].to_string(),
        reply.header("retry-after")
    );
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(reply.header("lmn-should-retry"), "true");
}

#[tokio::test]
async fn replica_beyond_its_request_limit_answers_503_at_once_without_the_database() {
    let settings = [
        settings::requests_max(2),
        settings::partner_requests_max(2),
        settings::lock_seconds(7),
        // A request that needed a connection would wait for it.
        settings::database_connections_max(2),
        settings::acquire_seconds(60),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let operator = service.operator_url().await;
    let mut writes = two_writes_that_wait(&service, &acme).await;

    let write = rival.place_order("glovis_1", 12_000).await;
    was_shed(&write);
    assert_eq!(write.outcome(), ("unknown", "false"));
    was_shed(&rival.get("/v1/orders").await);
    was_shed(&rival.with_key("").get("/v1/orders").await);
    was_shed(&rival.get("/nowhere").await);
    assert_eq!(
        service
            .metric("lmn_http_requests_shed_total{by=\"replica\"}")
            .await,
        4.0
    );
    assert_eq!(service.metric("lmn_http_requests_max").await, 2.0);
    // The operator's listener is not limited.
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = reqwest::get(format!("{operator}{path}")).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }

    writes.abort_all();
    while writes.join_next().await.is_some() {}
    eventually("the replica serves requests again", async || {
        let reply = rival.get("/v1/orders").await;
        (reply.status == 200).then_some(())
    })
    .await;
    rival.place_order("glovis_1", 12_000).await.created();
}

#[tokio::test]
async fn partner_beyond_its_request_limit_gets_503_and_others_do_not() {
    let settings = [settings::partner_requests_max(2), settings::lock_seconds(7)];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let second_key = format!("lmn_stg_{:0<28}", "second");
    acme.issue(service.db(), &second_key).await;
    let mut writes = two_writes_that_wait(&service, &acme).await;
    for acme in [&acme, &acme.with_key(&second_key)] {
        let reply = acme.get("/v1/orders").await;
        was_shed(&reply);
        assert!(
            !reply.header("ratelimit").is_empty(),
            "the rate limit counted the request"
        );
    }
    let reply = acme.place_order("glovis_1", 12_000).await;
    was_shed(&reply);
    assert_eq!(reply.outcome(), ("unknown", "false"));
    rival.get("/v1/orders").await.ok();
    assert_eq!(
        service
            .metric("lmn_http_requests_shed_total{by=\"partner\"}")
            .await,
        3.0
    );
    assert_eq!(
        service
            .metric("lmn_http_requests_shed_total{by=\"replica\"}")
            .await,
        0.0
    );
    writes.abort_all();
    while writes.join_next().await.is_some() {}
    eventually("requests of acme are served again", async || {
        (acme.get("/v1/orders").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connection_whose_client_reads_no_responses_is_closed() {
    let settings = [
        settings::write_seconds(1),
        settings::idle_seconds(600),
        settings::connections_max(1),
    ];
    let service = Service::with(&settings).await;
    let address = service.url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(address).await.unwrap();
    // Responses larger than all buffers between server and client.
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    slow.write_all(request.repeat(200).as_bytes())
        .await
        .unwrap();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, next.read_to_string(&mut answer))
        .await
        .expect("the only connection slot is free again")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found"), "{answer}");
    drop(slow);
}

#[tokio::test]
async fn idle_http2_connection_is_closed() {
    let service = Service::with(&[settings::idle_seconds(1)]).await;
    let mut idle = TcpStream::connect(service.url.trim_start_matches("http://"))
        .await
        .unwrap();
    // The preface and empty settings, and no request.
    idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut received = Vec::new();
    let _ = timeout(PATIENCE, idle.read_to_end(&mut received))
        .await
        .expect("the connection is closed");
    assert!(!received.is_empty(), "the server sent its settings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noisy_partner_does_not_affect_other_partners() {
    let settings = [
        settings::partner_writes_max(4),
        settings::partner_write_wait_seconds(1),
        settings::partner_requests_max(20),
        // Long timeouts for busy machines, and a lock that is held for longer still.
        settings::acquire_seconds(15),
        settings::lock_seconds(30),
        settings::statement_seconds(40),
        settings::deadline_seconds(50),
    ];
    let service = Service::with(&settings).await;
    let (noisy, quiet) = (
        service.partner("noisy").await,
        service.partner("quiet").await,
    );
    let db = service.db();
    noisy.set_read_limit(db, limit(60, 60, 400)).await;
    noisy.set_write_limit(db, limit(60, 60, 100)).await;
    for n in 0..30 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
    }
    // All writes of the noisy partner are for one vehicle, which another transaction has locked.
    service.vehicle(Vehicle::lot("glovis_held")).await;
    let holder = service.lock_vehicle("glovis_held").await;
    let mut noise = JoinSet::new();
    for n in 0..60 {
        let noisy = noisy.clone();
        noise.spawn(async move {
            let mut statuses = Vec::new();
            while !statuses.contains(&429) {
                let reply = match n % 2 {
                    0 => noisy.get("/v1/orders").await,
                    _ => noisy.place_order("glovis_held", 12_000).await,
                };
                statuses.push(reply.status);
            }
            statuses
        });
    }
    wait_for_blocked_session(service.db()).await;
    for n in 0..30 {
        quiet.get("/v1/vehicles?source=glovis").await.ok();
        let order = quiet
            .place_order_once(&key(), &format!("glovis_{n}"), 12_000)
            .await;
        order.created();
        quiet.order(&order.id()).await.ok();
    }
    holder.rollback().await.unwrap();
    let mut statuses: Vec<u16> = noise.join_all().await.concat();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses.last(), Some(&503), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(!statuses.contains(&500), "{statuses:?}");
}

#[test]
fn table_of_bounds_names_existing_settings_with_their_defaults() {
    let table = include_str!("../../docs/bounds.md");
    let setting = Regex::new(
        r"`((?:server|gate|database|operator|telemetry|rate_limit|request_log)(?:\.[a-z_]+)+)`",
    )
    .unwrap();
    let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    let defaults = defaults.build().unwrap();
    let mut seen = 0;
    for row in table.lines().filter(|it| it.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for name in setting.captures_iter(cells[3]) {
            let name = &name[1];
            let value: u64 = defaults.get(name).expect(name);
            let shown = match name {
                "gate.key_trust_milliseconds" => "0.9 s".to_owned(),
                "server.body_bytes_max" => format!("{} KiB", value / 1024),
                _ if name.ends_with("_seconds") => format!("{value} s"),
                _ => value.to_string(),
            };
            assert!(cells[2].contains(&shown), "{name} is {shown}: {row}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
    for name in setting.captures_iter(table) {
        defaults.get::<u64>(&name[1]).expect(&name[1]);
    }
}
