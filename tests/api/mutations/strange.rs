//! Random mutations of a request: of its request line, its headers or its body.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::request::Request;
use crate::support::key;

const METHODS: [&str; 12] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW",
    "P\u{0}ST",
];

/// Segments of a path.
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

/// Query parameters: those of the routes, and unknown ones.
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

const HEADER_NAMES: [&str; 24] = [
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

const HEADER_VALUES: [&str; 26] = [
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

/// Bodies that replace the whole body.
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

/// Replacements for a number in a body.
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

/// Makes one random change.
pub fn change(request: &mut Request, rng: &mut StdRng) {
    match rng.random_range(0..20) {
        0 => request.method = pick(&METHODS, rng),
        1..4 => change_path(request, rng),
        4..7 => add_parameter(request, rng),
        7 => flip(&mut request.target, rng),
        8..11 => add_header(request, rng),
        11 => drop_header(request, rng),
        12 => double_header(request, rng),
        13 => change_header(request, rng),
        14 => request.body = pick(&BODIES, rng),
        15..18 => change_body(request, rng),
        18 => change_length(request, rng),
        _ => {
            let versions = [
                "HTTP/1.0", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/x", "",
            ];
            request.version = pick(&versions, rng);
        }
    }
}

fn pick(from: &[&str], rng: &mut StdRng) -> Vec<u8> {
    from.choose(rng).unwrap().as_bytes().to_vec()
}

/// Returns a random piece: as it is, repeated, or truncated even within a character.
fn piece(from: &[&str], rng: &mut StdRng) -> Vec<u8> {
    let mut piece = pick(from, rng);
    match rng.random_range(0..12) {
        0 => piece = piece.repeat(rng.random_range(2..400)),
        1 => piece = piece.repeat(rng.random_range(400..4_000)),
        2 => piece.truncate(rng.random_range(0..=piece.len())),
        _ => {}
    }
    piece
}

fn change_path(request: &mut Request, rng: &mut StdRng) {
    let (path, query) = split_target(&request.target);
    let mut segments: Vec<Vec<u8>> = path.split(|it| *it == b'/').map(<[u8]>::to_vec).collect();
    let at = rng.random_range(0..segments.len());
    match rng.random_range(0..5) {
        0 => segments[at] = piece(&PIECES, rng),
        1 => segments[at].extend(piece(&PIECES, rng)),
        2 => segments.insert(at, piece(&PIECES, rng)),
        3 => segments[at].make_ascii_uppercase(),
        _ => drop(segments.remove(at)),
    }
    request.target = [segments.join(&b'/'), query].concat();
}

fn add_parameter(request: &mut Request, rng: &mut StdRng) {
    let separator = if request.target.contains(&b'?') {
        b"&"
    } else {
        b"?"
    };
    request.target.extend(separator);
    request.target.extend(pick(&PARAMETERS, rng));
    let equals: &[u8] = if rng.random_ratio(1, 10) { b"" } else { b"=" };
    request.target.extend(equals);
    request.target.extend(piece(&VALUES, rng));
}

fn add_header(request: &mut Request, rng: &mut StdRng) {
    let mut header = (pick(&HEADER_NAMES, rng), piece(&HEADER_VALUES, rng));
    if rng.random_ratio(1, 10) {
        flip_on_line(&mut header.0, rng);
    }
    let at = rng.random_range(0..=request.headers.len());
    request.headers.insert(at, header);
}

/// Returns the index of a random header. `Connection: close` is kept, because it marks the end of the response.
fn random_header(request: &Request, rng: &mut StdRng) -> usize {
    let at = rng.random_range(0..request.headers.len());
    if request.headers[at].0 == b"connection" {
        0
    } else {
        at
    }
}

fn drop_header(request: &mut Request, rng: &mut StdRng) {
    let at = random_header(request, rng);
    if request.headers[at].0 != b"connection" {
        request.headers.remove(at);
    }
}

fn double_header(request: &mut Request, rng: &mut StdRng) {
    let at = random_header(request, rng);
    let mut again = request.headers[at].clone();
    if again.0 == b"idempotency-key" && rng.random_bool(0.5) {
        again.1 = key().into_bytes();
    }
    request.headers.push(again);
}

fn change_header(request: &mut Request, rng: &mut StdRng) {
    let at = random_header(request, rng);
    if request.headers[at].0 == b"connection" {
        return;
    }
    match rng.random_range(0..3) {
        0 => request.headers[at].1 = piece(&HEADER_VALUES, rng),
        1 => flip_on_line(&mut request.headers[at].1, rng),
        _ => request.headers[at].1.make_ascii_uppercase(),
    }
}

fn change_body(request: &mut Request, rng: &mut StdRng) {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    match rng.random_range(0..8) {
        0 => flip(&mut request.body, rng),
        1 => {
            let end = rng.random_range(0..=request.body.len());
            request.body.truncate(end);
        }
        2 => {
            let depth = rng.random_range(1..20_000);
            let (open, close) = *[("[", "]"), ("{\"a\":", "}")].choose(rng).unwrap();
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            request.body = format!("{{\"deep\":{deep}}}").into_bytes();
        }
        3 => request.body = text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        4 => {
            let number = *NUMBERS.choose(rng).unwrap();
            request.body = text.replace("12000", number).into_bytes();
        }
        5 => request.body = text.replacen('{', "{\"vehicle_id\":1,", 1).into_bytes(),
        6 => {
            let huge = "x".repeat(rng.random_range(1..200_000));
            request.body = text
                .replacen('{', &format!("{{\"{huge}\":1,"), 1)
                .into_bytes();
        }
        _ => {
            let many: String = (0..rng.random_range(1..3_000))
                .map(|n| format!("\"{}\":{n},", n % 1_000))
                .collect();
            request.body = text.replacen('{', &format!("{{{many}"), 1).into_bytes();
        }
    }
}

/// Sets a wrong `Content-Length`. This is rare, because the server waits for a body that is too short.
fn change_length(request: &mut Request, rng: &mut StdRng) {
    if rng.random_ratio(1, 8) {
        request.length = Some(rng.random_range(0..=request.body.len() * 2));
    }
}

/// Flips a bit or inserts a byte.
fn flip(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    if rng.random_bool(0.5) {
        bytes[at] ^= 1 << rng.random_range(0..8);
    } else {
        bytes.insert(at, rng.random());
    }
}

/// Flips a bit or inserts a byte, without a line break: bytes after the end of a head would be another request.
fn flip_on_line(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    flip(bytes, rng);
    bytes.retain(|it| !matches!(it, b'\r' | b'\n'));
}

fn split_target(target: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = target.iter().position(|it| *it == b'?');
    let (path, query) = target.split_at(end.unwrap_or(target.len()));
    (path.to_vec(), query.to_vec())
}
