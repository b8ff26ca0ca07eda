//! Request smuggling: a request that can be read as one or as two is refused, or read as one. A request hidden in it
//! is never executed.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::raw::{exchange, head, order, statuses};
use crate::support::{Partner, Service, Vehicle, settings};

/// Names, framing headers, and the text after the blank line. `{all}` is the length of that text, `{hidden}` a whole
/// request that orders a vehicle, `{size}` the length of that request in hexadecimal digits.
const FORMS: [(&str, &str, &str); 39] = [
    // Both framings, in each order, with a length that covers or does not cover the hidden request.
    (
        "a length, then chunks",
        "content-length: {all}\r\ntransfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks, then a length",
        "transfer-encoding: chunked\r\ncontent-length: {all}\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "a short length, then chunks",
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "{size}\r\n{hidden}\r\n0\r\n\r\n",
    ),
    (
        "chunks, then a short length",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "{size}\r\n{hidden}\r\n0\r\n\r\n",
    ),
    (
        "no length, then chunks",
        "content-length: 0\r\ntransfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks, spelled oddly",
        "content-length: {all}\r\nTransfer-encoding: CHUNKED\r\n",
        "0\r\n\r\n{hidden}",
    ),
    // Lengths that differ or are invalid.
    (
        "two lengths",
        "content-length: 2\r\ncontent-length: {all}\r\n",
        "{}{hidden}",
    ),
    (
        "two lengths, the long one first",
        "content-length: {all}\r\ncontent-length: 2\r\n",
        "{}{hidden}",
    ),
    (
        "two lengths in a line",
        "content-length: 2, {all}\r\n",
        "{}{hidden}",
    ),
    (
        "the same length twice in a line",
        "content-length: 2, 2\r\n",
        "{}{hidden}",
    ),
    (
        "a length with a sign",
        "content-length: +2\r\n",
        "{}{hidden}",
    ),
    ("a negative length", "content-length: -2\r\n", "{}{hidden}"),
    (
        "a hexadecimal length",
        "content-length: 0x2\r\n",
        "{}{hidden}",
    ),
    (
        "a length with words",
        "content-length: 2 bytes\r\n",
        "{}{hidden}",
    ),
    ("two numbers", "content-length: 2 2\r\n", "{}{hidden}"),
    ("an empty length", "content-length:\r\n", "{}{hidden}"),
    (
        "a length beyond all numbers",
        "content-length: 18446744073709551618\r\n",
        "{}{hidden}",
    ),
    // Transfer codings other than exactly `chunked`.
    (
        "chunks and identity",
        "content-length: {all}\r\ntransfer-encoding: chunked, identity\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks, and identity in a line of its own",
        "content-length: {all}\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "identity, then chunks",
        "content-length: {all}\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks twice",
        "content-length: {all}\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "nearly chunks",
        "content-length: {all}\r\ntransfer-encoding: xchunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "quoted chunks",
        "content-length: {all}\r\ntransfer-encoding: \"chunked\"\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks behind a vertical tab",
        "content-length: {all}\r\ntransfer-encoding:\u{b}chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "chunks after a zero byte",
        "content-length: {all}\r\ntransfer-encoding: \0chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    // Header lines that some parsers accept and others do not.
    (
        "a space before the colon",
        "content-length: {all}\r\ntransfer-encoding : chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "a space before the colon of a length",
        "content-length: 2\r\ncontent-length : {all}\r\n",
        "{}{hidden}",
    ),
    (
        "a folded line",
        "content-length: {all}\r\ntransfer-encoding:\r\n chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "a line folded into another",
        "content-length: {all}\r\nx-odd: x\r\n transfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "a carriage return for an end of line",
        "content-length: {all}\r\nx-odd: x\rtransfer-encoding: chunked\r\n",
        "0\r\n\r\n{hidden}",
    ),
    (
        "line feeds for ends of lines",
        "content-length: {all}\ntransfer-encoding: chunked\n",
        "0\n\n{hidden}",
    ),
    // Invalid chunks.
    (
        "a chunk beyond all numbers",
        "transfer-encoding: chunked\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n{hidden}",
    ),
    (
        "a chunk with a sign",
        "transfer-encoding: chunked\r\n",
        "+2\r\n{}\r\n0\r\n\r\n{hidden}",
    ),
    (
        "a chunk with a prefix",
        "transfer-encoding: chunked\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n{hidden}",
    ),
    (
        "a chunk that is longer than its size",
        "transfer-encoding: chunked\r\n",
        "1\r\n{}\r\n0\r\n\r\n{hidden}",
    ),
    (
        "a chunk without its end",
        "transfer-encoding: chunked\r\n",
        "2\r\n{}0\r\n\r\n{hidden}",
    ),
    (
        "chunks with line feeds",
        "transfer-encoding: chunked\r\n",
        "2\n{}\n0\n\n{hidden}",
    ),
    (
        "a line feed in a chunk extension",
        "transfer-encoding: chunked\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n{hidden}",
    ),
    // A valid length that covers the hidden request.
    ("a valid length", "content-length: {all}\r\n", "{}{hidden}"),
];

/// Returns every form of hiding a request, in every kind of request.
fn framed(acme: &Partner, hidden: &str) -> Vec<(String, String)> {
    let mut attempts = Vec::new();
    for (name, framing, content) in FORMS {
        let content = content
            .replace("{size}", &format!("{:x}", hidden.len()))
            .replace("{hidden}", hidden);
        let framing = framing.replace("{all}", &content.len().to_string());
        for line in [
            "POST /v1/orders HTTP/1.1",
            "DELETE /v1/orders/x HTTP/1.1",
            "GET /v1/orders HTTP/1.1",
            "POST /nowhere HTTP/1.1",
        ] {
            let request = format!("{}{framing}\r\n{content}", head(acme, line));
            attempts.push((format!("{name}, {line}"), request));
        }
        // This request is refused before its body is read.
        let unknown = head(&acme.with_key("lmn_stg_short"), "POST /v1/orders HTTP/1.1");
        attempts.push((
            format!("{name}, without a key"),
            format!("{unknown}{framing}\r\n{content}"),
        ));
    }
    attempts
}

/// Returns requests whose request line can be read in two ways.
fn ambiguous(acme: &Partner, hidden: &str) -> Vec<(String, String)> {
    let old = head(acme, "POST /v1/orders HTTP/1.0");
    [
        (
            "chunks in HTTP/1.0",
            format!("{old}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "HTTP/1.0 without keep-alive",
            format!("{old}content-length: 2\r\n\r\n{{}}{hidden}"),
        ),
        ("no version", format!("GET /v1/orders\r\n\r\n{hidden}")),
        (
            "an unknown version",
            format!(
                "{}content-length: 2\r\n\r\n{{}}{hidden}",
                head(acme, "POST /v1/orders HTTP/1.7")
            ),
        ),
        (
            "a carriage return in the path",
            format!("{}\r\n{hidden}", head(acme, "GET /v1/orders\rx HTTP/1.1")),
        ),
        (
            "a tunnel",
            format!("{}\r\n{hidden}", head(acme, "CONNECT x:80 HTTP/1.1")),
        ),
    ]
    .map(|(name, request)| (name.to_owned(), request))
    .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_hidden_in_another_is_never_executed() {
    let service = Arc::new(Service::with(&[settings::idle_seconds(1)]).await);
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let hidden = order(&acme, "glovis_1");
    let attempts = [framed(&acme, &hidden), ambiguous(&acme, &hidden)].concat();
    let mut answers = JoinSet::new();
    for (name, request) in attempts {
        let service = service.clone();
        answers.spawn(async move { (name, exchange(&service, request).await) });
    }
    while let Some(answer) = answers.join_next().await {
        let (name, answer) = answer.unwrap();
        let statuses = statuses(&answer);
        assert!(statuses.len() <= 1, "{name}: {answer}");
        assert!(
            statuses.iter().all(|it| *it < 500 && *it != 201),
            "{name}: {answer}"
        );
    }
    assert_eq!(service.order_count().await, 0);
    assert_eq!(service.key_count().await, 0);
    // The hidden request itself is valid: after a complete request it is executed.
    let pipelined = format!(
        "{}content-length: 2\r\n\r\n{{}}{hidden}",
        head(&acme, "POST /v1/orders HTTP/1.1")
    );
    assert_eq!(statuses(&exchange(&service, pipelined).await), [400, 201]);
}
