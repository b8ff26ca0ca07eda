//! The sandbox: a partner takes the operator's steps itself and moves its own clock. Absent in production.

use chrono::{DateTime, Utc};
use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Partner, Reply, Service, Vehicle, key, limit};

const DAY: i64 = 86_400;

impl Partner {
    /// Takes the operator's step on the partner's own order.
    async fn step(&self, id: &str, body: Value) -> Reply {
        self.post(&format!("/v1/orders/{id}/sandbox-status"), body)
            .await
    }

    /// Takes the operator's step on a vehicle.
    async fn act(&self, vehicle: &str, act: &str, body: Value) -> Reply {
        self.post(&format!("/v1/sandbox/vehicles/{vehicle}/{act}"), body)
            .await
    }
}

async fn ordered(service: &Service, acme: &Partner, vehicle: &str) -> String {
    service.vehicle(Vehicle::lot(vehicle)).await;
    acme.place_order(vehicle, 12_000).await.id()
}

#[tokio::test]
async fn partner_takes_the_operators_steps_on_its_own_order() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = ordered(&service, &acme, "glovis_1").await;
    let amounts =
        json!({"status": "secured", "purchase_price_usd": 11_500, "auction_fee_usd": 300});
    let sail = json!({"shipment": {"vessel_name": "Glovis Sun", "etd": "2026-09-01T08:00:00+09:00", "eta": "2026-10-05T12:00:00+01:00"}});
    for (body, status) in [
        (json!({"status": "acquiring"}), "acquiring"),
        (amounts, "secured"),
        (json!({"status": "shipping"}), "shipping"),
        (json!({"fulfillment_detail": "awaiting_pickup"}), "shipping"),
        (sail, "shipping"),
        (json!({"shipment": {"vessel_name": null}}), "shipping"),
    ] {
        let reply = acme.step(&id, body.clone()).await;
        assert_eq!(reply.ok()["status"], status, "{body}");
        assert_eq!(acme.order(&id).await.body, reply.body);
    }
    let order = acme.order(&id).await.ok();
    // The time zone offsets of the ports are kept.
    assert_eq!(order["shipment"]["eta"], "2026-10-05T12:00:00+01:00");
    assert!(order["shipment"]["vessel_name"].is_null());
    let events = acme.events_of(&id).await;
    let types: Vec<_> = events
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    let (status, fulfillment) = ("order.status_changed", "order.fulfillment_updated");
    assert_eq!(
        types,
        [
            status,
            status,
            status,
            fulfillment,
            fulfillment,
            fulfillment
        ]
    );
    assert_eq!(
        events[5]["data"]["previous_fulfillment_detail"],
        "awaiting_pickup"
    );
}

#[tokio::test]
async fn lot_that_a_step_secured_can_still_be_ordered_by_others() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let id = ordered(&service, &acme, "glovis_1").await;
    let before = rival.get("/v1/vehicles/glovis_1").await.ok();
    let secured =
        json!({"status": "secured", "purchase_price_usd": 11_500, "auction_fee_usd": 300});
    for step in [json!({"status": "acquiring"}), secured] {
        acme.step(&id, step).await.ok();
    }
    assert_eq!(rival.get("/v1/vehicles/glovis_1").await.ok(), before);
    let orderable = rival.get("/v1/vehicles?source=glovis&orderable=true").await;
    assert_eq!(orderable.ids(), ["glovis_1"]);
    rival.place_order("glovis_1", 13_000).await.created();
}

#[tokio::test]
async fn steps_out_of_sequence_are_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = ordered(&service, &acme, "glovis_1").await;
    for body in [
        json!({"status": "shipping"}),
        json!({"fulfillment_detail": "awaiting_pickup"}),
        json!({"shipment": {"bl_number": "X"}}),
        json!({"status": "failed", "failure_reason": "outbid"}),
        json!({"status": "secured", "purchase_price_usd": 1, "auction_fee_usd": 0}),
    ] {
        let details = acme
            .step(&id, body)
            .await
            .refused(409, Code::InvalidStatusTransition);
        assert_eq!(details["reason"], "out_of_sequence");
        assert_eq!(details["current_status"], "proceed");
    }
    acme.step(&id, json!({"status": "acquiring"})).await.ok();
    let too_high = json!({"status": "secured", "purchase_price_usd": 12_001, "auction_fee_usd": 0});
    let too_high = acme.step(&id, too_high).await;
    assert_eq!(
        too_high.issues(),
        [("purchase_price_usd".to_owned(), "OUT_OF_RANGE".to_owned())]
    );
    let rival = service.partner("rival").await;
    let reply = rival.step(&id, json!({"status": "acquiring"})).await;
    reply.refused(404, Code::OrderNotFound);
}

