//! Bulk requests of operators: vehicles to acquire, the results of auctions, shipments.

use lmn_partner_api::{errors::catalogue::Code, operators::model::Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{OperatorApi, Partner, Reply, Service, Vehicle, key};

const DAY: i64 = 86_400;

/// Two partners who bid on the same lots, with auctions in ten days, and a trader.
struct Scene {
    service: Service,
    partners: [Partner; 2],
    tom: OperatorApi,
}

impl Scene {
    async fn with_lots(ids: &[&str]) -> Self {
        let service = Service::start().await;
        let partners = [service.partner("acme").await, service.partner("bolt").await];
        for id in ids {
            service.vehicle(Vehicle::lot(id)).await;
            partners[0].place_order(id, 12_000).await.created();
            partners[1].place_order(id, 15_000).await.created();
        }
        let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
        Self {
            service,
            partners,
            tom,
        }
    }

    /// Advances the clocks of both partners.
    async fn wait(&self, days: i64) {
        for partner in &self.partners {
            partner.wait(days * DAY).await;
        }
    }

    /// Returns the status of each partner's order for a vehicle.
    async fn statuses(&self, vehicle: &str) -> Vec<Value> {
        let mut statuses = Vec::new();
        for partner in &self.partners {
            let path = format!("/v1/orders?vehicle_id={vehicle}");
            statuses.push(partner.rows(&path).await[0]["status"].clone());
        }
        statuses
    }
}

impl OperatorApi {
    async fn post_csv(&self, path: &str, text: &str) -> Reply {
        let ask = self.ask(Method::POST, path).key(&key());
        let ask = ask.header("content-type", "text/csv; charset=utf-8");
        ask.body(text.to_owned()).send().await
    }
}

/// Returns each row's id, outcome and error code.
fn outcomes(reply: &Reply) -> Vec<(String, String, String)> {
    let body = reply.ok();
    let rows = body["data"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |it: &Value| {
        (
            text(&it["id"]),
            text(&it["outcome"]),
            text(&it["error"]["code"]),
        )
    };
    rows.map(row).collect()
}

fn expected(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let rows = rows.iter();
    rows.map(|(id, outcome, code)| ((*id).into(), (*outcome).into(), (*code).into()))
        .collect()
}

#[tokio::test]
async fn vehicles_are_acquired_once_after_the_cutoff_of_their_orders() {
    let scene = Scene::with_lots(&["glovis_1", "glovis_2"]).await;
    scene.service.vehicle(Vehicle::lot("glovis_3")).await;
    let path = "/bid-sheet/acquire";
    let one = json!({"vehicle_ids": ["glovis_1"]});
    let early = scene.tom.post(path, one.clone()).await;
    let refused = "invalid_status_transition";
    assert_eq!(
        outcomes(&early),
        expected(&[("glovis_1", "refused", refused)])
    );
    let message = early.json()["data"][0]["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains("close at"), "{message}");

    scene.wait(9).await;
    let key = key();
    let first = scene.tom.post_once(&key, path, one.clone()).await;
    assert_eq!(outcomes(&first), expected(&[("glovis_1", "done", "-")]));
    assert_eq!(scene.statuses("glovis_1").await, ["acquiring", "acquiring"]);
    scene
        .tom
        .post_once(&key, path, one.clone())
        .await
        .replays(&first);
    let all = json!({"vehicle_ids": ["glovis_3", "glovis_1", "gone", "?", "glovis_2"]});
    assert_eq!(
        outcomes(&scene.tom.post(path, all).await),
        expected(&[
            ("glovis_3", "refused", refused),
            ("glovis_1", "unchanged", "-"),
            ("gone", "refused", "vehicle_not_found"),
            ("?", "refused", "vehicle_not_found"),
            ("glovis_2", "done", "-"),
        ])
    );
    assert_eq!(scene.service.event_count().await, 4, "one for each order");
}

#[tokio::test]
async fn vehicles_of_an_auction_day_are_acquired_by_date_and_source() {
    let scene = Scene::with_lots(&["glovis_1", "glovis_2"]).await;
    scene
        .service
        .vehicle(Vehicle::lot("later_1").auction_in_days(12))
        .await;
    scene.partners[0]
        .place_order("later_1", 12_000)
        .await
        .created();
    scene.wait(9).await;
    let vehicle = scene.partners[0].get("/v1/vehicles/glovis_1").await.ok();
    let date = &vehicle["auction_date"].as_str().unwrap()[..10];
    let acquire = async |body| scene.tom.post("/bid-sheet/acquire", body).await;
    let other = acquire(json!({"date": date, "source": "sk"})).await;
    assert!(outcomes(&other).is_empty());
    for outcome in ["done", "unchanged"] {
        let reply = acquire(json!({"date": date, "source": "glovis"})).await;
        let rows = [("glovis_1", outcome, "-"), ("glovis_2", outcome, "-")];
        assert_eq!(outcomes(&reply), expected(&rows));
    }
    for (body, path) in [
        (json!({}), "date"),
        (
            json!({"date": date, "vehicle_ids": ["glovis_1"]}),
            "vehicle_ids",
        ),
        (json!({"date": "20.04.2026"}), "date"),
        (json!({"vehicle_ids": []}), "vehicle_ids"),
        (json!({"vehicle_ids": [1]}), "vehicle_ids"),
        (json!({"vehicle_ids": ["a"], "source": "sk"}), "source"),
    ] {
        let issues = acquire(body.clone()).await.issues();
        assert_eq!(issues[0].0, path, "{body}");
    }
}

#[tokio::test]
async fn results_are_recorded_row_by_row_and_the_same_ones_again_change_nothing() {
    let scene = Scene::with_lots(&["glovis_1", "glovis_2", "glovis_3", "glovis_4"]).await;
    let path = "/auction-results";
    let outbid = json!({"results": [{"vehicle_id": "glovis_1", "result": "outbid"}]});
    let early = scene.tom.post(path, outbid.clone()).await;
    let message = early.json()["data"][0]["error"]["message"].clone();
    assert!(
        message.as_str().unwrap().contains("no result before"),
        "{message}"
    );

    scene.wait(10).await;
    let csv = "vehicle_id,result,price_usd,fee_usd\r\n\
               glovis_1,won,14000,150\r\nglovis_2,won,15001,0\r\nglovis_3,outbid,,\r\n\
               glovis_4,sold,,\r\n,won,1,1\r\nglovis_9,cancelled,,\r\n";
    let (invalid, unknown) = ("validation_error", "vehicle_not_found");
    for outcome in ["done", "unchanged"] {
        let reply = scene.tom.post_csv(path, csv).await;
        let rows = [
            ("glovis_1", outcome, "-"),
            ("glovis_2", "refused", invalid),
            ("glovis_3", outcome, "-"),
            ("glovis_4", "refused", invalid),
            ("-", "refused", invalid),
            ("glovis_9", "refused", unknown),
        ];
        assert_eq!(outcomes(&reply), expected(&rows));
        let body = reply.json();
        let issue = |row: usize| body["data"][row]["error"]["details"]["issues"][0]["path"].clone();
        assert_eq!(issue(1), "price_usd");
        assert_eq!(issue(3), "line 5, column result");
        assert_eq!(issue(4), "line 6, column vehicle_id");
    }
    assert_eq!(scene.statuses("glovis_1").await, ["failed", "secured"]);
    assert_eq!(scene.statuses("glovis_3").await, ["failed", "failed"]);
    assert_eq!(scene.statuses("glovis_4").await, ["proceed", "proceed"]);

    let second = scene.tom.post(path, outbid).await;
    let message = second.json()["data"][0]["error"]["message"].clone();
    assert!(
        message.as_str().unwrap().contains("another result"),
        "{message}"
    );
    let wrong =
        json!({"results": [{"vehicle_id": "glovis_4", "result": "won", "price_usd": 1}, 7]});
    let wrong = scene.tom.post(path, wrong).await.json();
    let issue = |row: usize| wrong["data"][row]["error"]["details"]["issues"][0]["path"].clone();
    assert_eq!(issue(0), "results[0].fee_usd");
    assert_eq!(issue(1), "results[1]");
}

#[tokio::test]
async fn bulk_request_without_readable_rows_is_refused_as_a_whole() {
    let scene = Scene::with_lots(&[]).await;
    let many = vec![json!({}); 501];
    for body in [json!({}), json!({"results": []}), json!({"results": many})] {
        let issues = scene.tom.post("/auction-results", body).await.issues();
        assert_eq!(issues[0].0, "results");
    }
    for text in [
        "vehicle_id,result\n",
        "glovis_1,outbid\n",
        "vehicle_id\n\"a",
    ] {
        let issues = scene.tom.post_csv("/auction-results", text).await.issues();
        assert_eq!(issues[0].0, "body", "{text}");
    }
    let ask = scene.tom.ask(Method::POST, "/auction-results").key(&key());
    let ask = ask.header("content-type", "text/csv; charset=euc-kr");
    let reply = ask.body("vehicle_id\na\n").send().await;
    reply.refused(415, Code::UnsupportedMediaType);
    // The partners' API takes no CSV.
    let acme = &scene.partners[0];
    let ask = acme.ask(Method::POST, "/v1/orders").key(&key());
    let ask = ask.header("content-type", "text/csv");
    let reply = ask.body("vehicle_id\na\n").send().await;
    reply.refused(415, Code::UnsupportedMediaType);
}

#[tokio::test]
async fn shipments_begin_to_ship_secured_orders_and_are_recorded_once() {
    let scene = Scene::with_lots(&["glovis_1", "glovis_2"]).await;
    scene.wait(10).await;
    let won = json!({"vehicle_id": "glovis_1", "result": "won", "price_usd": 14_000, "fee_usd": 0});
    let results = json!({"results": [won]});
    scene.tom.post("/auction-results", results).await.ok();
    let bolt = &scene.partners[1];
    let id_of = async |vehicle: &str| {
        let rows = bolt.rows(&format!("/v1/orders?vehicle_id={vehicle}")).await;
        rows[0]["id"].as_str().unwrap().to_owned()
    };
    let (secured, waiting) = (id_of("glovis_1").await, id_of("glovis_2").await);
    let lena = OperatorApi::add(&scene.service, "lena", Role::Logistics).await;
    let csv = format!(
        "order_id,vessel_name,eta\n{secured},\"Sun, Glovis\",2026-10-05T12:00:00+01:00\n{waiting},Sun,\n?,Sun,\n\
         {secured},,\n"
    );
    for outcome in ["done", "unchanged"] {
        let reply = lena.post_csv("/shipments", &csv).await;
        let rows = [
            (&*secured, outcome, "-"),
            (&*waiting, "refused", "invalid_status_transition"),
            ("?", "refused", "order_not_found"),
            (&*secured, "refused", "validation_error"),
        ];
        assert_eq!(outcomes(&reply), expected(&rows));
    }
    let order = bolt.order(&secured).await.ok();
    assert_eq!(order["status"], "shipping");
    assert_eq!(order["shipment"]["vessel_name"], "Sun, Glovis");
    assert_eq!(order["shipment"]["eta"], "2026-10-05T12:00:00+01:00");
    assert_eq!(bolt.events_of(&secured).await.len(), 4);
}

#[tokio::test]
async fn bulk_request_that_is_sent_twice_at_once_is_done_once() {
    let scene = Scene::with_lots(&["glovis_1"]).await;
    scene.wait(10).await;
    let body = json!({"results": [{"vehicle_id": "glovis_1", "result": "outbid"}]});
    let key = key();
    let post = || scene.tom.post_once(&key, "/auction-results", body.clone());
    let (one, other) = tokio::join!(post(), post());
    assert_eq!(one.ok(), other.ok());
    assert_eq!(scene.service.event_count().await, 4, "two for each order");
}

#[tokio::test]
async fn bulk_requests_need_the_role_of_their_work() {
    let scene = Scene::with_lots(&[]).await;
    let vera = OperatorApi::add(&scene.service, "vera", Role::Viewer).await;
    let lena = OperatorApi::add(&scene.service, "lena", Role::Logistics).await;
    for path in ["/bid-sheet/acquire", "/auction-results"] {
        for operator in [&vera, &lena] {
            let reply = operator.post(path, json!({})).await;
            reply.refused(403, Code::RoleNotAllowed);
        }
    }
    for operator in [&vera, &scene.tom] {
        let reply = operator.post("/shipments", json!({})).await;
        reply.refused(403, Code::RoleNotAllowed);
    }
}
