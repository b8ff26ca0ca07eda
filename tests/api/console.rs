//! The console: pages and forms on the operator's listener, as a browser without scripts uses them.

use lmn_partner_api::operators::model::Role;
use regex::Regex;
use reqwest::{Client, Method, redirect::Policy};
use serde_json::json;

use crate::support::{
    OperatorApi, Partner, Reply, Service, Sink, Vehicle, eventually, key, settings,
};

const DAY: i64 = 86_400;
/// The pages that need no id.
const PAGES: [&str; 8] = [
    "/",
    "/bid-sheet",
    "/orders",
    "/shipping",
    "/partners",
    "/webhooks",
    "/requests",
    "/audit",
];

/// A browser without scripts, with the cookies of one operator.
struct Browser {
    url: String,
    client: Client,
    cookies: String,
}

impl Browser {
    fn new(url: &str) -> Self {
        let client = Client::builder().redirect(Policy::none());
        Self {
            url: url.to_owned(),
            client: client.build().unwrap(),
            cookies: String::new(),
        }
    }

    /// Signs an operator in who has a role.
    async fn of(service: &Service, name: &str, role: Role) -> (Self, OperatorApi) {
        let operator = OperatorApi::add(service, name, role).await;
        let mut browser = Self::new(&operator.url);
        let signed_in = browser.sign_in(&operator.token).await;
        assert_eq!((signed_in.status, signed_in.header("location")), (303, "/"));
        (browser, operator)
    }

    async fn sign_in(&mut self, token: &str) -> Reply {
        let reply = self.send("/sign-in", &[("token", token)], &[]).await;
        if let Some((cookie, _)) = reply.header("set-cookie").split_once(';') {
            self.cookies = cookie.to_owned();
        }
        reply
    }

    async fn get(&self, path: &str) -> Reply {
        let request = self
            .client
            .request(Method::GET, format!("{}{path}", self.url));
        let request = request.header("cookie", &self.cookies);
        Reply::of(request.send().await.unwrap()).await
    }

    /// Returns the text of a page.
    async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
        String::from_utf8(reply.body.to_vec()).unwrap()
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let mut request = self
            .client
            .request(Method::POST, format!("{}{path}", self.url))
            .header("cookie", &self.cookies)
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::of(request.body(body.finish()).send().await.unwrap()).await
    }

    /// Opens a page, and returns the hidden fields of its form with this action.
    async fn open(&self, page: &str, action: &str) -> Vec<(String, String)> {
        let text = self.page(page).await;
        let start = format!("action=\"{action}\"");
        let (_, form) = text
            .split_once(&start)
            .unwrap_or_else(|| panic!("{page} has no form for {action}: {text}"));
        let form = form.split("</form>").next().unwrap();
        let hidden = Regex::new("type=\"hidden\" name=\"([^\"]+)\" value=\"([^\"]*)\"").unwrap();
        let fields = hidden.captures_iter(form);
        fields
            .map(|it| (it[1].to_owned(), it[2].to_owned()))
            .collect()
    }

    /// Fills in the form of a page and sends it.
    async fn submit(&self, page: &str, action: &str, filled: &[(&str, &str)]) -> Reply {
        let hidden = self.open(page, action).await;
        self.submit_opened(action, &hidden, filled).await
    }

    async fn submit_opened(
        &self,
        action: &str,
        hidden: &[(String, String)],
        filled: &[(&str, &str)],
    ) -> Reply {
        let hidden = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = hidden.chain(filled.iter().copied()).collect();
        self.send(action, &fields, &[]).await
    }
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

/// Returns the first link of a page to a partner or an order below a path.
fn link_to(path: &str, page: &str) -> String {
    let link = Regex::new(&format!("href=\"({path}[0-9A-Z]{{26}})\"")).unwrap();
    let found = link.captures(page);
    found.unwrap_or_else(|| panic!("no link below {path}: {page}"))[1].to_owned()
}

/// Returns the status of the only order of a partner.
async fn status(partner: &Partner) -> serde_json::Value {
    partner.rows("/v1/orders").await[0]["status"].clone()
}

