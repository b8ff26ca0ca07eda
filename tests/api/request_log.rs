//! The request log: what it contains, who reads it, its lists, and its bounds.

use lmn_partner_api::errors::catalogue::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Partner, Reply, Service, Vehicle, delete_old_requests, eventually, key, lock_table, settings,
    wait_for_blocked_session,
};

/// The user on whose behalf a partner sends requests.
const USER: &str = "dealer-7@example.com";

/// Starts a service that inserts into the log soon.
async fn service() -> Service {
    service_with(&[]).await
}

async fn service_with(others: &[settings::Setting]) -> Service {
    let soon = [settings::request_log_flush_milliseconds(20)];
    Service::with(&[others, &soon].concat()).await
}

/// Returns the path of the request that a reply belongs to.
fn path_of(reply: &Reply) -> String {
    format!("/v1/requests/{}", reply.header("x-request-id"))
}

/// Waits until a request is logged, and returns it as its partner reads it.
async fn logged(partner: &Partner, reply: &Reply) -> Value {
    let path = path_of(reply);
    let found = eventually("the request is logged", async || {
        Some(partner.get(&path).await).filter(|it| it.status == 200)
    });
    found.await.ok()
}

async fn count(service: &Service, condition: &str) -> i64 {
    let query = format!("select count(*) from requests where {condition}");
    service.count(&query).await
}

/// Waits until some requests are logged that meet a condition.
async fn wait_for(service: &Service, requests: i64, condition: &str) {
    eventually("the requests are logged", async || {
        (count(service, condition).await == requests).then_some(())
    })
    .await;
}

async fn dropped(service: &Service, reason: &str) -> i64 {
    let metric = format!("lmn_request_log_dropped_total{{reason=\"{reason}\"}}");
    service.metric(&metric).await as i64
}

#[tokio::test]
async fn refused_request_is_found_by_its_id_by_its_partner_and_by_nobody_else() {
    let service = service().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.place_order("glovis_1", 12_000).await.created();
    let refused = acme.place_order("glovis_1", 12_000).await;
    let details = refused.refused(409, Code::DuplicateOrder);

    let mut logged = logged(&acme, &refused).await;
    let at = logged["at"].take();
    assert!(at.as_str().unwrap().ends_with("+09:00"), "{at}");
    assert!(logged["duration_ms"].take().is_u64());
    let expected = json!({
        "request_id": refused.header("x-request-id"),
        "at": null,
        "operation": "POST /v1/orders",
        "status": 409,
        "code": "duplicate_order",
        "details": details,
        "duration_ms": null,
        "client_address": "127.0.0.1",
        "api_key_prefix": &acme.api_key[..12],
    });
    assert_eq!(logged, expected);

    let found = rival.get(&path_of(&refused)).await;
    found.refused(404, Code::NotFound);
    let list = "/v1/requests?code=duplicate_order";
    assert_eq!(acme.rows(list).await.len(), 1);
    assert_eq!(rival.rows(list).await, Vec::<Value>::new());
    let unknown = acme.get("/v1/requests/req_1").await;
    unknown.refused(404, Code::NotFound);
}

#[tokio::test]
async fn write_is_logged_and_read_that_succeeds_is_not() {
    let service = service().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let read = acme.get("/v1/orders").await;
    read.ok();
    let key = key();
    let placed = acme.place_order_once(&key, "glovis_1", 12_000).await;
    placed.created();
    let replayed = acme.place_order_once(&key, "glovis_1", 12_000).await;
    replayed.replays(&placed);
    for (reply, status) in [(&placed, 201), (&replayed, 200)] {
        let logged = logged(&acme, reply).await;
        assert_eq!(logged["status"], status);
        assert_eq!(logged["code"], Value::Null);
        assert_eq!(logged["details"], Value::Null);
    }
    let found = acme.get(&path_of(&read)).await;
    found.refused(404, Code::NotFound);
}

