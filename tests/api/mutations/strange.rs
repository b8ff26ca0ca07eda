//! What chance does to a request: one change at a time, to its line, its headers or its body.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::request::Request;
use crate::support::key;

const METHODS: [&str; 12] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW",
    "P\u{0}ST",
];

/// Pieces of a path or a query.
const PIECES: [&str; 26] = [
    "",
    ".",
    "..",
    "%2e%2e",
    "%2F",
    "%5C",
    "%00",
    "%",
    "%zz",
    "%ff%fe",
    "%ED%A0%80",
    "%F0%9F%9A%97",
    "\u{ac00}",
    "*",
    "~",
    "'",
    "\"",
    ";drop table orders",
    "facets",
    "glovis_1",
    "GLOVIS_1",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "81ARZ3NDEKTSV4RRFFQ69G5FAV",
    "01arz3ndektsv4rrffq69g5fav",
    "{id}",
    "http://elsewhere.test/v1/orders",
];

/// Parameters that some list reads, and some that none does.
const PARAMETERS: [&str; 20] = [
    "limit",
    "cursor",
    "sort",
    "ids",
    "from",
    "to",
    "status",
    "vehicle_id",
    "idempotency_key",
    "make",
    "model",
    "source",
    "year_min",
    "year_max",
    "listing_usd_max",
    "mileage_km_max",
    "auction_from",
    "auction_status",
    "dry_run",
    "limit%00",
];

const VALUES: [&str; 30] = [
    "",
    "0",
    "-1",
    "1",
    "200",
    "201",
    "1e9",
    "+5",
    "%2B5",
    "18446744073709551616",
    "99999999999999999999999999999",
    "NaN",
    "null",
    "true",
    "%00",
    "a%00b",
    "%ff",
    "%F0%9F%9A%97",
    ",",
    ",,,",
    "proceed,proceed,PROCEED",
    "proceed",
    "upcoming",
    "2026-04-20T13:00:00+09:00",
    "2026-04-20T13:00:00%2B09:00",
    "2026-04-20T13:00:00Z",
    "-262143-01-01T00:00:00%2B00:00",
    "9999-12-31T23:59:59.999%2B00:00",
    "0000-01-01T00:00:00-23:59",
    "created_asc",
];

const NAMES: [&str; 24] = [
    "x-api-key",
    "idempotency-key",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "accept",
    "accept-encoding",
    "expect",
    "if-none-match",
    "if-match",
    "range",
    "x-user-id",
    "x_user_id",
    "x-request-id",
    "traceparent",
    "x-forwarded-for",
    "forwarded",
    "x-http-method-override",
    "host",
    "cookie",
    "upgrade",
    "te",
    "x-sandbox-force-nothing",
    "content-length",
];

const CONTENTS: [&str; 26] = [
    "",
    " ",
    "*",
    "*/*",
    "\"*\"",
    "a",
    "W/\"a\", \"b\"",
    "application/json",
    "application/json; charset=utf-16",
    "APPLICATION/JSON;charset=\"utf-8\"",
    "application/jsonp",
    "text/html;q=0",
    "gzip",
    "identity",
    "chunked",
    "100-continue",
    "bytes=0-0",
    "1.1.1.1, for=\"[::1]\"",
    "for=127.0.0.1;for=",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "h2c",
    "\u{ac00}\u{ff}",
    "9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5d",
    "{9b2e4c1a-7d3f-4a5b-8c6d-0e1f2a3b4c5d}",
    "00000000-0000-0000-0000-000000000000",
    "trailers",
];

/// Bodies of their own kind.
const BODIES: [&str; 20] = [
    "",
    " ",
    "null",
    "true",
    "0",
    "\"\"",
    "[]",
    "[{}]",
    "{}",
    "{\"\":{}}",
    "{\"vehicle_id\":\"glovis_1\",\"vehicle_id\":\"glovis_2\"}",
    "{\"vehicle_id\":null,\"max_bid_amount_usd\":{}}",
    "{\"vehicle_id\":[\"glovis_1\"],\"max_bid_amount_usd\":\"1\"}",
    "{\"vehicle_id\":\"glovis_1\\u0000\",\"max_bid_amount_usd\":12000}",
    "{\"vehicle_id\":\"\\ud800\",\"max_bid_amount_usd\":12000}",
    "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":1e400}",
    "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000.0}",
    "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":-0}",
    "{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000}}",
    "\u{feff}{\"vehicle_id\":\"glovis_1\",\"max_bid_amount_usd\":12000}",
];

/// What a number in a body can become.
const NUMBERS: [&str; 12] = [
    "0",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "1e400",
    "-1e-400",
    "10000001",
    "9223372036854775808",
    "99999999999999999999999999999999999999999",
    "012",
    "\"12000\"",
];

/// Makes one change.
pub fn change(request: &mut Request, chance: &mut StdRng) {
    match chance.random_range(0..20) {
        0 => request.method = pick(&METHODS, chance),
        1..4 => change_path(request, chance),
        4..7 => add_parameter(request, chance),
        7 => flip(&mut request.target, chance),
        8..11 => add_header(request, chance),
        11 => drop_header(request, chance),
        12 => double_header(request, chance),
        13 => change_header(request, chance),
        14 => request.body = pick(&BODIES, chance),
        15..18 => change_body(request, chance),
        18 => change_length(request, chance),
        _ => {
            let versions = [
                "HTTP/1.0", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/x", "",
            ];
            request.version = pick(&versions, chance);
        }
    }
}

fn pick(from: &[&str], chance: &mut StdRng) -> Vec<u8> {
    from.choose(chance).unwrap().as_bytes().to_vec()
}