#[tokio::test]
async fn operator_signs_in_by_token_and_out_again() {
    let service = Service::start().await;
    let (browser, vera) = Browser::of(&service, "vera", Role::Viewer).await;
    assert!(browser.page("/").await.contains("vera"));
    let mut other = Browser::new(&vera.url);
    for wrong in ["", "x", "lmn_op_AAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let refused = other.sign_in(wrong).await;
        assert_eq!(refused.status, 401);
        assert!(text(&refused).contains("not accepted") && refused.header("set-cookie").is_empty());
    }
    let led = other.get("/orders?status=failed").await;
    let target = "/sign-in?then=%2Forders%3Fstatus%3Dfailed";
    assert_eq!((led.status, led.header("location")), (303, target));
    let fields = [
        ("token", vera.token.as_str()),
        ("_then", "/orders?status=failed"),
    ];
    let signed_in = other.send("/sign-in", &fields, &[]).await;
    assert_eq!(signed_in.header("location"), "/orders?status=failed");
    let cookie = signed_in.header("set-cookie");
    for part in [
        "lmn_session=",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&vera.token[7..]) && !cookie.contains("Secure"));
    let by_tls = other
        .send("/sign-in", &fields, &[("x-forwarded-proto", "https")])
        .await;
    assert!(by_tls.header("set-cookie").contains("; Secure"));
    let elsewhere = [("token", vera.token.as_str()), ("_then", "//evil.example")];
    let signed_in = other.send("/sign-in", &elsewhere, &[]).await;
    assert_eq!(signed_in.header("location"), "/");
    let foreign = other
        .send("/sign-in", &fields, &[("sec-fetch-site", "cross-site")])
        .await;
    assert_eq!(foreign.status, 403);

    let out = browser.submit("/", "/sign-out", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, "/sign-in"));
    assert!(out.header("set-cookie").starts_with("lmn_session=;"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn chart_of_refused_requests_counts_up_to_a_limit_in_each_hour() {
    let service = Service::start().await;
    let (browser, _) = Browser::of(&service, "vera", Role::Viewer).await;
    let refuse = async |first: i64, last: i64| {
        let fill = format!(
            "insert into requests (request_id, at, operation, status, code, duration_ms, client_address)
             select decode(lpad(to_hex(n), 24, '0'), 'hex'), date_trunc('hour', now()), 'GET /v1/orders', 404,
                    'order_not_found', 1, '127.0.0.1'
             from generate_series({first}, {last}) as n"
        );
        service.sql_elsewhere(&fill).await;
    };
    let chart = "Refused or failed requests per hour <strong>";
    for (first, last, total) in [
        (1, 9_999, "9,999"),
        (10_000, 10_000, "10,000"),
        (10_001, 10_500, "10,000+"),
    ] {
        refuse(first, last).await;
        let page = browser.page("/").await;
        assert!(page.contains(&format!("{chart}{total}</strong>")), "{page}");
    }
}

#[tokio::test]
async fn revoked_token_ends_its_sessions_at_once() {
    let service = Service::start().await;
    let (browser, vera) = Browser::of(&service, "vera", Role::Viewer).await;
    browser.page("/orders").await;
    vera.revoke(service.db()).await;
    assert_eq!(
        browser.get("/orders").await.header("location"),
        "/sign-in?then=%2Forders"
    );
}

#[tokio::test]
async fn form_of_another_session_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let (ada, _) = Browser::of(&service, "ada", Role::Admin).await;
    let (eve, _) = Browser::of(&service, "eve", Role::Admin).await;
    let action = "/partners/add";
    let hidden = eve.open("/partners", action).await;
    let key = key();
    let without: [(&str, &str); 2] = [("_key", &key), ("name", "acme")];
    for reply in [
        ada.submit_opened(action, &hidden, &[("name", "acme")])
            .await,
        ada.send(action, &without, &[]).await,
        ada.send("/sign-out", &without, &[]).await,
    ] {
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(text(&reply).contains("out of date"));
    }
    assert_eq!(service.count("select count(*) from partners").await, 0);
    let added = ada.submit("/partners", action, &[("name", "acme")]).await;
    assert_eq!(
        (added.status, added.header("location")),
        (303, "/partners?done=1")
    );
    assert_eq!(service.count("select count(*) from partners").await, 1);
}

#[tokio::test]
async fn roles_are_offered_and_allowed_only_their_steps() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let page = format!("/orders/{order}");
    let advance = format!("/orders/{order}/advance");
    let amounts = format!("/orders/{order}/amounts");
    for (role, is_offered) in [
        (Role::Viewer, false),
        (Role::Logistics, false),
        (Role::Trader, true),
        (Role::Admin, true),
    ] {
        let (browser, _) = Browser::of(&service, &format!("{role:?}"), role).await;
        let text = browser.page(&page).await;
        assert_eq!(text.contains(&advance), is_offered, "{role:?}");
        let partners = browser.page("/partners").await;
        assert_eq!(partners.contains("/partners/add"), role == Role::Admin);
        // A form that was not offered has the token of another one.
        let mut hidden = browser.open("/", "/sign-out").await;
        hidden.push(("_key".to_owned(), key()));
        if !is_offered {
            let sent = [("status", "acquiring")];
            let refused = browser.submit_opened(&advance, &hidden, &sent).await;
            assert_eq!(refused.status, 403, "{role:?}");
            assert!(self::text(&refused).contains("role_not_allowed"));
        }
        if role != Role::Admin {
            let refused = browser.submit_opened(&amounts, &hidden, &[]).await;
            assert_eq!(refused.status, 403, "{role:?}");
        }
    }
    assert_eq!(status(&acme).await, "proceed");
}

