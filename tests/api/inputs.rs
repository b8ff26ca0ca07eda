//! Inputs: valid values are read exactly, and invalid ones are refused with all issues.

use lmn_partner_api::errors::catalogue::Code;
use rand::seq::{IndexedRandom, SliceRandom};
use reqwest::Method;
use tokio::task::JoinSet;

use crate::{
    seed::{seed, stream},
    support::{Service, Vehicle, key},
};

#[tokio::test]
async fn cursor_with_any_bit_flipped_is_malformed() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for n in 0..2 {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        acme.place_order(&vehicle.id, 12_000).await.created();
    }
    let page = acme.get("/v1/orders?limit=1").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap().as_bytes().to_vec();
    let path = |cursor: &[u8]| {
        let encoded: String = cursor.iter().map(|byte| format!("%{byte:02x}")).collect();
        format!("/v1/orders?limit=1&cursor={encoded}")
    };
    assert_eq!(acme.get(&path(&cursor)).await.ids().len(), 1);
    // Eight requests at a time.
    let mut askers = JoinSet::new();
    for bit in 0..8 {
        let (acme, cursor) = (acme.clone(), cursor.clone());
        askers.spawn(async move {
            for at in 0..cursor.len() {
                let mut flipped = cursor.clone();
                flipped[at] ^= 1 << bit;
                let reply = acme.get(&path(&flipped)).await;
                if flipped[at].is_ascii() {
                    let details = reply.refused(400, Code::InvalidCursor);
                    assert_eq!(details["reason"], "malformed", "bit {bit} of byte {at}");
                } else {
                    let expected = [("cursor".to_owned(), "INVALID_FORMAT".to_owned())];
                    assert_eq!(reply.issues(), expected);
                }
            }
        });
    }
    askers.join_all().await;
}

#[tokio::test]
async fn accept_header_never_changes_the_status() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    for accept in [
        "",
        " ",
        "*/*",
        "*",
        "/",
        "text/html",
        "application/json;q=0",
        "application/xml, */*;q=0.0",
        "application/problem+json",
        "application/vnd.lendfoundry.error+json",
        "application/vnd.lendfoundry.error+json;q=nonsense",
        ";;;,,,q=",
        "\u{ac00}",
        &"a/b,".repeat(500),
    ] {
        for (method, path, status) in [
            (Method::GET, "/v1/orders", 200),
            (Method::GET, "/v1/vehicles/glovis_1", 200),
            (Method::GET, "/v1/vehicles?limit=0", 400),
            (Method::GET, "/v1/vehicles/glovis_2", 404),
            (Method::PUT, "/v1/orders", 405),
            (Method::POST, "/v1/orders", 400),
        ] {
            let ask = acme.ask(method.clone(), path).header("accept", accept);
            let reply = ask.key(&key()).send().await;
            assert_eq!(reply.status, status, "{accept}: {method} {path}");
            assert!(reply.header("x-request-id").starts_with("req_"));
        }
    }
}

/// Values of `vehicle_id` as JSON, each with its issue; an empty text leaves the member out.
const VEHICLES: [(&str, Option<&str>); 12] = [
    ("", Some("REQUIRED_FIELD_MISSING")),
    ("null", Some("INVALID_TYPE")),
    ("1", Some("INVALID_TYPE")),
    ("-0.5e1", Some("INVALID_TYPE")),
    ("true", Some("INVALID_TYPE")),
    ("[\"glovis_1\"]", Some("INVALID_TYPE")),
    ("{\"id\":\"glovis_1\"}", Some("INVALID_TYPE")),
    ("\"glovis_1\"", None),
    ("\"\"", None),
    ("\"facets\"", None),
    ("\"a\\u0000b\"", None),
    ("\"\u{1f697}\\ud83d\\ude97\"", None),
];

/// Values of `max_bid_amount_usd` as JSON, each with its issue.
const BIDS: [(&str, Option<&str>); 19] = [
    ("", None),
    ("null", None),
    ("0", None),
    ("-5", None),
    ("12000", None),
    ("10000000", None),
    ("-9223372036854775808", None),
    ("-99999999999999999999999", None),
    ("10000001", Some("OUT_OF_RANGE")),
    ("9223372036854775808", Some("OUT_OF_RANGE")),
    ("18446744073709551616", Some("OUT_OF_RANGE")),
    ("99999999999999999999999", Some("OUT_OF_RANGE")),
    ("12000.0", Some("INVALID_TYPE")),
    ("12e3", Some("INVALID_TYPE")),
    ("0.1", Some("INVALID_TYPE")),
    ("\"12000\"", Some("INVALID_TYPE")),
    ("false", Some("INVALID_TYPE")),
    ("[]", Some("INVALID_TYPE")),
    ("{}", Some("INVALID_TYPE")),
];

/// Unknown members.
const OTHERS: [&str; 8] = [
    "\"note\":\"n\"",
    "\"\":null",
    "\"Vehicle_id\":1",
    "\"max_bid_amount_usd \":[]",
    "\"nested\":{\"vehicle_id\":1,\"a\":[{},[],{\"b\":1e99}]}",
    "\"\\u0000\":\"\\u0000\"",
    "\"n\":123456789012345678901234567890",
    "\"vehicle\u{1f697}\":true",
];

#[tokio::test]
async fn issues_of_an_order_are_all_reported_at_once_for_any_combination() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let mut rng = stream(seed(), 0);
    for vehicle in VEHICLES {
        for bid in BIDS {
            let named = [("vehicle_id", vehicle), ("max_bid_amount_usd", bid)];
            let expected: Vec<_> = named
                .iter()
                .filter_map(|(name, (_, issue))| Some(((*name).to_owned(), (*issue)?.to_owned())))
                .collect();
            let mut members: Vec<_> = named
                .iter()
                .filter(|(_, (text, _))| !text.is_empty())
                .map(|(name, (text, _))| format!("\"{name}\":{text}"))
                .collect();
            members.extend(OTHERS.sample(&mut rng, 2).map(|it| (*it).to_owned()));
            members.shuffle(&mut rng);
            let body = format!("{{{}}}", members.join(","));
            let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
            let ask = ask.header("content-type", "application/json");
            let reply = ask.body(body.clone()).send().await;
            if expected.is_empty() {
                // The database has no vehicles, so a valid order fails here.
                reply.refused(404, Code::VehicleNotFound);
            } else {
                assert_eq!(reply.issues(), expected, "{body}");
            }
            assert_eq!(reply.outcome(), ("unbound", "false"), "{body}");
        }
    }
}
