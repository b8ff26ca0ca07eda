//! Spoofs: ways to claim somebody else's address, none of which works.
//!
//! The tests call from this machine, which plays the trusted proxy. What a form says when nobody adds to it is what a
//! trusted proxy would have said; what counts is that a caller, whose own address the proxy adds, gains nothing by it.

use lmn_partner_api::error::catalogue::Code;
use reqwest::{Client, header::HeaderValue};

use crate::support::{Partner, Service, eventually};

/// Who is admitted, and whom everybody claims to be.
const VICTIM: &str = "203.0.113.7";
/// Who really calls.
const CALLER: &str = "198.51.100.66";
/// The proxy that the service hears from, and one behind it; both are trusted.
const PROXY: &str = "127.0.0.1";
const INNER: &str = "10.1.2.3";

/// `x-forwarded-for` that can be read, and as what.
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
    // Addresses that hold another one are not the other one.
    ("::203.0.113.7", "::cb00:7107"),
    ("64:ff9b::203.0.113.7", "64:ff9b::cb00:7107"),
    ("2002:cb00:7107::1", "2002:cb00:7107::1"),
    ("0.0.0.0", "0.0.0.0"),
    ("255.255.255.255", "255.255.255.255"),
    ("10.0.0.9", "10.0.0.9"),
    ("203.0.113.7, 192.0.2.1", "192.0.2.1"),
    ("203.0.113.7, 10.0.0.9, 192.0.2.1, 10.0.0.8", "192.0.2.1"),
];

/// `x-forwarded-for` that nobody can read.
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

/// `forwarded` that can be read, and as what.
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

/// `forwarded` that nobody can read.
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

/// Asks with some header lines; the answer says as whom the caller was seen.
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

/// A service that admits nobody whom these tests know, so that it says whom it sees.
async fn service(header: &str) -> (Service, Partner) {
    let settings = [
        ("GATE__TRUSTED_PROXIES", "127.0.0.0/8,::1,10.0.0.0/8"),
        ("GATE__CLIENT_ADDRESS_HEADER", header),
    ];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service
        .sql("insert into allowed_networks (partner_id, network, created_at) select id, '192.0.2.99/32', now() from partners")
        .await;
    eventually("the list is heard", async || {
        (acme.get("/v1/orders").await.status == 403).then_some(())
    })
    .await;
    (service, acme)
}

/// Tries a form in every place where a caller can put it.
async fn try_everywhere(
    acme: &Partner,
    (read, other): (&'static str, &'static str),
    form: &str,
    says: Option<&str>,
    element: impl Fn(&str) -> String,
) {
    let alone = seen(acme, &[(read, form)]).await;
    assert_eq!(alone, says.unwrap_or(PROXY), "{form}");
    let behind = seen(acme, &[(read, form), (read, &element(INNER))]).await;
    assert_eq!(behind, says.unwrap_or(INNER), "{form} behind a proxy");
    // The caller is who the proxy says, however it adds that, and whatever the other header says.
    let own = element(CALLER);
    let line = seen(acme, &[(read, form), (read, &own)]).await;
    assert_eq!(line, CALLER, "{form} and a line of the proxy");
    let deep = seen(acme, &[(read, form), (read, &own), (read, &element(INNER))]).await;
    assert_eq!(deep, CALLER, "{form} and two lines of proxies");
    let elsewhere = seen(acme, &[(other, form), (read, &own), ("x-real-ip", form)]).await;
    assert_eq!(elsewhere, CALLER, "{form} in another header");
    let appended = seen(acme, &[(read, &format!("{form}, {own}"))]).await;
    // A quote that the caller has left open hides the proxy's word: the proxy itself is seen then, and nobody else.
    let is_open = form.replace("\\\"", "").matches('"').count() % 2 == 1;
    let hidden = read == "forwarded" && is_open && appended == PROXY;
    assert!(
        hidden || appended == CALLER,
        "{form} in the same line: {appended}"
    );
}

#[tokio::test]
async fn no_form_of_x_forwarded_for_makes_a_caller_somebody_else() {
    let (_service, acme) = service("x-forwarded-for").await;
    let headers = ("x-forwarded-for", "forwarded");
    assert!(ADDRESSES.len() + GARBAGE.len() >= 100);
    let addresses = ADDRESSES.iter().map(|(form, says)| (*form, Some(*says)));
    for (form, says) in addresses.chain(GARBAGE.iter().map(|form| (*form, None))) {
        try_everywhere(&acme, headers, form, says, str::to_owned).await;
    }
    for length in [100, 1000, 10_000] {
        try_everywhere(&acme, headers, &"2".repeat(length), None, str::to_owned).await;
        let many = format!("{VICTIM},").repeat(length / 12);
        try_everywhere(&acme, headers, &many, None, str::to_owned).await;
    }
}

#[tokio::test]
async fn no_form_of_forwarded_makes_a_caller_somebody_else() {
    let (_service, acme) = service("forwarded").await;
    let headers = ("forwarded", "x-forwarded-for");
    let elements = ELEMENTS.iter().map(|(form, says)| (*form, Some(*says)));
    for (form, says) in elements.chain(BROKEN.iter().map(|form| (*form, None))) {
        try_everywhere(&acme, headers, form, says, |it| format!("for={it}")).await;
    }
    // What the caller sends as `Host` is quoted by the proxy, behind a quote that the caller has left open.
    for host in [
        "a,for=203.0.113.7;b",
        "a\\\",for=203.0.113.7;b=\\\"c",
        "a,for=203.0.113.7;b=\\\"c",
    ] {
        let own = format!("for={CALLER};host=\"{host}\"");
        assert_eq!(seen(&acme, &[("forwarded", &own)]).await, CALLER, "{host}");
        for form in ["x=\"", "for=\"203.0.113.7", "x=\"\\"] {
            let line = format!("{form}, {own}");
            assert_eq!(seen(&acme, &[("forwarded", &line)]).await, PROXY, "{line}");
        }
    }
}

#[tokio::test]
async fn who_is_no_trusted_proxy_is_seen_as_it_is() {
    let settings = [("GATE__TRUSTED_PROXIES", "10.0.0.0/8")];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service
        .sql("insert into allowed_networks (partner_id, network, created_at) select id, '203.0.113.7', now() from partners")
        .await;
    eventually("the list is heard", async || {
        (acme.get("/v1/orders").await.status == 403).then_some(())
    })
    .await;
    for (form, _) in ADDRESSES {
        assert_eq!(seen(&acme, &[("x-forwarded-for", form)]).await, PROXY);
    }
    for (form, _) in ELEMENTS {
        assert_eq!(seen(&acme, &[("forwarded", form)]).await, PROXY);
    }
}