#[tokio::test]
async fn list_is_filtered_by_code_and_time_and_read_by_pages() {
    let service = service().await;
    let acme = service.partner("acme").await;
    for n in 0..8 {
        let refused = match n % 3 {
            0 => acme.get("/v1/vehicles/nobodys").await,
            _ => acme.order("nobodys").await,
        };
        refused.expect(404);
    }
    wait_for(&service, 8, "code is not null").await;
    let list = "/v1/requests?code=order_not_found,vehicle_not_found";
    let all = acme.rows(list).await;
    assert_eq!(all.len(), 8);
    assert!(all.is_sorted_by(|one, next| one["at"].as_str() >= next["at"].as_str()));
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let page = acme.get(&format!("{list}&limit=3{next}")).await.ok();
        pages.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(pages, all);
    let rows = acme.rows("/v1/requests?code=vehicle_not_found").await;
    assert_eq!(rows.len(), 3);

    let since = all[4]["at"].as_str().unwrap();
    let is_later = |row: &&Value| row["at"].as_str().unwrap() >= since;
    let expected: Vec<Value> = all.iter().filter(is_later).cloned().collect();
    let path = format!("/v1/requests?since={}", since.replace('+', "%2B"));
    assert_eq!(acme.rows(&path).await, expected);

    let other = acme.get(&format!("/v1/requests?limit=3{next}")).await;
    let details = other.refused(400, Code::InvalidCursor);
    assert_eq!(details["reason"], "filter_mismatch");
    let wrong = acme.get("/v1/requests?code=nonsense&since=2026-04-20T13:00:00Z");
    let issue = |path: &str, kind: &str| (path.to_owned(), kind.to_owned());
    assert_eq!(
        wrong.await.issues(),
        [
            issue("code", "INVALID_VALUE"),
            issue("since", "INVALID_FORMAT")
        ]
    );
}

#[tokio::test]
async fn requests_beyond_a_full_queue_are_counted_and_delay_nobody() {
    let service = service_with(&[settings::request_log_queue_max(3)]).await;
    let acme = service.partner("acme").await;
    let holder = lock_table(service.db(), "requests").await;
    let refuse = async || {
        acme.order("nobodys")
            .await
            .refused(404, Code::OrderNotFound)
    };
    refuse().await;
    // The first insertion is in progress.
    wait_for_blocked_session(service.db()).await;
    for _ in 0..10 {
        refuse().await;
    }
    assert_eq!(dropped(&service, "full").await, 7);
    holder.rollback().await.unwrap();
    wait_for(&service, 4, "true").await;
}

#[tokio::test]
async fn requests_are_inserted_once_the_database_accepts_them_again() {
    let service = service_with(&settings::short_timeouts()).await;
    let acme = service.partner("acme").await;
    let holder = lock_table(service.db(), "requests").await;
    let refused = acme.order("nobodys").await;
    eventually("an insertion has failed", async || {
        let failed = "lmn_jobs_total{name=\"request_log\",result=\"failed\"}";
        (service.metric(failed).await > 0.0).then_some(())
    })
    .await;
    holder.rollback().await.unwrap();
    logged(&acme, &refused).await;
    for reason in ["full", "limited", "failed"] {
        assert_eq!(dropped(&service, reason).await, 0, "{reason}");
    }
}

#[tokio::test]
async fn flood_of_requests_without_a_key_does_not_fill_the_log() {
    let service = service_with(&[
        settings::request_log_refusals_burst(3),
        settings::request_log_refusals_limit(1),
        settings::request_log_refusals_window_seconds(10_000),
    ])
    .await;
    let acme = service.partner("acme").await;
    let keyless = acme.with_key("");
    for _ in 0..10 {
        let refused = keyless.get("/v1/orders").await;
        refused.refused(401, Code::MissingApiKey);
    }
    assert_eq!(dropped(&service, "limited").await, 7);
    // Refused requests of a partner are counted by themselves, and writes that succeed are not counted.
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let placed = acme.place_order("glovis_1", 12_000).await;
    placed.created();
    acme.order("nobodys").await.expect(404);
    let keyless = "partner_id is null and key_prefix is null and code = 'missing_api_key'";
    wait_for(&service, 3, keyless).await;
    wait_for(&service, 2, "partner_id is not null").await;
}

#[tokio::test]
async fn old_requests_are_deleted_in_batches() {
    let service = service_with(&[settings::request_log_batch_max(2)]).await;
    let acme = service.partner("acme").await;
    for _ in 0..5 {
        acme.order("nobodys").await.expect(404);
    }
    acme.get("/v1/vehicles/nobodys").await.expect(404);
    wait_for(&service, 6, "true").await;
    service
        .sql(
            "update requests set at = at - interval '30 days' + interval '1 minute';
             update requests set at = at - interval '1 hour' where code = 'order_not_found'",
        )
        .await;
    assert_eq!(delete_old_requests(&service.app).await.unwrap(), 5);
    assert_eq!(delete_old_requests(&service.app).await.unwrap(), 0);
    assert_eq!(count(&service, "code = 'vehicle_not_found'").await, 1);
}

