//! The server's edge: clients that take their responses slowly or not at all, crowd the server from one address, send
//! what nobody reads, or arrive while the server stops.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use lmn_partner_api::errors::catalogue::Code;
use reqwest::{Method, redirect::Policy};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, interval, timeout},
};

use crate::{
    database::TestDatabase,
    process::Process,
    sockets::{
        http2::{
            DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE,
            frame, get, next, open,
        },
        raw::{PATIENCE, answer, head, rest, socket},
    },
    support::{Partner, Reply, Service, Vehicle, eventually, wait_for_blocked_session},
};

/// `SETTINGS_INITIAL_WINDOW_SIZE` 0: the server may send no byte of a body.
const SHUT: [u8; 6] = [0, 4, 0, 0, 0, 0];
/// The size of an upload that is larger than all buffers between client and server.
const UPLOAD: usize = 8 * 1024 * 1024;

/// Returns the frame of a complete request on a stream.
fn request(stream: u32, path: &str, api_key: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(HEADERS, flags, stream, &get(path, api_key))
}

/// Returns whether response headers begin with the indexed field `:status: 200`.
fn is_ok(headers: &[u8]) -> bool {
    headers.first() == Some(&0x88)
}

/// Opens a connection from another loopback address.
async fn socket_from(address: [u8; 4], service: &Service) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::from((Ipv4Addr::from(address), 0));
    socket.bind(from).unwrap();
    let to = service.url.trim_start_matches("http://").parse().unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_an_http_2_client_does_not_take_are_in_progress() {
    let settings = [
        ("LIMITS__PARTNER_REQUESTS_MAX", "5"),
        ("SERVER__REQUESTS_MAX", "5"),
        ("SERVER__WRITE_SECONDS", "600"),
        ("SERVER__IDLE_SECONDS", "600"),
    ];
    let service = Service::with(&settings).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut shut = open(&service, &SHUT).await;
    let mut bytes = Vec::new();
    for n in 0..8 {
        bytes.extend(request(
            2 * n + 1,
            "/v1/vehicles?source=glovis",
            &acme.api_key,
        ));
    }
    shut.write_all(&bytes).await.unwrap();
    let mut served = Vec::new();
    while served.len() < 8 {
        let (kind, _, _, payload) = next(&mut shut).await.expect("the heads arrive");
        assert_ne!(kind, DATA, "the window is shut");
        if kind == HEADERS {
            served.push(is_ok(&payload));
        }
    }
    assert_eq!(served.iter().filter(|it| **it).count(), 5, "{served:?}");
    let in_flight = "lmn_http_requests_in_flight";
    assert_eq!(service.metric(in_flight).await, 5.0);
    for partner in [&acme, &rival] {
        let reply = partner.get("/v1/orders").await;
        reply.refused(503, Code::ServiceUnavailable);
    }
    drop(shut);
    eventually("the responses are given up", async || {
        (service.metric(in_flight).await == 0.0).then_some(())
    })
    .await;
    acme.get("/v1/orders").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_nobody_takes_do_not_use_up_the_requests_of_partners() {
    let settings = [
        ("LIMITS__PARTNER_REQUESTS_MAX", "5"),
        ("SERVER__REQUESTS_MAX", "5"),
        ("SERVER__WRITE_SECONDS", "600"),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    let mut shut = open(&service, &SHUT).await;
    for n in 0..20 {
        let bytes = request(2 * n + 1, "/v1/openapi.json", "");
        shut.write_all(&bytes).await.unwrap();
        while next(&mut shut).await.expect("the heads arrive").0 != HEADERS {}
    }
    acme.get("/v1/orders").await.ok();
}

#[tokio::test]
async fn http_2_connection_whose_client_takes_nothing_of_a_response_is_closed() {
    let settings = [
        ("SERVER__WRITE_SECONDS", "1"),
        ("SERVER__IDLE_SECONDS", "600"),
        ("SERVER__HEADER_SECONDS", "600"),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    let mut shut = open(&service, &SHUT).await;
    shut.write_all(&request(1, "/v1/orders", &acme.api_key))
        .await
        .unwrap();
    rest(&mut shut).await;
}

#[tokio::test]
async fn http_2_client_that_takes_a_byte_at_a_time_is_closed() {
    let settings = [
        ("SERVER__WRITE_SECONDS", "1"),
        ("SERVER__IDLE_SECONDS", "600"),
        ("SERVER__HEADER_SECONDS", "600"),
    ];
    let service = Service::with(&settings).await;
    let mut slow = open(&service, &SHUT).await;
    slow.write_all(&request(1, "/v1/openapi.json", ""))
        .await
        .unwrap();
    let (mut reads, mut writes) = slow.split();
    let takes = async {
        let mut ticks = interval(Duration::from_millis(50));
        let one_more = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        for _ in 0.. {
            ticks.tick().await;
            if writes.write_all(&one_more).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut received = Vec::new();
    let closed = timeout(PATIENCE, reads.read_to_end(&mut received));
    tokio::select! {
        closed = closed => assert!(closed.is_ok(), "the connection is closed"),
        () = takes => unreachable!(),
    }
}

#[tokio::test]
async fn http_2_client_that_takes_a_response_steadily_gets_all_of_it() {
    let service = Service::with(&[("SERVER__IDLE_SECONDS", "1")]).await;
    // SETTINGS_INITIAL_WINDOW_SIZE 4096.
    let mut steady = open(&service, &[0, 4, 0, 0, 0x10, 0]).await;
    let began = Instant::now();
    steady
        .write_all(&request(1, "/v1/openapi.json", ""))
        .await
        .unwrap();
    let mut ticks = interval(Duration::from_millis(50));
    let mut document = Vec::new();
    loop {
        let frames = next(&mut steady).await;
        let (kind, flags, _, payload) = frames.expect("the connection stays open");
        if kind != DATA {
            continue;
        }
        document.extend_from_slice(&payload);
        if flags & END_STREAM != 0 {
            break;
        }
        ticks.tick().await;
        let taken = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let more = [
            frame(WINDOW_UPDATE, 0, 1, &taken),
            frame(WINDOW_UPDATE, 0, 0, &taken),
        ];
        steady.write_all(&more.concat()).await.unwrap();
    }
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "twice the idle time"
    );
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["info"]["title"], "LMN partner API");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn address_has_a_share_of_the_connections() {
    let settings = [
        ("SERVER__CONNECTIONS_MAX", "64"),
        ("SERVER__FIRST_BYTE_SECONDS", "600"),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    const CROWD: [u8; 4] = [127, 0, 0, 2];
    let mut crowd = Vec::new();
    for _ in 0..64 {
        crowd.push(socket_from(CROWD, &service).await);
    }
    eventually("all but the share of the address are closed", async || {
        let refused = service.metric("lmn_connections_refused_total").await;
        (refused == 48.0).then_some(())
    })
    .await;
    acme.get("/v1/orders").await.ok();
    let mut one_more = socket_from(CROWD, &service).await;
    assert_eq!(rest(&mut one_more).await, "");
    drop(crowd);
    eventually("the address may connect again", async || {
        let mut socket = socket_from(CROWD, &service).await;
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        socket.write_all(request).await.ok()?;
        answer(&mut socket).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_trusted_proxy_have_no_limit_of_their_own() {
    let settings = [
        ("SERVER__CONNECTIONS_MAX", "64"),
        ("GATE__TRUSTED_PROXIES", "127.0.0.2"),
    ];
    let service = Service::with(&settings).await;
    let mut connections = Vec::new();
    for _ in 0..40 {
        let mut socket = socket_from([127, 0, 0, 2], &service).await;
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let (head, _) = answer(&mut socket).await.expect("it is served");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        connections.push(socket);
    }
    assert_eq!(service.metric("lmn_connections_refused_total").await, 0.0);
}

#[tokio::test]
async fn requests_without_a_key_do_not_keep_a_connection_open() {
    let service = Service::with(&[("SERVER__IDLE_SECONDS", "1")]).await;
    let acme = service.partner("acme").await;
    let (mut keyless, mut keyed) = (socket(&service).await, socket(&service).await);
    let last = timeout(PATIENCE, async {
        loop {
            let known = format!("{}\r\n", head(&acme, "GET /v1/orders HTTP/1.1"));
            keyed.write_all(known.as_bytes()).await.unwrap();
            let (head, _) = answer(&mut keyed).await.expect("it stays open");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let request = b"GET /v1/orders HTTP/1.1\r\nhost: x\r\n\r\n";
            keyless.write_all(request).await.unwrap();
            let (head, _) = answer(&mut keyless).await.expect("it ends with a response");
            assert!(head.starts_with("HTTP/1.1 401"), "{head}");
            if head.contains("connection: close") {
                return head;
            }
        }
    });
    last.await.expect("the connection without a key ends");
    assert_eq!(rest(&mut keyless).await, "");
    let known = format!("{}\r\n", head(&acme, "GET /v1/orders HTTP/1.1"));
    keyed.write_all(known.as_bytes()).await.unwrap();
    assert!(answer(&mut keyed).await.is_some());
}

#[tokio::test]
async fn requests_without_a_key_do_not_keep_an_http_2_connection_open() {
    let service = Service::with(&[("SERVER__IDLE_SECONDS", "1")]).await;
    let mut keyless = open(&service, &[]).await;
    let ends = timeout(PATIENCE, async {
        for n in 0.. {
            let bytes = request(2 * n + 1, "/v1/orders", "");
            keyless.write_all(&bytes).await.unwrap();
            loop {
                match next(&mut keyless).await.expect("it ends with a GOAWAY").0 {
                    GOAWAY => return,
                    HEADERS => break,
                    _ => {}
                }
            }
        }
    });
    ends.await.expect("the connection ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_is_refused_while_it_sends_gets_the_response() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let order = head(&acme, "POST /v1/orders HTTP/1.1");
    for (name, head, status) in [
        (
            "a wrong key",
            order.replace(&acme.api_key, "lmn_stg_short"),
            401,
        ),
        ("no key", order.replace("x-api-key", "x-other"), 401),
        ("too large a body", order.clone(), 413),
        (
            "another media type",
            order.replace("application/json", "text/plain"),
            415,
        ),
        (
            "an unknown path",
            order.replace("/v1/orders", "/v1/order"),
            404,
        ),
    ] {
        let mut sending = socket(&service).await;
        let head = format!("{head}content-length: {UPLOAD}\r\n\r\n");
        sending.write_all(head.as_bytes()).await.unwrap();
        // Like many clients, this one reads only after it has sent everything.
        let sent = sending.write_all(&vec![b'x'; UPLOAD]).await;
        assert!(sent.is_ok(), "{name}: {sent:?}");
        let (head, body) = answer(&mut sending).await.expect(name);
        let line = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&line), "{name}: {head}");
        assert!(body.contains("\"request_id\""), "{name}: {body}");
        // The body was read to its end, so the next request is found.
        let next = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        sending.write_all(next).await.unwrap();
        let (head, _) = answer(&mut sending).await.expect(name);
        assert!(head.starts_with("HTTP/1.1 200 "), "{name}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_is_refused_and_never_stops_sending_is_closed() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let head = head(&acme, "POST /v1/orders HTTP/1.1").replace(&acme.api_key, "lmn_stg_short");
    let mut endless = socket(&service).await;
    let head = format!("{head}content-length: {}\r\n\r\n", 1_u64 << 40);
    endless.write_all(head.as_bytes()).await.unwrap();
    let part = vec![b'x'; 1024 * 1024];
    let mut written = 0;
    while written < 512 && endless.write_all(&part).await.is_ok() {
        written += 1;
    }
    assert!(written < 512, "the server stops reading");
    acme.get("/v1/orders").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partners_port_answers_probes_even_if_it_is_full() {
    let settings = [
        ("SERVER__REQUESTS_MAX", "1"),
        ("LIMITS__PARTNER_REQUESTS_MAX", "1"),
    ];
    let service = Service::with(&settings).await;
    let operator = service.operator_url().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let holder = service.lock_vehicles().await;
    let order = {
        let acme = acme.clone();
        tokio::spawn(async move { acme.place_order("glovis_1", 12_000).await })
    };
    wait_for_blocked_session(service.db()).await;
    let shed = acme.get("/v1/orders").await;
    shed.refused(503, Code::ServiceUnavailable);
    for (path, status) in [("/healthz", "alive"), ("/readyz", "ready")] {
        let probed = acme.with_key("").get(path).await;
        assert_eq!(probed.ok(), json!({"status": status}), "{path}");
        let expected = reqwest::get(format!("{operator}{path}")).await.unwrap();
        assert_eq!(probed.body, expected.bytes().await.unwrap(), "{path}");
    }
    holder.rollback().await.unwrap();
    order.await.unwrap().created();
}

#[tokio::test]
async fn index_leads_to_the_documents() {
    let settings = [("PUBLIC_URL", "https://api.example.com/lmn/")];
    let service = Service::with(&settings).await;
    let keyless = service.partner("acme").await.with_key("");
    let index = keyless.get("/").await;
    assert_eq!(
        index.ok(),
        json!({
            "name": "LMN partner API",
            "environment": "sandbox",
            "links": {
                "docs": "https://api.example.com/lmn/docs",
                "openapi": "https://api.example.com/lmn/v1/openapi.json",
                "errors": "https://api.example.com/lmn/v1/errors",
                "status": "https://api.example.com/lmn/v1/status",
            },
        })
    );
    assert_eq!(index.header("content-type"), "application/json");
    assert_eq!(index.header("vary"), "Accept");
    let links = index.json()["links"].clone();
    for link in links.as_object().unwrap().values() {
        let path = link.as_str().unwrap();
        let path = path.strip_prefix("https://api.example.com/lmn").unwrap();
        assert_eq!(keyless.get(path).await.status, 200, "{path}");
    }
    let again = keyless
        .ask(Method::GET, "/")
        .header("if-none-match", index.header("etag"));
    assert_eq!(again.send().await.status, 304);
    let browser = reqwest::Client::builder().redirect(Policy::none()).build();
    let browser = browser.unwrap();
    for (path, accept) in [
        ("/", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("/docs/", "*/*"),
    ] {
        let request = browser.get(format!("{}{path}", service.url));
        let request = request.header("accept", accept);
        let reply = Reply::of(request.send().await.unwrap()).await;
        assert_eq!(reply.status, 303, "{path}");
        assert_eq!(reply.header("location"), "https://api.example.com/lmn/docs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_server_accepts_connections_and_ends_each_after_a_response() {
    let settings = [("SERVER__DRAIN_GRACE_MILLISECONDS", "4000")];
    let mut service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let request = format!("{}\r\n", head(&acme, "GET /v1/orders HTTP/1.1"));
    let mut kept = socket(&service).await;
    kept.write_all(request.as_bytes()).await.unwrap();
    let (head, _) = answer(&mut kept).await.expect("it is served");
    assert!(!head.contains("connection: close"), "{head}");
    let url = service.url.clone();
    let stopped = tokio::spawn(async move {
        service.stop().await;
        service
    });
    let reasons = eventually("the replica is not ready", async || {
        let probed = reqwest::get(format!("{url}/readyz")).await.ok()?;
        let is_unready = probed.status() == 503;
        let body: Value = serde_json::from_slice(&probed.bytes().await.ok()?).ok()?;
        is_unready.then(|| body["missing"].clone())
    })
    .await;
    assert_eq!(reasons[0]["what"], "stopping");
    acme.place_order("glovis_1", 12_000).await.created();
    kept.write_all(request.as_bytes()).await.unwrap();
    let (head, _) = answer(&mut kept).await.expect("it is served");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(rest(&mut kept).await, "");
    let service = stopped.await.unwrap();
    let address = service.url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(address).await.is_err());
}

/// Connections of each kind when the replica stops.
const EACH: u32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_have_reached_a_replica_when_it_stops_are_answered() {
    let database = TestDatabase::new().await;
    let url = database.url();
    for grace in ["0", "1000"] {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
            ("LMN_SERVER__DRAIN_GRACE_MILLISECONDS", grace),
            ("LMN_LIMITS__PARTNER_REQUESTS_MAX", "512"),
            ("LMN_LOG__FILTER", "error"),
        ];
        let replica = Process::start(&["serve", "--json", "--no-worker"], &variables);
        let name = format!("acme_{grace}");
        let acme = Partner::add(&database.pool, replica.url(), &name).await;
        let address = replica.url().trim_start_matches("http://").to_owned();
        let list = format!("{}\r\n", head(&acme, "GET /v1/orders HTTP/1.1"));
        let mut connections = Vec::new();
        for _ in 0..EACH {
            let mut kept = TcpStream::connect(&address).await.unwrap();
            kept.write_all(list.as_bytes()).await.unwrap();
            answer(&mut kept).await.expect("it is served");
            connections.push(kept);
        }
        let mut multiplexed = TcpStream::connect(&address).await.unwrap();
        let settings = frame(SETTINGS, 0, 0, &[]);
        let first = request(1, "/v1/orders", &acme.api_key);
        let begin = [PREFACE, &settings, &first].concat();
        multiplexed.write_all(&begin).await.unwrap();
        while next(&mut multiplexed).await.expect("it is served").0 != HEADERS {}

        // While the process is suspended, the kernel completes connections and receives requests.
        replica.signal(Signal::STOP);
        let state = format!("/proc/{}/stat", replica.id());
        eventually("the process is suspended", async || {
            let state = fs::read_to_string(&state).unwrap();
            state.contains(") T ").then_some(())
        })
        .await;
        for kept in &mut connections {
            kept.write_all(list.as_bytes()).await.unwrap();
        }
        for _ in 0..EACH {
            let mut fresh = TcpStream::connect(&address).await.unwrap();
            fresh.write_all(list.as_bytes()).await.unwrap();
            connections.push(fresh);
        }
        for n in 1..=EACH {
            let bytes = request(2 * n + 1, "/v1/orders", &acme.api_key);
            multiplexed.write_all(&bytes).await.unwrap();
        }
        replica.signal(Signal::TERM);
        replica.signal(Signal::CONT);

        for (n, socket) in connections.iter_mut().enumerate() {
            let answer = answer(socket).await;
            let (head, _) = answer.unwrap_or_else(|| panic!("connection {n} is cut, {grace}"));
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
        let mut served = 0;
        while served < EACH {
            let (kind, _, _, payload) = next(&mut multiplexed).await.expect("all are served");
            if kind == HEADERS {
                assert!(is_ok(&payload), "{payload:?}");
                served += 1;
            }
        }
        drop((connections, multiplexed));
        let output = tokio::task::spawn_blocking(|| replica.wait());
        assert!(output.await.unwrap().status.success());
    }
}
