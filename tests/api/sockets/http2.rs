//! HTTP/2 with hand-made frames: its bounds, and clients that misuse it.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::raw::{PATIENCE, rest, socket};
use crate::support::{Partner, Service, Vehicle, key, lock_table, settings};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Encodes headers without compression, each as a literal name and value.
fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |it: &str| [&[u8::try_from(it.len()).unwrap()], it.as_bytes()].concat();
    let fields = fields.iter();
    fields
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}

pub fn get(path: &str, api_key: &str) -> Vec<u8> {
    headers(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
        ("x-api-key", api_key),
    ])
}

/// Reads the next frame: its kind, flags, stream and payload.
pub async fn next(socket: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    timeout(PATIENCE, socket.read_exact(&mut head))
        .await
        .expect("a frame arrives")
        .ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, payload))
}

pub async fn open(service: &Service, settings: &[u8]) -> TcpStream {
    let mut socket = socket(service).await;
    socket.write_all(PREFACE).await.unwrap();
    socket
        .write_all(&frame(SETTINGS, 0, 0, settings))
        .await
        .unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_one_connection_are_all_answered() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let mut requests = JoinSet::new();
    for n in 0..120 {
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        let request = client
            .post(format!("{}/v1/orders", service.url))
            .header("x-api-key", &acme.api_key)
            .header("idempotency-key", key())
            .header("content-type", "application/json")
            .body(format!(
                "{{\"vehicle_id\":\"glovis_{n}\",\"max_bid_amount_usd\":12000}}"
            ));
        requests.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|status| *status == 201)
    );
    assert_eq!(service.order_count().await, 120);
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_and_those_within_it_answered() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    // Every request for orders waits for this lock.
    let holder = lock_table(service.db(), "orders").await;
    let mut socket = open(&service, &[]).await;
    let max = loop {
        let (kind, flags, _, payload) = next(&mut socket).await.unwrap();
        if (kind, flags) == (SETTINGS, 0) {
            let settings = payload
                .chunks(6)
                .map(|it| (it[1], u32::from_be_bytes([it[2], it[3], it[4], it[5]])));
            // SETTINGS_MAX_CONCURRENT_STREAMS
            break settings
                .into_iter()
                .find(|it| it.0 == 3)
                .expect("the number of streams is bounded")
                .1;
        }
    };
    assert_eq!(max, 100);
    let request = get("/v1/orders", &acme.api_key);
    let mut bytes = Vec::new();
    for n in 0..max + 20 {
        bytes.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &request,
        ));
    }
    socket.write_all(&bytes).await.unwrap();
    let mut refused = 0;
    while refused < 20 {
        let (kind, _, _, payload) = next(&mut socket)
            .await
            .expect("streams are refused, not the connection");
        assert_ne!(kind, HEADERS, "no request can be answered yet");
        if kind == RST_STREAM {
            assert_eq!(payload, REFUSED_STREAM.to_be_bytes());
            refused += 1;
        }
    }
    holder.rollback().await.unwrap();
    let mut answered = 0;
    while answered < max {
        let (kind, ..) = next(&mut socket).await.expect("the connection stays open");
        answered += u32::from(kind == HEADERS);
    }
}

#[tokio::test]
async fn client_that_resets_many_streams_is_closed_and_others_are_served() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let mut flood = open(&service, &[]).await;
    let request = get("/v1/orders", &acme.api_key);
    let mut bytes = Vec::new();
    for n in 0..20_000_u32 {
        bytes.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &request,
        ));
        bytes.extend(frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    let (mut reads, mut writes) = flood.split();
    let flooding = async {
        let _ = writes.write_all(&bytes).await;
    };
    let mut received = Vec::new();
    let reading = reads.read_to_end(&mut received);
    let healthy = async {
        for _ in 0..20 {
            acme.get("/v1/orders").await.ok();
        }
    };
    let ((), read, ()) = timeout(PATIENCE, async { tokio::join!(flooding, reading, healthy) })
        .await
        .expect("the connection is closed, and healthy calls are answered");
    let _ = read;
    // GOAWAY with the highest stream id 0, unless the connection was reset before it arrived.
    let goaway = [GOAWAY, 0, 0, 0, 0, 0];
    assert!(
        received.is_empty() || received.windows(6).any(|it| it == goaway),
        "{received:?}"
    );
    acme.get("/v1/orders").await.ok();
}

/// Returns the frames of an order's head and of a part of its body.
fn half_an_order(acme: &Partner) -> Vec<u8> {
    let head = headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/v1/orders"),
        ("x-api-key", &acme.api_key),
        ("idempotency-key", &key()),
        ("content-type", "application/json"),
        ("content-length", "50"),
    ]);
    [
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(DATA, 0, 1, b"{"),
    ]
    .concat()
}

#[tokio::test]
async fn stalled_stream_gets_408_and_others_on_its_connection_are_served() {
    let service = Service::with(&[settings::body_seconds(3)]).await;
    let acme = service.partner("acme").await;
    let mut socket = open(&service, &[]).await;
    socket.write_all(&half_an_order(&acme)).await.unwrap();
    let request = get("/v1/orders", &acme.api_key);
    socket
        .write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &request))
        .await
        .unwrap();
    let mut order = Vec::new();
    let mut stalled = Vec::new();
    while order.len() < 2 {
        let (kind, _, stream, payload) =
            next(&mut socket).await.expect("both requests are answered");
        if kind == HEADERS {
            order.push(stream);
        } else if kind == DATA && stream == 1 {
            stalled.extend(payload);
        }
    }
    assert_eq!(order, [3, 1]);
    while stalled.is_empty() {
        let (kind, _, stream, payload) = next(&mut socket).await.expect("the response has a body");
        if kind == DATA && stream == 1 {
            stalled.extend(payload);
        }
    }
    assert!(String::from_utf8_lossy(&stalled).contains("\"request_timeout\""));
}

#[tokio::test]
async fn connection_whose_window_stays_closed_is_closed_when_idle() {
    let service = Service::with(&[settings::idle_seconds(1)]).await;
    // SETTINGS_INITIAL_WINDOW_SIZE 0: the server may send no byte of a body.
    let mut shut = open(&service, &[0, 4, 0, 0, 0, 0]).await;
    let request = get("/v1/openapi.json", "");
    shut.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &request))
        .await
        .unwrap();
    loop {
        let (kind, ..) = next(&mut shut).await.expect("the head arrives");
        assert_ne!(kind, DATA);
        if kind == HEADERS {
            break;
        }
    }
    rest(&mut shut).await;
}

#[tokio::test]
async fn connection_with_a_wide_window_whose_client_reads_nothing_is_closed() {
    let limits = [
        settings::write_seconds(1),
        settings::idle_seconds(600),
        settings::header_seconds(600),
        settings::connections_max(1),
    ];
    let service = Service::with(&limits).await;
    // SETTINGS_INITIAL_WINDOW_SIZE and the window of the connection, both at their maximum.
    let mut slow = open(&service, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    let wide = (0x7fff_ffff_u32 - 65_535).to_be_bytes();
    let mut bytes = frame(WINDOW_UPDATE, 0, 0, &wide);
    let request = get("/v1/openapi.json", "");
    for n in 0..100 {
        bytes.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &request,
        ));
    }
    slow.write_all(&bytes).await.unwrap();
    // The next connection is accepted once that one is closed.
    let mut next = socket(&service).await;
    next.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut next).await.starts_with("HTTP/1.1 404 Not Found"));
    drop(slow);
}