#[tokio::test]
async fn auction_day_is_done_by_forms() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for id in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(id)).await;
    }
    let order = acme.place_order("glovis_1", 12_000).await.id();
    acme.place_order("glovis_2", 13_000).await.created();
    let vehicle = acme.get("/v1/vehicles/glovis_1").await.ok();
    let sheet = format!(
        "/bid-sheet?date={}",
        &vehicle["auction_date"].as_str().unwrap()[..10]
    );
    let (tom, _) = Browser::of(&service, "tom", Role::Trader).await;
    let (lea, _) = Browser::of(&service, "lea", Role::Logistics).await;
    let shown = tom.page(&sheet).await;
    assert!(shown.contains("$12,000") && shown.contains("$13,000") && shown.contains("open until"));
    let csv = tom.get(&sheet.replace("bid-sheet", "bid-sheet/csv")).await;
    assert!(
        text(&csv).starts_with("source,") && csv.header("content-type").starts_with("text/csv")
    );

    acme.wait(10 * DAY).await;
    let acquired = tom.submit(&sheet, "/bid-sheet/acquire", &[]).await;
    assert_eq!(acquired.status, 200, "{acquired:?}");
    assert!(text(&acquired).contains("<strong>2</strong> Done"));

    let results =
        "vehicle_id,result,price_usd,fee_usd\nglovis_1,won,11500,150\nglovis_2,won,99000,1\n";
    let hidden = tom.open(&sheet, "/auction-results").await;
    // A double click sends the same form twice.
    for _ in 0..2 {
        let reply = tom
            .submit_opened("/auction-results", &hidden, &[("csv", results)])
            .await;
        let shown = text(&reply);
        assert_eq!(reply.status, 200, "{shown}");
        assert!(
            shown.contains("<strong>1</strong> Done") && shown.contains("above the bid"),
            "{shown}"
        );
    }
    let one = tom.submit(
        &sheet,
        "/vehicles/glovis_2/auction-result",
        &[
            ("result", "outbid"),
            ("price_usd:number", ""),
            ("fee_usd:number", ""),
        ],
    );
    let one = one.await;
    assert_eq!(one.status, 303, "{one:?}");
    assert!(one.header("location").ends_with("&done=1"));
    assert!(tom.page(one.header("location")).await.contains("Saved."));
    ship_by_forms(&lea, &acme, &order).await;

    let page = format!("/orders/{order}");
    let story = lea.page(&page).await;
    for part in ["Morning Lily", "$11,500", "operator:tom", "Status changed"] {
        assert!(story.contains(part), "{part}");
    }
    let early = tom
        .submit(
            &page,
            "/vehicles/glovis_1/reschedule",
            &[("auction_date:time", "soon")],
        )
        .await;
    assert_eq!(early.status, 400);
    assert!(text(&early).contains("auction_date") && text(&early).contains("Nothing was changed"));
}

