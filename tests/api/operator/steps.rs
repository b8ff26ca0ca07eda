//! Single changes of orders and vehicles by operators.

use lmn_partner_api::{errors::catalogue::Code, operators::model::Role};
use serde_json::{Value, json};

use crate::support::{OperatorApi, Partner, Reply, Service, Vehicle};

impl OperatorApi {
    async fn advance(&self, order: &str, body: Value) -> Reply {
        self.post(&format!("/orders/{order}/advance"), body).await
    }

    async fn change(&self, vehicle: &str, change: &str, body: Value) -> Reply {
        self.post(&format!("/vehicles/{vehicle}/{change}"), body)
            .await
    }
}

/// Places an order of 15,000 USD for a lot whose auction is in ten days.
async fn placed(service: &Service, acme: &Partner, vehicle: &str) -> String {
    service.vehicle(Vehicle::lot(vehicle)).await;
    acme.place_order(vehicle, 15_000).await.id()
}

#[tokio::test]
async fn trader_buys_and_logistics_ships() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = placed(&service, &acme, "glovis_1").await;
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    let lena = OperatorApi::add(&service, "lena", Role::Logistics).await;
    let secured =
        json!({"status": "secured", "purchase_price_usd": 14_000, "auction_fee_usd": 150});
    let ship = json!({"status": "shipping"});

    let early = tom.advance(&id, secured.clone()).await;
    let details = early.refused(409, Code::InvalidStatusTransition);
    assert_eq!(details["current_status"], "proceed");
    let denied = lena.advance(&id, json!({"status": "acquiring"})).await;
    denied.refused(403, Code::RoleNotAllowed);
    tom.advance(&id, json!({"status": "acquiring"})).await.ok();
    let reply = tom.advance(&id, secured).await;
    assert_eq!(reply.ok(), acme.order(&id).await.ok());
    tom.advance(&id, ship.clone())
        .await
        .refused(403, Code::RoleNotAllowed);
    lena.advance(&id, ship).await.ok();
    let detail = json!({"fulfillment_detail": "awaiting_pickup"});
    let path = format!("/orders/{id}/fulfillment");
    lena.post(&path, detail.clone()).await.ok();
    tom.post(&path, detail)
        .await
        .refused(403, Code::RoleNotAllowed);
    let reported = json!({"fulfillment_detail": "customs"});
    assert_eq!(
        lena.post(&path, reported).await.issues()[0].0,
        "fulfillment_detail"
    );
    let path = format!("/orders/{id}/shipment");
    let shipment = json!({"vessel_name": "Glovis Sun", "eta": "2026-10-05T12:00:00+01:00"});
    let order = lena.post(&path, shipment).await.ok();
    assert_eq!(order["shipment"]["vessel_name"], "Glovis Sun");
    assert_eq!(acme.events_of(&id).await.len(), 5);
    lena.advance("01ARZ3NDEKTSV4RRFFQ69G5FAV", json!({"status": "shipping"}))
        .await
        .refused(404, Code::OrderNotFound);
    let actors = "select count(*) from audit_log where actor in ('operator:tom', 'operator:lena')";
    assert_eq!(service.count(actors).await, 5);
}

#[tokio::test]
async fn admin_corrects_the_amounts_of_a_bought_order_and_its_partner_gets_an_event() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let id = placed(&service, &acme, "glovis_1").await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    let path = format!("/orders/{id}/amounts");
    let amounts = |price: i64| json!({"purchase_price_usd": price, "auction_fee_usd": 200});
    let early = mina.post(&path, amounts(12_000)).await;
    early.refused(409, Code::InvalidStatusTransition);
    service.operator().ships(&id).await;

    tom.post(&path, amounts(12_000))
        .await
        .refused(403, Code::RoleNotAllowed);
    let above = mina.post(&path, amounts(15_001)).await.issues();
    assert_eq!(
        above,
        [("purchase_price_usd".into(), "OUT_OF_RANGE".into())]
    );
    for _ in 0..2 {
        let order = mina.post(&path, amounts(12_000)).await.ok();
        assert_eq!(order["amounts"], amounts(12_000));
    }
    let events = acme.events_of(&id).await;
    assert_eq!(events.len(), 4, "the second correction changes nothing");
    let event = &events[3];
    assert_eq!(event["type"], "order.amounts_corrected");
    assert_eq!(
        event["data"]["previous_amounts"],
        json!({"purchase_price_usd": 11_000, "auction_fee_usd": 0})
    );
    assert_eq!(event["data"]["order"], acme.order(&id).await.ok());
    let audited = "select count(*) from audit_log where action = 'order.amounts_corrected'
                   and details #>> '{new,purchase_price_usd}' = '12000' and actor = 'operator:mina'";
    assert_eq!(service.count(audited).await, 1);
}

#[tokio::test]
async fn trader_changes_vehicles_of_all_partners() {
    let service = Service::start().await;
    service.real_time_is("2026-04-10T12:00:00+09:00").await;
    let (acme, bolt) = (service.partner("acme").await, service.partner("bolt").await);
    let won = placed(&service, &acme, "glovis_1").await;
    let lost = bolt.place_order("glovis_1", 12_000).await.id();
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;

    let price = json!({"listing_usd": 11_000});
    vera.change("glovis_1", "price", price.clone())
        .await
        .refused(403, Code::RoleNotAllowed);
    let vehicle = tom.change("glovis_1", "price", price).await.ok();
    assert_eq!(vehicle["pricing"]["listing_usd"], 11_000);
    let date = "2026-04-20T13:00:00+09:00";
    let moved = tom.change("glovis_1", "reschedule", json!({"auction_date": date}));
    assert_eq!(moved.await.ok()["auction_date"], date);
    let result = json!({"result": "won", "price_usd": 14_000, "fee_usd": 0});
    let early = tom
        .change("glovis_1", "auction-result", result.clone())
        .await;
    early.refused(409, Code::InvalidStatusTransition);
    service.real_time_is(date).await;
    let above = json!({"result": "won", "price_usd": 15_001, "fee_usd": 0});
    let issues = tom
        .change("glovis_1", "auction-result", above)
        .await
        .issues();
    assert_eq!(issues[0].0, "price_usd");
    let sold = tom.change("glovis_1", "auction-result", result).await.ok();
    assert_eq!(sold["auction_result"], "sold");
    assert_eq!(acme.order(&won).await.ok()["status"], "secured");
    assert_eq!(bolt.order(&lost).await.ok()["status"], "failed");

    service.vehicle(Vehicle::dealers("encar_1")).await;
    let listed = acme.get("/v1/vehicles/encar_1").await.ok();
    tom.change("encar_1", "withdraw", json!({})).await.ok();
    acme.get("/v1/vehicles/encar_1")
        .await
        .refused(404, Code::VehicleNotFound);
    tom.change("encar_1", "restore", json!({})).await.ok();
    let restored = acme.get("/v1/vehicles/encar_1").await.ok();
    assert_eq!(restored["pricing"], listed["pricing"]);
    tom.change("encar_1", "restore", json!({}))
        .await
        .refused(409, Code::InvalidStatusTransition);
    tom.change("gone", "withdraw", json!({}))
        .await
        .refused(404, Code::VehicleNotFound);
}
