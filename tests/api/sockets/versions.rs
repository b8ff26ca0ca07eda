//! HTTP/1 as it may also be spoken: old, absolute, pipelined, asking first, in pieces, with one hand on the door.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{head, order, rest, say, socket, statuses};
use crate::support::{Car, Service, eventually, key};

#[tokio::test]
async fn http_1_0_stays_only_where_it_asks_to() {
    let service = Service::with(&[("SERVER__IDLE_SECONDS", "1")]).await;
    let acme = service.partner("acme").await;
    let once = format!(
        "GET /v1/orders HTTP/1.0\r\nx-api-key: {}\r\n\r\n",
        acme.api_key
    );
    assert_eq!(statuses(&say(&service, once.repeat(2)).await), [200]);
    let again = once.replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(statuses(&say(&service, again.repeat(2)).await), [200, 200]);
}

#[tokio::test]
async fn an_absolute_target_is_its_path() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (target, status) in [
        ("http://x/v1/orders", 200),
        ("https://elsewhere.example:99/v1/orders?limit=0", 400),
        ("http://x", 404),
        ("*", 404),
    ] {
        let line = format!("GET {target} HTTP/1.1");
        let answer = say(
            &service,
            format!("{}connection: close\r\n\r\n", head(&acme, &line)),
        )
        .await;
        assert_eq!(statuses(&answer), [status], "{target}: {answer}");
        assert!(!answer.contains("elsewhere.example"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_done_once_and_answered_in_their_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for id in ["glovis_1", "glovis_2", "glovis_3"] {
        service.car(Car::lot(id)).await;
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
    // The second one twice, byte for byte: with the same key, so it is a replay.
    let all = [&second, &cancel, &show, &second, &third, &last]
        .map(String::as_str)
        .concat();
    let answers = say(&service, all).await;
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
    assert_eq!(service.count("select count(*) from orders").await, 3);
    assert_eq!(
        service
            .count("select count(*) from orders where status = 'cancelled'")
            .await,
        1
    );
}

#[tokio::test]
async fn who_asks_first_is_told_to_go_on_and_who_is_refused_sends_nothing() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
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
    let answer = say(&service, refused).await;
    assert_eq!(statuses(&answer), [401], "{answer}");
}

#[tokio::test]
async fn a_body_in_pieces_is_a_body() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
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
    // Trailers say nothing that counts, whatever they are called.
    let trailers = format!(
        "0\r\nx-api-key: lmn_stg_short\r\nidempotency-key: {}\r\ncontent-length: 7\r\n\r\n",
        key()
    );
    let answer = say(&service, format!("{}{pieces}{trailers}", head())).await;
    assert_eq!(statuses(&answer), [201], "{answer}");
    let nothing = say(&service, format!("{}0\r\n\r\n", head())).await;
    assert_eq!(statuses(&nothing), [400], "{nothing}");
    assert!(nothing.contains("\"validation_error\""), "{nothing}");
    // Cut off in the middle: nothing is done, and nothing is kept.
    let mut cut = socket(&service).await;
    cut.write_all(format!("{}{}", head(), &pieces[..40]).as_bytes())
        .await
        .unwrap();
    drop(cut);
    let too_long = format!("{}{:x}\r\n", head(), u64::MAX);
    let answer = say(&service, format!("{too_long}{}", "x".repeat(200_000))).await;
    let statuses = statuses(&answer);
    assert!(
        statuses.is_empty() || matches!(statuses[..], [400 | 413]),
        "{answer}"
    );
    assert_eq!(service.count("select count(*) from orders").await, 1);
}

#[tokio::test]
async fn who_closes_one_half_has_hung_up_and_its_key_tells_what_happened() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
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
        (service.count("select count(*) from orders").await == 1).then_some(())
    })
    .await;
}
