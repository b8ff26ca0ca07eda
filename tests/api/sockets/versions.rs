//! Less common features of HTTP/1: version 1.0, absolute targets, pipelining, `Expect`, chunks, half-closed sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{exchange, head, order, rest, socket, statuses};
use crate::support::{Service, Vehicle, eventually, key, settings};

#[tokio::test]
async fn http_1_0_connection_stays_open_only_with_keep_alive() {
    let service = Service::with(&[settings::idle_seconds(1)]).await;
    let acme = service.partner("acme").await;
    let once = format!(
        "GET /v1/orders HTTP/1.0\r\nx-api-key: {}\r\n\r\n",
        acme.api_key
    );
    assert_eq!(statuses(&exchange(&service, once.repeat(2)).await), [200]);
    let again = once.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(
        statuses(&exchange(&service, again.repeat(2)).await),
        [200, 200]
    );
}

#[tokio::test]
async fn absolute_target_is_served_by_its_path() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (target, status) in [
        ("http://x/v1/orders", 200),
        ("https://elsewhere.example:99/v1/orders?limit=0", 400),
        ("http://x", 200),
        ("*", 404),
    ] {
        let line = format!("GET {target} HTTP/1.1");
        let answer = exchange(
            &service,
            format!("{}connection: close\r\n\r\n", head(&acme, &line)),
        )
        .await;
        assert_eq!(statuses(&answer), [status], "{target}: {answer}");
        assert!(!answer.contains("elsewhere.example"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_executed_once_and_answered_in_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for id in ["glovis_1", "glovis_2", "glovis_3"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let first = acme.place_order("glovis_1", 12_000).await.id();
    let cancel = format!(
        "{}content-length: 0\r\n\r\n",
        head(&acme, &format!("DELETE /v1/orders/{first} HTTP/1.1"))
    );
    let second = order(&acme, "glovis_2");
    let show = format!(
        "{}\r\n",
        head(&acme, &format!("GET /v1/orders/{first} HTTP/1.1"))
    );
    let last = format!(
        "{}connection: close\r\n\r\n",
        head(&acme, "GET /nowhere HTTP/1.1")
    );
    let third = order(&acme, "glovis_3");
    // The second order is sent twice, byte for byte, so with the same key: the repetition is a replay.
    let all = [&second, &cancel, &show, &second, &third, &last]
        .map(String::as_str)
        .concat();
    let answers = exchange(&service, all).await;
    assert_eq!(
        statuses(&answers),
        [201, 200, 200, 200, 201, 404],
        "{answers}"
    );
    let cancelled = answers.find("\"cancelled\"").unwrap();
    assert!(
        answers.find("glovis_2").unwrap() < cancelled
            && cancelled < answers.find("glovis_3").unwrap()
    );
    assert_eq!(service.order_count().await, 3);
    assert_eq!(service.order_count_in("cancelled").await, 1);
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body_unless_the_request_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = order(&acme, "glovis_1").replace(
        "\r\n\r\n",
        "\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
    );
    let (head, body) = order.split_at(order.find("\r\n\r\n").unwrap() + 4);
    let mut asking = socket(&service).await;
    asking.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    asking.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    asking.write_all(body.as_bytes()).await.unwrap();
    let answer = rest(&mut asking).await;
    assert_eq!(statuses(&answer), [201], "{answer}");

    let refused = head.replace(&acme.api_key, "lmn_stg_short");
    let answer = exchange(&service, refused).await;
    assert_eq!(statuses(&answer), [401], "{answer}");
}

#[tokio::test]
async fn chunked_body_is_accepted_and_its_trailers_ignored() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let head = || {
        format!(
            "{}transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            head(&acme, "POST /v1/orders HTTP/1.1")
        )
    };
    let body = "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000}";
    let pieces: String = body
        .chars()
        .map(|it| format!("1;x=\"y\"\r\n{it}\r\n"))
        .collect();
    // Trailers are ignored, whatever their names.
    let trailers = format!(
        "0\r\nx-api-key: lmn_stg_short\r\nidempotency-key: {}\r\ncontent-length: 7\r\n\r\n",
        key()
    );
    let answer = exchange(&service, format!("{}{pieces}{trailers}", head())).await;
    assert_eq!(statuses(&answer), [201], "{answer}");
    let nothing = exchange(&service, format!("{}0\r\n\r\n", head())).await;
    assert_eq!(statuses(&nothing), [400], "{nothing}");
    assert!(nothing.contains("\"validation_error\""), "{nothing}");
    // A body that is cut off in the middle places no order.
    let mut incomplete = socket(&service).await;
    incomplete
        .write_all(format!("{}{}", head(), &pieces[..40]).as_bytes())
        .await
        .unwrap();
    drop(incomplete);
    let too_long = format!("{}{:x}\r\n", head(), u64::MAX);
    let answer = exchange(&service, format!("{too_long}{}", "x".repeat(200_000))).await;
    let statuses = statuses(&answer);
    assert!(
        statuses.is_empty() || matches!(statuses[..], [400 | 413]),
        "{answer}"
    );
    assert_eq!(service.order_count().await, 1);
}

#[tokio::test]
async fn request_on_a_half_closed_socket_can_be_resolved_by_its_key() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    let body = "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000}";
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        acme.api_key,
        body.len()
    );
    let mut half = socket(&service).await;
    half.write_all(request.as_bytes()).await.unwrap();
    half.shutdown().await.unwrap();
    let answer = rest(&mut half).await;
    let retried = acme.place_order_once(&key, "glovis_1", 12_000).await;
    assert!(matches!(retried.status, 200 | 201), "{retried:?}");
    if statuses(&answer) == [201] {
        assert!(answer.contains(&retried.id()), "{answer}");
    }
    eventually("there is one order", async || {
        (service.order_count().await == 1).then_some(())
    })
    .await;
}
