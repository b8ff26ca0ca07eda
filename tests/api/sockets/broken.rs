//! Input that is not HTTP, or too long: the server answers 4xx or closes the connection, and serves other callers.

use tokio::io::AsyncWriteExt;

use super::raw::{exchange, head, rest, socket, statuses};
use crate::support::{Service, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_is_not_http_is_refused_or_closed() {
    let service =
        Service::with(&[settings::header_seconds(1), settings::first_byte_seconds(1)]).await;
    let acme = service.partner("acme").await;
    // The beginning of TLS 1.3: a record of a handshake, a ClientHello.
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 7);
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (name, bytes) in [
        ("a ClientHello", hello),
        ("noise", noise),
        ("zeros", vec![0; 4096]),
        ("line feeds", vec![b'\n'; 4096]),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (
            "a header of the PROXY protocol",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_vec(),
        ),
        (
            "a request in HTTP/3",
            b"GET / HTTP/3.0\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "a broken preface",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        ),
        (
            "a preface and noise",
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0xff; 512]].concat(),
        ),
    ] {
        let answer = exchange(&service, &bytes).await;
        let refused = statuses(&answer).iter().all(|it| (400..500).contains(it));
        assert!(refused, "{name}: {answer}");
        acme.get("/v1/orders").await.ok();
    }
}

#[tokio::test]
async fn head_that_is_too_long_is_refused_and_not_read_to_its_end() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let head = head(&acme, "GET /v1/orders HTTP/1.1");
    let many: String = (0..200).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let long = format!(
        "GET /v1/orders?x={} HTTP/1.1\r\nhost: x\r\n\r\n",
        "x".repeat(100 * 1024)
    );
    for (name, request, expected) in [
        (
            "a header of a mebibyte",
            format!("{head}x-long: {}\r\n\r\n", "x".repeat(1024 * 1024)),
            431,
        ),
        ("two hundred headers", format!("{head}{many}\r\n"), 431),
        ("a line of 100 KiB", long, 414),
    ] {
        let statuses = statuses(&exchange(&service, request).await);
        // The response is lost if the server closes the connection with unread data.
        assert!(
            statuses.is_empty() || statuses == [expected],
            "{name}: {statuses:?}"
        );
    }
    // A line of sixty thousand bytes is read and reaches the API.
    let line = format!("GET /v1/orders?x={} HTTP/1.1", "x".repeat(60_000));
    let fits = format!("{}connection: close\r\n\r\n", self::head(&acme, &line));
    assert_eq!(statuses(&exchange(&service, fits).await), [200]);

    // More than socket buffers hold, so writing succeeds only while the server reads.
    let mut endless = socket(&service).await;
    endless.write_all(head.as_bytes()).await.unwrap();
    let mut written = 0_usize;
    let part = vec![b'x'; 1024 * 1024];
    while written < 512 && endless.write_all(&part).await.is_ok() {
        written += 1;
    }
    assert!(written < 512, "the server stops reading");
    rest(&mut endless).await;
    acme.get("/v1/orders").await.ok();
}

#[tokio::test]
async fn request_must_name_one_host() {
    let service = Service::start().await;
    for (hosts, missing) in [
        ("", "REQUIRED_FIELD_MISSING"),
        ("host: x\r\nhost: x\r\n", "DUPLICATE"),
        ("host: x\r\nHost: y\r\n", "DUPLICATE"),
    ] {
        let request = format!("GET /v1/orders HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answer = exchange(&service, request).await;
        assert_eq!(statuses(&answer), [400], "{hosts}");
        assert!(
            answer.contains("\"path\":\"Host\"") && answer.contains(missing),
            "{answer}"
        );
    }
    let empty = "GET /v1/orders HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&exchange(&service, empty).await), [401]);
}