/// Ships an order that LMN has bought, and completes its shipment.
async fn ship_by_forms(lea: &Browser, acme: &Partner, order: &str) {
    assert!(lea.page("/shipping").await.contains(order));
    let shipments =
        format!("order_id,vessel_name,etd\n{order},Glovis Star,2026-05-01T00:00:00+09:00\n");
    let shipped = lea
        .submit("/shipping", "/shipments", &[("csv", &shipments)])
        .await;
    assert!(
        text(&shipped).contains("<strong>1</strong> Done"),
        "{shipped:?}"
    );
    let action = format!("/orders/{order}/shipment");
    let page = format!("/orders/{order}");
    let fields = [
        ("vessel_name", "Morning Lily"),
        ("eta:time", "2026-06-01T08:00"),
    ];
    assert_eq!(lea.submit(&page, &action, &fields).await.status, 303);
    let shown = acme.order(order).await.ok();
    assert_eq!(
        shown["amounts"],
        json!({"purchase_price_usd": 11_500, "auction_fee_usd": 150})
    );
    let shipment = &shown["shipment"];
    assert_eq!(shipment["vessel_name"], "Morning Lily");
    assert_eq!(shipment["eta"], "2026-06-01T08:00:00+09:00");
}

#[tokio::test]
async fn partner_is_managed_by_forms_and_a_new_key_is_shown_once() {
    let service = Service::start().await;
    let (ada, _) = Browser::of(&service, "ada", Role::Admin).await;
    service.partner("acme").await;
    let page = link_to("/partners/", &ada.page("/partners").await);
    let hidden = ada.open(&page, &format!("{page}/keys")).await;
    let action = format!("{page}/keys");
    let first = text(&ada.submit_opened(&action, &hidden, &[]).await);
    let again = text(&ada.submit_opened(&action, &hidden, &[]).await);
    assert!(
        first.contains("class=\"secret\"") && !again.contains("class=\"secret\""),
        "{again}"
    );
    let contact = [("contact:nullable", "ops@acme.example")];
    assert_eq!(
        ada.submit(&page, &format!("{page}/contact"), &contact)
            .await
            .status,
        303
    );
    let limit = [
        ("policy", "read"),
        ("limit.limit:number", "100"),
        ("limit.window_seconds:number", "60"),
        ("limit.burst:number", "10"),
    ];
    assert_eq!(
        ada.submit(&page, &format!("{page}/limits"), &limit)
            .await
            .status,
        303
    );
    let network = [("cidr", "203.0.113.0/24")];
    assert_eq!(
        ada.submit(&page, &format!("{page}/allowlist/add"), &network)
            .await
            .status,
        303
    );
    let shown = ada.page(&page).await;
    for part in ["ops@acme.example", "100 / 60 s", "203.0.113.0/24"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn failing_endpoint_is_found_and_its_event_sent_again() {
    let service = Service::with(&[settings::LOCAL_ENDPOINTS]).await;
    let sink = Sink::start().await;
    let acme = service.partner("acme").await;
    let hooked = acme.hook(json!({"url": sink.url(), "enabled": true})).await;
    assert_eq!(hooked.status, 201, "{hooked:?}");
    let (ada, _) = Browser::of(&service, "ada", Role::Admin).await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    let page = format!("/orders/{order}");
    let acquire = format!("{page}/advance");
    assert_eq!(ada.submit(&page, &acquire, &[]).await.status, 303);
    // The event was given up.
    service
        .sql("update events set delivery_status = 'failed', queue_id = null, attempts = 10, last_response_code = 500")
        .await;
    service.sql("delete from delivery_queues").await;
    service
        .sql("update webhook_endpoints set failing_since = now()")
        .await;
    let endpoints = ada.page("/webhooks").await;
    assert!(
        endpoints.contains("failing since")
            && endpoints.contains(&sink.url().replace('&', "&#38;"))
    );
    let deliveries = link_to("/webhooks/", &endpoints);
    let listed = ada.page(&format!("{deliveries}?status=failed")).await;
    let event = listed
        .split("/events/")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let sent = ada
        .submit(&deliveries, &format!("/events/{event}/replay"), &[])
        .await;
    assert_eq!(sent.status, 303, "{sent:?}");
    let pending = ada.page(&format!("{deliveries}?status=pending")).await;
    assert!(pending.contains(&event));
}

#[tokio::test]
async fn request_of_a_partner_is_looked_up_by_its_id() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let refused = acme.place_order("glovis_9", 12_000).await;
    let id = refused.header("x-request-id").to_owned();
    let (vera, _) = Browser::of(&service, "vera", Role::Viewer).await;
    eventually("the request is logged", async || {
        let page = vera.page(&format!("/requests?id={id}")).await;
        page.contains("vehicle_not_found").then_some(())
    })
    .await;
    for (query, is_found) in [
        ("partner=acme", true),
        ("code=vehicle_not_found", true),
        ("code=order_not_found", false),
        ("id=&partner=&code=&since=", true),
    ] {
        let page = vera.page(&format!("/requests?{query}")).await;
        assert_eq!(page.contains(&format!("<code>{id}")), is_found, "{query}");
    }
    let wrong = vera.get("/requests?id=req_1").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn pages_are_strict_and_lead_only_to_pages_that_exist() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    let (ada, _) = Browser::of(&service, "ada", Role::Admin).await;
    let link = Regex::new("(?:href|src)=\"(/[^\"#]*)").unwrap();
    let foreign = Regex::new("(?:href|src|action)=\"(?:[a-z]+:|//)").unwrap();
    let inline = Regex::new("<script(?: [^>]*)?>[^<]|<style|style=\"| on[a-z]+=\"").unwrap();
    let mut seen: Vec<String> = Vec::new();
    let mut open: Vec<String> = PAGES.map(str::to_owned).to_vec();
    while let Some(path) = open.pop() {
        if seen.contains(&path) {
            continue;
        }
        let reply = ada.get(&path).await;
        assert!(matches!(reply.status, 200 | 303), "{path}: {reply:?}");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        if reply.header("content-type").starts_with("text/html") {
            let page = text(&reply);
            assert!(!inline.is_match(&page), "{path}");
            assert!(!foreign.is_match(&page), "{path}");
            let links = link.captures_iter(&page);
            let links = links.map(|it| it[1].replace("&amp;", "&").replace("&#38;", "&"));
            // The days of the bid sheet have no end.
            let is_day =
                |it: &String| it.starts_with("/bid-sheet?") || it.starts_with("/bid-sheet/");
            open.extend(links.filter(|it| path == "/bid-sheet" || !is_day(it)));
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        }
        seen.push(path);
        assert!(seen.len() < 500, "the links end");
    }
    assert!(
        seen.iter().any(|it| it.starts_with("/orders/0")),
        "{seen:?}"
    );
    let missing = ada.get("/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    assert_eq!(missing.status, 404);
    assert!(text(&missing).contains("order_not_found") && text(&missing).contains("<nav"));
}

#[tokio::test]
async fn pages_are_in_the_chosen_language() {
    let service = Service::start().await;
    let (mut browser, _) = Browser::of(&service, "vera", Role::Viewer).await;
    for path in PAGES {
        assert!(browser.page(path).await.contains("lang=\"en\""), "{path}");
    }
    let chosen = browser.get("/language?to=ko&then=%2Forders").await;
    assert_eq!((chosen.status, chosen.header("location")), (303, "/orders"));
    let cookie = chosen.header("set-cookie").split(';').next().unwrap();
    browser.cookies = format!("{}; {cookie}", browser.cookies);
    let words = Regex::new(">\\s*([A-Za-z][a-z]+(?: [a-z]+)+)\\s*<").unwrap();
    for path in PAGES {
        let page = browser.page(path).await;
        assert!(page.contains("<html lang=\"ko\">"), "{path}");
        let english: Vec<_> = words
            .captures_iter(&page)
            .map(|it| it[1].to_owned())
            .collect();
        assert!(english.is_empty(), "{path}: {english:?}");
    }
}