/// A piece as it is, many times over, or cut in the middle of a character.
fn piece(from: &[&str], chance: &mut StdRng) -> Vec<u8> {
    let mut piece = pick(from, chance);
    match chance.random_range(0..12) {
        0 => piece = piece.repeat(chance.random_range(2..400)),
        1 => piece = piece.repeat(chance.random_range(400..4_000)),
        2 => piece.truncate(chance.random_range(0..=piece.len())),
        _ => {}
    }
    piece
}

fn change_path(request: &mut Request, chance: &mut StdRng) {
    let (path, query) = parts(&request.target);
    let mut segments: Vec<Vec<u8>> = path.split(|it| *it == b'/').map(<[u8]>::to_vec).collect();
    let at = chance.random_range(0..segments.len());
    match chance.random_range(0..5) {
        0 => segments[at] = piece(&PIECES, chance),
        1 => segments[at].extend(piece(&PIECES, chance)),
        2 => segments.insert(at, piece(&PIECES, chance)),
        3 => segments[at].make_ascii_uppercase(),
        _ => drop(segments.remove(at)),
    }
    request.target = [segments.join(&b'/'), query].concat();
}

fn add_parameter(request: &mut Request, chance: &mut StdRng) {
    let separator = if request.target.contains(&b'?') {
        b"&"
    } else {
        b"?"
    };
    request.target.extend(separator);
    request.target.extend(pick(&PARAMETERS, chance));
    let equals: &[u8] = if chance.random_ratio(1, 10) {
        b""
    } else {
        b"="
    };
    request.target.extend(equals);
    request.target.extend(piece(&VALUES, chance));
}

fn add_header(request: &mut Request, chance: &mut StdRng) {
    let mut header = (pick(&NAMES, chance), piece(&CONTENTS, chance));
    if chance.random_ratio(1, 10) {
        flip_on_line(&mut header.0, chance);
    }
    let at = chance.random_range(0..=request.headers.len());
    request.headers.insert(at, header);
}

/// The `Connection: close` stays, or nobody would know where the answer ends.
fn some_header(request: &Request, chance: &mut StdRng) -> usize {
    let at = chance.random_range(0..request.headers.len());
    if request.headers[at].0 == b"connection" {
        0
    } else {
        at
    }
}

fn drop_header(request: &mut Request, chance: &mut StdRng) {
    let at = some_header(request, chance);
    if request.headers[at].0 != b"connection" {
        request.headers.remove(at);
    }
}

fn double_header(request: &mut Request, chance: &mut StdRng) {
    let at = some_header(request, chance);
    let mut again = request.headers[at].clone();
    if again.0 == b"idempotency-key" && chance.random_bool(0.5) {
        again.1 = key().into_bytes();
    }
    request.headers.push(again);
}

fn change_header(request: &mut Request, chance: &mut StdRng) {
    let at = some_header(request, chance);
    if request.headers[at].0 == b"connection" {
        return;
    }
    match chance.random_range(0..3) {
        0 => request.headers[at].1 = piece(&CONTENTS, chance),
        1 => flip_on_line(&mut request.headers[at].1, chance),
        _ => request.headers[at].1.make_ascii_uppercase(),
    }
}

fn change_body(request: &mut Request, chance: &mut StdRng) {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    match chance.random_range(0..8) {
        0 => flip(&mut request.body, chance),
        1 => {
            let end = chance.random_range(0..=request.body.len());
            request.body.truncate(end);
        }
        2 => {
            let depth = chance.random_range(1..20_000);
            let (open, close) = *[("[", "]"), ("{\"a\":", "}")].choose(chance).unwrap();
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            request.body = format!("{{\"deep\":{deep}}}").into_bytes();
        }
        3 => request.body = text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        4 => {
            let number = *NUMBERS.choose(chance).unwrap();
            request.body = text.replace("12000", number).into_bytes();
        }
        5 => request.body = text.replacen('{', "{\"vehicle_id\":1,", 1).into_bytes(),
        6 => {
            let huge = "x".repeat(chance.random_range(1..200_000));
            request.body = text
                .replacen('{', &format!("{{\"{huge}\":1,"), 1)
                .into_bytes();
        }
        _ => {
            let many: String = (0..chance.random_range(1..3_000))
                .map(|n| format!("\"{}\":{n},", n % 1_000))
                .collect();
            request.body = text.replacen('{', &format!("{{{many}"), 1).into_bytes();
        }
    }
}

/// Says that the body is longer or shorter than it is. Rarely, because the longer one is waited for.
fn change_length(request: &mut Request, chance: &mut StdRng) {
    if chance.random_ratio(1, 8) {
        request.length = Some(chance.random_range(0..=request.body.len() * 2));
    }
}

/// Flips a bit, or puts a byte in.
fn flip(bytes: &mut Vec<u8>, chance: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    let at = chance.random_range(0..bytes.len());
    if chance.random_bool(0.5) {
        bytes[at] ^= 1 << chance.random_range(0..8);
    } else {
        bytes.insert(at, chance.random());
    }
}

/// Flips a bit, or puts a byte in, but ends no line: what comes after the end of a head is another request.
fn flip_on_line(bytes: &mut Vec<u8>, chance: &mut StdRng) {
    flip(bytes, chance);
    bytes.retain(|it| !matches!(it, b'\r' | b'\n'));
}

fn parts(target: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = target.iter().position(|it| *it == b'?');
    let (path, query) = target.split_at(end.unwrap_or(target.len()));
    (path.to_vec(), query.to_vec())
}