#[tokio::test]
async fn step_with_missing_or_superfluous_members_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = ordered(&service, &acme, "glovis_1").await;
    let issue = |path: &str, kind: &str| (path.to_owned(), kind.to_owned());
    for (body, issues) in [
        (json!({}), vec![issue("status", "REQUIRED_FIELD_MISSING")]),
        (
            json!({"status": "secured"}),
            vec![
                issue("purchase_price_usd", "REQUIRED_FIELD_MISSING"),
                issue("auction_fee_usd", "REQUIRED_FIELD_MISSING"),
            ],
        ),
        (
            json!({"status": "secured", "purchase_price_usd": 0, "auction_fee_usd": -1}),
            vec![
                issue("purchase_price_usd", "OUT_OF_RANGE"),
                issue("auction_fee_usd", "OUT_OF_RANGE"),
            ],
        ),
        (
            json!({"status": "acquiring", "purchase_price_usd": 5}),
            vec![issue("purchase_price_usd", "INVALID_VALUE")],
        ),
        (
            json!({"status": "failed"}),
            vec![issue("failure_reason", "REQUIRED_FIELD_MISSING")],
        ),
        (
            json!({"status": "delivered"}),
            vec![issue("status", "INVALID_VALUE")],
        ),
        (
            json!({"fulfillment_detail": "customs"}),
            vec![issue("fulfillment_detail", "INVALID_VALUE")],
        ),
        (
            json!({"status": "cancelled", "cancellation_reason": "partner_cancelled"}),
            vec![issue("cancellation_reason", "INVALID_VALUE")],
        ),
        (
            json!({"shipment": {"etd": "soon", "vessel_name": 7}}),
            vec![
                issue("shipment.vessel_name", "INVALID_TYPE"),
                issue("shipment.etd", "INVALID_FORMAT"),
            ],
        ),
        (
            json!({"shipment": {}}),
            vec![issue("shipment.vessel_name", "REQUIRED_FIELD_MISSING")],
        ),
        (
            json!({"shipment": []}),
            vec![issue("shipment", "INVALID_TYPE")],
        ),
    ] {
        assert_eq!(
            acme.step(&id, body.clone()).await.issues(),
            issues,
            "{body}"
        );
    }
}

#[tokio::test]
async fn vehicle_ordered_by_one_partner_alone_goes_through_its_auction() {
    let service = Service::start().await;
    service.real_time_is("2026-04-10T12:00:00+09:00").await;
    let acme = service.partner("acme").await;
    let id = ordered(&service, &acme, "glovis_1").await;
    let price = acme
        .act("glovis_1", "price", json!({"listing_usd": 11_000}))
        .await
        .ok();
    assert_eq!(price["pricing"]["listing_usd"], 11_000);
    let date = json!({"auction_date": "2026-04-20T13:00:00+09:00"});
    let moved = acme.act("glovis_1", "reschedule", date).await.ok();
    assert_eq!(moved["auction_date"], "2026-04-20T13:00:00+09:00");
    let outbid = json!({"result": "outbid"});
    acme.wait(10 * DAY).await;
    let early = acme.act("glovis_1", "auction-result", outbid).await;
    let details = early.refused(409, Code::InvalidStatusTransition);
    assert_eq!(
        (&details["reason"], &details["current_status"]),
        (&json!("out_of_sequence"), &json!("proceed"))
    );
    acme.wait(3_600).await;
    let too_high = json!({"result": "won", "price_usd": 12_001, "fee_usd": 0});
    let issues = acme
        .act("glovis_1", "auction-result", too_high)
        .await
        .issues();
    assert_eq!(
        issues,
        [("price_usd".to_owned(), "OUT_OF_RANGE".to_owned())]
    );
    let won = json!({"result": "won", "price_usd": 12_000, "fee_usd": 0});
    let key = key();
    let path = "/v1/sandbox/vehicles/glovis_1/auction-result";
    let first = acme.post_once(&key, path, won.clone()).await;
    assert_eq!(first.ok()["auction_result"], "sold");
    acme.post_once(&key, path, won.clone())
        .await
        .replays(&first);
    assert_eq!(acme.order(&id).await.ok()["status"], "secured");
    let again = acme.act("glovis_1", "auction-result", won).await;
    again.refused(409, Code::InvalidStatusTransition);
    assert_eq!(acme.events_of(&id).await.len(), 4);

    let other = ordered(&service, &acme, "glovis_2").await;
    acme.act("glovis_2", "withdraw", json!({})).await.ok();
    assert_eq!(
        acme.order(&other).await.ok()["cancellation_reason"],
        "seller_withdrew"
    );
}

