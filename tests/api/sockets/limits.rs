//! Limits of connections: their number, and the time of slow, silent and idle callers.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::raw::{PATIENCE, rest, socket};
use crate::support::{Service, Vehicle, eventually, key, settings};

#[tokio::test]
async fn silent_or_slow_connection_is_closed() {
    let settings = [
        settings::first_byte_seconds(1),
        settings::header_seconds(1),
        settings::idle_seconds(600),
    ];
    let service = Service::with(&settings).await;
    let mut slow = Vec::new();
    // No data; the beginning of HTTP/1 or HTTP/2; an incomplete head; an incomplete second head.
    for sent in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET /v1/orders HTTP/1.1\r\nhost: x\r\nx-api-",
        "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\nGET /no",
    ] {
        let mut socket = socket(&service).await;
        socket.write_all(sent.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    let mut idle = socket(&service).await;
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut second = slow.pop().unwrap();
    for mut socket in slow {
        assert_eq!(rest(&mut socket).await, "");
    }
    // The second head continues after the first response and stays incomplete.
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await.unwrap();
    second.write_all(b"where HTTP/1.1\r\nhos").await.unwrap();
    rest(&mut second).await;
    // The idle connection is still open.
    idle.read_exact(&mut answer).await.unwrap();
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        rest(&mut idle)
            .await
            .matches("HTTP/1.1 404 Not Found")
            .count(),
        1
    );
}

#[tokio::test]
async fn idle_connection_is_closed_after_the_idle_time() {
    let service = Service::with(&[settings::idle_seconds(1)]).await;
    let mut idle = socket(&service).await;
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 404 Not Found"));
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_served() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    for _ in 0..3 {
        let request = client
            .get(format!("{}/v1/orders", service.url))
            .header("x-api-key", &acme.api_key);
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.version(), response.status().as_u16()),
            (reqwest::Version::HTTP_2, 200)
        );
    }
}

#[tokio::test]
async fn body_that_does_not_arrive_is_408_and_holds_no_database_connection() {
    let settings = [
        settings::body_seconds(1),
        settings::database_connections_max(1),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut slow = socket(&service).await;
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 50\r\n\r\n{{",
        acme.api_key,
        key()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    acme.place_order("glovis_1", 12_000).await.created();
    let answer = rest(&mut slow).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout"),
        "{answer}"
    );
    assert!(
        answer.contains("\"request_timeout\"") && answer.contains("idempotency-status: unknown"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_free_slot() {
    let service = Service::with(&[settings::connections_max(2)]).await;
    let (one, two) = (socket(&service).await, socket(&service).await);
    let mut third = socket(&service).await;
    third
        .write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), third.peek(&mut byte)).await;
    assert!(
        early.is_err(),
        "the third is not answered while two are open"
    );
    drop((one, two));
    assert!(rest(&mut third).await.starts_with("HTTP/1.1 404 Not Found"));
}

#[tokio::test]
async fn graceful_stop_closes_idle_connections_and_refuses_new_ones() {
    let mut service = Service::start().await;
    let mut idle = socket(&service).await;
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    timeout(PATIENCE, service.stop())
        .await
        .expect("an idle connection does not delay the stop");
    rest(&mut idle).await;
    let address = service.url.trim_start_matches("http://").to_owned();
    eventually("new connections are refused", async || {
        TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
}