#[tokio::test]
async fn requests_not_yet_inserted_are_inserted_when_the_replica_stops() {
    let mut service = Service::with(&[settings::request_log_flush_milliseconds(600_000)]).await;
    let acme = service.partner("acme").await;
    acme.order("nobodys").await.expect(404);
    service.stop().await;
    assert_eq!(count(&service, "code = 'order_not_found'").await, 1);
}

#[tokio::test]
async fn log_contains_neither_a_key_nor_a_user_nor_a_value_that_was_sent() {
    let service = service().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (api_key, long_user) = (acme.api_key.as_str(), USER.repeat(10));
    let post = |body: String| {
        let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
        ask.header("content-type", "application/json").body(body)
    };
    let order = json!({"vehicle_id": "glovis_1", "max_bid_amount_usd": 12_000}).to_string();
    let placed = post(order.clone()).header("x-user-id", USER).send().await;
    placed.created();
    let wrong = json!({"vehicle_id": USER, "max_bid_amount_usd": api_key}).to_string();
    for ask in [
        post(order.clone()).header("x-user-id", &long_user),
        post(wrong),
        post(format!(r#"{{"{api_key}": 1, "{api_key}": 2}}"#)),
        acme.ask(Method::POST, "/v1/orders")
            .key(api_key)
            .body(order),
        acme.ask(
            Method::GET,
            &format!("/v1/orders?status={USER}&limit={api_key}"),
        ),
        acme.ask(Method::GET, &format!("/v1/orders/{api_key}")),
        acme.ask(Method::GET, &format!("/{api_key}/{USER}")),
        acme.with_key(&format!("{api_key}{USER}"))
            .ask(Method::GET, "/v1/orders"),
    ] {
        let refused = ask.send().await;
        assert!((400..500).contains(&refused.status), "{refused:?}");
    }
    wait_for(&service, 9, "true").await;
    let log: String = sqlx::query_scalar("select string_agg(requests::text, ' ') from requests")
        .fetch_one(service.db())
        .await
        .unwrap();
    assert!(log.contains(&api_key[..12]), "{log}");
    assert!(!log.contains(&api_key[12..]), "{log}");
    assert!(!log.contains(USER), "{log}");
}

#[tokio::test]
async fn lists_of_rare_codes_do_not_read_the_whole_log() {
    const READ_MAX: i64 = 3_000;
    let mut service = service().await;
    let acme = service.partner("acme").await;
    let fill = format!(
        "insert into requests (request_id, at, partner_id, key_prefix, operation, status, code, duration_ms, client_address)
         select decode(lpad(to_hex(n), 24, '0'), 'hex'), now() - n * interval '1 second', '{}', 'lmn_stg_aaaa', 'GET /v1/orders',
                404, case when n in (1, 50000, 99999) then 'rate_limited' else 'order_not_found' end, 1, '127.0.0.1'
         from generate_series(1, 100000) as n;
         analyze requests",
        acme.id
    );
    service.sql_elsewhere(&fill).await;
    for (query, expected) in [
        ("", 50),
        ("?code=rate_limited", 3),
        ("?code=rate_limited,payload_too_large", 3),
        ("?code=payload_too_large", 0),
        ("?code=order_not_found,rate_limited", 50),
        ("?since=2020-01-01T00:00:00%2B09:00&code=rate_limited", 3),
    ] {
        let rows = acme.rows(&format!("/v1/requests{query}")).await;
        assert_eq!(rows.len(), expected, "{query}");
    }
    service.stop().await;
    // What a session has read is counted when it has ended.
    eventually("the sessions have ended", async || {
        let sessions = "select count(*) from pg_stat_activity
                        where datname = current_database() and application_name like 'lmn%'";
        (service.count(sessions).await == 0).then_some(())
    })
    .await;
    let read = "select (select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes where relname = 'requests')::bigint
                     + (select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables where relname = 'requests')::bigint";
    let read = service.count(read).await;
    assert!(read > 0 && read < READ_MAX, "{read} rows were read");
}