#[tokio::test]
async fn vehicle_without_an_order_or_with_another_partners_order_cannot_be_changed() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    ordered(&service, &acme, "glovis_1").await;
    rival.place_order("glovis_1", 13_000).await.created();
    service.vehicle(Vehicle::lot("glovis_2")).await;
    for (act, body) in [
        ("auction-result", json!({"result": "outbid"})),
        (
            "reschedule",
            json!({"auction_date": "2099-04-20T13:00:00+09:00"}),
        ),
        ("price", json!({"listing_usd": 1})),
        ("withdraw", json!({})),
    ] {
        for vehicle in ["glovis_1", "glovis_2"] {
            let reply = acme.act(vehicle, act, body.clone()).await;
            let details = reply.refused(409, Code::InvalidStatusTransition);
            assert_eq!(details["reason"], "vehicle_shared", "{act} {vehicle}");
        }
        acme.act("glovis_9", act, body)
            .await
            .refused(404, Code::VehicleNotFound);
    }
    assert_eq!(service.event_count().await, 0);
    for (act, body, path) in [
        ("auction-result", json!({}), "result"),
        (
            "auction-result",
            json!({"result": "won", "fee_usd": 1}),
            "price_usd",
        ),
        ("reschedule", json!({}), "auction_date"),
        ("price", json!({}), "listing_usd"),
    ] {
        let issues = acme.act("glovis_1", act, body).await.issues();
        assert_eq!(
            issues,
            [(path.to_owned(), "REQUIRED_FIELD_MISSING".to_owned())],
            "{act}"
        );
    }
}

#[tokio::test]
async fn clock_moves_the_time_of_one_partner_and_runs_the_due_jobs() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let id = ordered(&service, &acme, "glovis_1").await;
    let other = rival.place_order("glovis_1", 13_000).await.id();
    let clock = acme.get("/v1/sandbox/clock").await.ok();
    assert_eq!(
        (&clock["offset_seconds"], &clock["pending_jobs"]),
        (&json!(0), &json!(0))
    );

    // After nine days the cutoff has passed: the lot's auction is in ten.
    let clock = acme.wait(9 * DAY).await;
    assert_eq!(clock["offset_seconds"], 9 * DAY);
    service.vehicle(Vehicle::lot("glovis_2")).await;
    acme.place_order("glovis_2", 12_000)
        .await
        .refused(409, Code::PastOrderCutoff);
    rival.place_order("glovis_2", 12_000).await.created();
    assert_eq!(acme.order(&id).await.ok()["status"], "proceed");

    let clock = acme.wait(2 * DAY).await;
    assert_eq!(
        (&clock["offset_seconds"], &clock["pending_jobs"]),
        (&json!(11 * DAY), &json!(0))
    );
    assert_eq!(
        acme.order(&id).await.ok()["failure_reason"],
        "auction_passed"
    );
    assert_eq!(rival.order(&other).await.ok()["status"], "proceed");

    let key = key();
    let reset = acme.ask(Method::DELETE, "/v1/sandbox/clock").key(&key);
    let reset = reset.send().await;
    assert_eq!(reset.ok()["offset_seconds"], 0);
    assert_eq!(reset.outcome(), ("bound", "false"));
    assert_eq!(acme.order(&id).await.ok()["status"], "failed");

    for (body, kind) in [
        (json!({}), "REQUIRED_FIELD_MISSING"),
        (json!({"advance_seconds": 0}), "OUT_OF_RANGE"),
        (json!({"advance_seconds": 31_536_001}), "OUT_OF_RANGE"),
        (json!({"advance_seconds": "60"}), "INVALID_TYPE"),
    ] {
        let issues = acme.post("/v1/sandbox/clock", body).await.issues();
        assert_eq!(issues, [("advance_seconds".to_owned(), kind.to_owned())]);
    }
}

#[tokio::test]
async fn forced_error_can_be_any_code_and_has_no_other_effect() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let body = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000});
    let force = async |value: &str| {
        let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
        ask.header("x-sandbox-force", value)
            .json(&body)
            .send()
            .await
    };
    for code in Code::ALL {
        for status in code.entry().statuses {
            let reply = force(&format!("{}; status={status}", code.as_str())).await;
            let details = reply.refused(*status, code);
            let all = code.entry().details;
            let is_whole = all.iter().map(|it| it.name).all(|name| {
                matches!((code, name), (Code::ValidationError, "field" | "reason"))
                    || details.get(name).is_some()
            });
            assert!(is_whole, "{code:?}: {details}");
            let is_reused = code == Code::IdempotencyKeyReused;
            let outcome = if is_reused { "conflict" } else { "unknown" };
            assert_eq!(reply.outcome(), (outcome, "false"));
            let waits = ["rate_limited", "service_unavailable"].contains(&code.as_str());
            assert_eq!(!reply.header("retry-after").is_empty(), waits);
        }
        force(code.as_str())
            .await
            .refused(*code.entry().statuses.last().unwrap(), code);
    }
    for value in [
        "",
        "nonsense",
        "rate_limited;status=200",
        "rate_limited;x",
        "not_found;status=",
    ] {
        let issues = force(value).await.issues();
        assert_eq!(
            issues,
            [("X-Sandbox-Force".to_owned(), "INVALID_VALUE".to_owned())],
            "{value}"
        );
    }
    assert_eq!(service.order_count().await, 0);
}

