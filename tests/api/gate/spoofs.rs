//! Attempts to spoof another client's address through forwarding headers, none of which works.
//!
//! The tests call from this machine, which is configured as a trusted proxy. A header value that no proxy appends to
//! counts as written by the trusted proxy. A caller to whose value the proxy appends the caller's own address must
//! gain nothing by it.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::{Client, header::HeaderValue};

use crate::support::{Partner, Service, eventually};

/// The address that the header values claim.
const VICTIM: &str = "203.0.113.7";
/// The address of the real caller.
const CALLER: &str = "198.51.100.66";
/// The proxy that connects to the service, and one behind it; both are trusted.
const PROXY: &str = "127.0.0.1";
const INNER: &str = "10.1.2.3";

/// Valid values of `x-forwarded-for`, each with the address that it stands for.
const ADDRESSES: &[(&str, &str)] = &[
    ("203.0.113.7", VICTIM),
    ("203.0.113.7:80", VICTIM),
    ("203.0.113.7:0", VICTIM),
    ("\t203.0.113.7 ", VICTIM),
    (",203.0.113.7", VICTIM),
    ("unknown,203.0.113.7", VICTIM),
    ("::ffff:203.0.113.7", VICTIM),
    ("::ffff:cb00:7107", VICTIM),
    ("::FFFF:CB00:7107", VICTIM),
    ("0:0:0:0:0:ffff:cb00:7107", VICTIM),
    ("[::ffff:203.0.113.7]", VICTIM),
    ("[::ffff:203.0.113.7]:443", VICTIM),
    ("2001:db8::7", "2001:db8::7"),
    ("2001:DB8:0:0::7", "2001:db8::7"),
    ("[2001:db8::7]", "2001:db8::7"),
    ("[2001:db8::7]:1", "2001:db8::7"),
    // Addresses that embed another one are not that other one.
    ("::203.0.113.7", "::cb00:7107"),
    ("64:ff9b::203.0.113.7", "64:ff9b::cb00:7107"),
    ("2002:cb00:7107::1", "2002:cb00:7107::1"),
    ("0.0.0.0", "0.0.0.0"),
    ("255.255.255.255", "255.255.255.255"),
    ("10.0.0.9", "10.0.0.9"),
    ("203.0.113.7, 192.0.2.1", "192.0.2.1"),
    ("203.0.113.7, 10.0.0.9, 192.0.2.1, 10.0.0.8", "192.0.2.1"),
];

/// Invalid values of `x-forwarded-for`.
const GARBAGE: &[&str] = &[
    "",
    " ",
    ",",
    ",,,",
    "203.0.113.7,",
    "203.0.113.7, ",
    "203.0.113.7;",
    "203.0.113.7;192.0.2.1",
    "203.0.113.7 192.0.2.1",
    "203.0.113.7\t192.0.2.1",
    "203.0.113.7|192.0.2.1",
    "203.0.113.7\\",
    "203.0.113.7/32",
    "203.0.113.7/0",
    "203.0.113.0/24",
    "203.0.113.7%lo",
    "203.0.113.7%00",
    "203.0.113.7%0d%0aX-Forwarded-For:%20203.0.113.7",
    "%32%30%33.0.113.7",
    "203.0.113.7#",
    "203.0.113.7?",
    "203.0.113.7:",
    "203.0.113.7:x",
    "203.0.113.7: 80",
    "203.0.113.7:+80",
    "203.0.113.7:-1",
    "203.0.113.7:65536",
    "203.0.113.7:80:80",
    ":203.0.113.7",
    "203.0.113.07",
    "0203.0.113.7",
    "203.000.113.7",
    "0313.0.0161.07",
    "0xcb.0x0.0x71.0x7",
    "0xcb007107",
    "3405803783",
    "203.0.28935",
    "203.29",
    "203.0.113",
    "203.0.113.7.",
    ".203.0.113.7",
    "203..113.7",
    "203.0.113.256",
    "203.0.113.-7",
    "+203.0.113.7",
    "203.0.113.7e0",
    "203,0,113,7",
    "203.0.113.7\u{a0}",
    "\u{feff}203.0.113.7",
    "203.0.113.7\u{200b}",
    "\u{ff12}03.0.113.7",
    "203\u{3002}0\u{3002}113\u{3002}7",
    "\u{662}\u{660}\u{663}.0.113.7",
    "\"203.0.113.7\"",
    "'203.0.113.7'",
    "`203.0.113.7`",
    "<203.0.113.7>",
    "(203.0.113.7)",
    "{203.0.113.7}",
    "[203.0.113.7]",
    "[203.0.113.7]:80",
    "[203.0.113.7",
    "203.0.113.7]",
    "[[::ffff:203.0.113.7]]",
    "[]",
    "[]:80",
    "[::ffff:203.0.113.7]80",
    "[::ffff:203.0.113.7]:",
    "::ffff:203.0.113.7:80",
    "::ffff:203.0.113.07",
    "::ffff:0xcb007107",
    ":::ffff:203.0.113.7",
    "::ffff::203.0.113.7",
    "2001:db8::7%eth0",
    "[2001:db8::7%eth0]:80",
    "2001:db8::7/64",
    "2001:db8:::7",
    "2001:db8::g",
    "2001:db8::00007",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "localhost",
    "unknown",
    "_hidden",
    "_203.0.113.7",
    "null",
    "-",
    "*",
    "0",
    "999.999.999.999",
    "203.0.113.7.example",
    "for=203.0.113.7",
    "http://203.0.113.7",
    "//203.0.113.7",
    "user@203.0.113.7",
    "203.0.113.7@192.0.2.1",
    "203.0.113.7 (really)",
    "203.0.113.7 # 192.0.2.1",
    "${jndi:ldap://203.0.113.7}",
    "' or '1'='1",
    "../../203.0.113.7",
    "203.0.113.7, x",
    "203.0.113.7, 203.0.113.7, _x",
];

/// Valid values of `forwarded`, each with the address that it stands for.
const ELEMENTS: &[(&str, &str)] = &[
    ("for=203.0.113.7", VICTIM),
    ("FOR=203.0.113.7", VICTIM),
    ("for=\"203.0.113.7\"", VICTIM),
    ("for=\"203.0.113.7:80\"", VICTIM),
    ("for=\"[::ffff:203.0.113.7]:80\"", VICTIM),
    ("for=\"[2001:db8::7]\"", "2001:db8::7"),
    ("proto=https;for=203.0.113.7;by=10.0.0.1", VICTIM),
    ("for=203.0.113.7;", VICTIM),
    ("for=192.0.2.1;host=\"a;for=203.0.113.7;b\"", "192.0.2.1"),
    ("for=192.0.2.1;host=\"a,for=203.0.113.7\"", "192.0.2.1"),
    ("for=192.0.2.1;host=\"a,for=203.0.113.7;b\"", "192.0.2.1"),
    (
        "for=192.0.2.1;host=\"a\\\",for=203.0.113.7;b=\\\"c\"",
        "192.0.2.1",
    ),
    ("host=\"for=203.0.113.7\";for=192.0.2.1", "192.0.2.1"),
];

/// Invalid values of `forwarded`.
const BROKEN: &[&str] = &[
    "203.0.113.7",
    "for",
    "for=",
    "for:203.0.113.7",
    "for=\"\"",
    "for=\"",
    "for=\"203.0.113.7",
    "for=203.0.113.7\"",
    "for='203.0.113.7'",
    "for==203.0.113.7",
    "for=203.0.113.7;for=192.0.2.1",
    "for=203.0.113.7;for=203.0.113.7",
    "for=203.0.113.7 for=192.0.2.1",
    "for=203.0.113.7 192.0.2.1",
    "for=unknown",
    "for=_hidden",
    "for=\"_203.0.113.7\"",
    "for=203.0.113.7/32",
    "for=%32%30%33.0.113.7",
    "for=\"\\\"203.0.113.7\\\"\"",
    "for=\"203.0.113.7\\\"",
    "for=\"2\\03.0.113.7\"",
    "for=\"203.0.113.7\"x",
    "fors=203.0.113.7",
    "x-for=203.0.113.7",
    "by=203.0.113.7",
    "host=203.0.113.7",
    "\"for\"=203.0.113.7",
    "for=203.0.113.7;x",
    "for=203.0.113.7;x=\"",
    "for=203.0.113.7;x=a\"b",
    "for=203.0.113.7;b=\\\"c\"",
    "secret=\"x;for=203.0.113.7",
    "x=\",for=203.0.113.7;y",
    "for=203.0.113.7,",
    "for=203.0.113.7, for=_x",
];