#[tokio::test]
async fn forced_rate_limited_has_the_limit_of_its_request_in_body_and_headers() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let (db, path) = (service.db(), "/v1/orders");
    acme.set_read_limit(db, limit(7, 70, 5)).await;
    acme.set_write_limit(db, limit(2, 5, 3)).await;
    // A read takes ten seconds to become available, a write two and a half.
    for (method, policy, figures) in [
        (Method::GET, "read", [7, 70, 5, 10, 50]),
        (Method::POST, "write", [2, 5, 3, 3, 8]),
    ] {
        let ask = acme.ask(method, path).key(&key());
        let forced = ask.header("x-sandbox-force", "rate_limited");
        let forced = forced.send().await;
        let details = forced.refused(429, Code::RateLimited);
        let [limit, window, burst, retry_after, full_in] = figures;
        let reset_at = details["reset_at"].clone();
        assert_eq!(
            details,
            json!({
                "policy": policy, "limit": limit, "window_seconds": window, "burst": burst, "remaining": 0,
                "retry_after": retry_after, "reset_at": reset_at,
            })
        );
        let header = |name: &str| forced.header(name).to_owned();
        assert_eq!(header("retry-after"), retry_after.to_string());
        let of_policy = format!("\"{policy}\";q={limit};w={window}");
        assert_eq!(header("ratelimit-policy"), of_policy);
        let of_state = format!("\"{policy}\";r=0;t={full_in}");
        assert_eq!(header("ratelimit"), of_state);
        assert_eq!(header("x-ratelimit-limit"), burst.to_string());
        assert_eq!(header("x-ratelimit-remaining"), "0");
        // One request passes before the whole burst is available, by all intervals but one.
        let reset_at: DateTime<Utc> = reset_at.as_str().unwrap().parse().unwrap();
        let full_at: i64 = header("x-ratelimit-reset").parse().unwrap();
        let apart = full_at - reset_at.timestamp();
        let expected = full_in - retry_after;
        assert!((apart - expected).abs() <= 1, "{apart} {expected}");
    }
    // The forced request counted as one, and used up nothing else.
    let read = acme.get(path).await;
    read.ok();
    assert_eq!(read.header("x-ratelimit-remaining"), "3");
}

#[tokio::test]
async fn forced_errors_carry_the_present_time() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let ask = async |code: &str| {
        let ask = acme.ask(Method::GET, "/v1/orders");
        let reply = ask.header("x-sandbox-force", code).send().await;
        reply.json()["error"]["details"].take()
    };
    let limited = ask("rate_limited").await;
    let closed = ask("past_order_cutoff").await;
    let present = service.unix_time().await;
    let time = |it: &Value| it.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let [reset_at, cutoff_at, now] =
        [&limited["reset_at"], &closed["cutoff_at"], &closed["now"]].map(|it| time(it).timestamp());
    // A busy machine may take a while between the two requests.
    assert!((present - now).abs() < 60, "{closed}");
    assert!((present - reset_at).abs() < 60, "{limited}");
    assert!((0..DAY).contains(&(now - cutoff_at)), "{closed}");
}

#[tokio::test]
async fn production_has_no_sandbox_routes_and_ignores_forced_errors() {
    let (service, acme) = Service::in_production().await;
    acme.allow_networks(service.db(), &["127.0.0.1"]).await;
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (method, path) in [
        (Method::POST, format!("/v1/orders/{id}/sandbox-status")),
        (
            Method::POST,
            "/v1/sandbox/vehicles/glovis_1/auction-result".into(),
        ),
        (
            Method::POST,
            "/v1/sandbox/vehicles/glovis_1/reschedule".into(),
        ),
        (Method::POST, "/v1/sandbox/vehicles/glovis_1/price".into()),
        (
            Method::POST,
            "/v1/sandbox/vehicles/glovis_1/withdraw".into(),
        ),
        (Method::GET, "/v1/sandbox/clock".into()),
        (Method::POST, "/v1/sandbox/clock".into()),
        (Method::DELETE, "/v1/sandbox/clock".into()),
    ] {
        let ask = acme.ask(method, &path).key(&key());
        ask.json(&json!({}))
            .send()
            .await
            .refused(404, Code::NotFound);
    }
    let ask = acme.ask(Method::GET, "/v1/orders");
    ask.header("x-sandbox-force", "internal_error")
        .send()
        .await
        .ok();
}