/// Sends a request with some header lines; returns the client address that the refusal shows.
async fn seen(acme: &Partner, lines: &[(&'static str, &str)]) -> String {
    let mut request = Client::new()
        .get(format!("{}/v1/orders", acme.url))
        .header("x-api-key", &acme.api_key);
    for (name, line) in lines {
        request = request.header(*name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let reply = crate::support::Reply::of(request.send().await.unwrap()).await;
    let details = reply.refused(403, Code::IpNotAllowed);
    details["client_ip"].as_str().unwrap().to_owned()
}

/// Starts a service that admits no address of these tests, so that its refusals show the detected address.
async fn service(header: &str) -> (Service, Partner) {
    let settings = [
        ("GATE__TRUSTED_PROXIES", "127.0.0.0/8,::1,10.0.0.0/8"),
        ("GATE__CLIENT_ADDRESS_HEADER", header),
    ];
    closed_service(&settings, "192.0.2.99").await
}

/// Starts a service with a partner that may call from one address only, which the tests do not call from.
async fn closed_service(settings: &[(&str, &str)], admitted: &str) -> (Service, Partner) {
    let service = Service::with(settings).await;
    let acme = service.partner("acme").await;
    acme.allow_networks(service.db(), &[admitted]).await;
    eventually("the allowlist is in force", async || {
        (acme.get("/v1/orders").await.status == 403).then_some(())
    })
    .await;
    (service, acme)
}

/// Sends a header value in every place where a caller can put it.
async fn try_everywhere(
    acme: &Partner,
    (trusted, other): (&'static str, &'static str),
    value: &str,
    address: Option<&str>,
    element: impl Fn(&str) -> String,
) {
    let alone = seen(acme, &[(trusted, value)]).await;
    assert_eq!(alone, address.unwrap_or(PROXY), "{value}");
    let behind = seen(acme, &[(trusted, value), (trusted, &element(INNER))]).await;
    assert_eq!(behind, address.unwrap_or(INNER), "{value} behind a proxy");
    // The caller is the address that the proxy appends, however it does so, and whatever the other header holds.
    let own = element(CALLER);
    let line = seen(acme, &[(trusted, value), (trusted, &own)]).await;
    assert_eq!(line, CALLER, "{value} and a line of the proxy");
    let deep = seen(
        acme,
        &[
            (trusted, value),
            (trusted, &own),
            (trusted, &element(INNER)),
        ],
    )
    .await;
    assert_eq!(deep, CALLER, "{value} and two lines of proxies");
    let elsewhere = seen(
        acme,
        &[(other, value), (trusted, &own), ("x-real-ip", value)],
    )
    .await;
    assert_eq!(elsewhere, CALLER, "{value} in another header");
    let appended = seen(acme, &[(trusted, &format!("{value}, {own}"))]).await;
    // A quote that the caller has left open hides what the proxy appends: the proxy's own address counts then.
    let is_open = value.replace("\\\"", "").matches('"').count() % 2 == 1;
    let hidden = trusted == "forwarded" && is_open && appended == PROXY;
    assert!(
        hidden || appended == CALLER,
        "{value} in the same line: {appended}"
    );
}

#[tokio::test]
async fn x_forwarded_for_cannot_spoof_the_address_of_a_caller() {
    let (_service, acme) = service("x-forwarded-for").await;
    let headers = ("x-forwarded-for", "forwarded");
    assert!(ADDRESSES.len() + GARBAGE.len() >= 100);
    let addresses = ADDRESSES
        .iter()
        .map(|(value, address)| (*value, Some(*address)));
    for (value, address) in addresses.chain(GARBAGE.iter().map(|value| (*value, None))) {
        try_everywhere(&acme, headers, value, address, str::to_owned).await;
    }
    for length in [100, 1000, 10_000] {
        try_everywhere(&acme, headers, &"2".repeat(length), None, str::to_owned).await;
        let many = format!("{VICTIM},").repeat(length / 12);
        try_everywhere(&acme, headers, &many, None, str::to_owned).await;
    }
}

#[tokio::test]
async fn forwarded_cannot_spoof_the_address_of_a_caller() {
    let (_service, acme) = service("forwarded").await;
    let headers = ("forwarded", "x-forwarded-for");
    let elements = ELEMENTS
        .iter()
        .map(|(value, address)| (*value, Some(*address)));
    for (value, address) in elements.chain(BROKEN.iter().map(|value| (*value, None))) {
        try_everywhere(&acme, headers, value, address, |it| format!("for={it}")).await;
    }
    // The proxy quotes the caller's `Host`, behind a quote that the caller has left open.
    for host in [
        "a,for=203.0.113.7;b",
        "a\\\",for=203.0.113.7;b=\\\"c",
        "a,for=203.0.113.7;b=\\\"c",
    ] {
        let own = format!("for={CALLER};host=\"{host}\"");
        assert_eq!(seen(&acme, &[("forwarded", &own)]).await, CALLER, "{host}");
        for value in ["x=\"", "for=\"203.0.113.7", "x=\"\\"] {
            let line = format!("{value}, {own}");
            assert_eq!(seen(&acme, &[("forwarded", &line)]).await, PROXY, "{line}");
        }
    }
}

#[tokio::test]
async fn caller_that_is_no_trusted_proxy_is_seen_with_its_own_address() {
    let settings = [("GATE__TRUSTED_PROXIES", "10.0.0.0/8")];
    let (_service, acme) = closed_service(&settings, VICTIM).await;
    for (value, _) in ADDRESSES {
        assert_eq!(seen(&acme, &[("x-forwarded-for", value)]).await, PROXY);
    }
    for (value, _) in ELEMENTS {
        assert_eq!(seen(&acme, &[("forwarded", value)]).await, PROXY);
    }
}
