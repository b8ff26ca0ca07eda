//! `orderable=true`: the vehicles that can be ordered now.

use chrono::{NaiveTime, Utc};
use lmn_partner_api::errors::catalogue::Code;

use super::{
    list_all,
    model::{at, now},
};
use crate::support::{Partner, Service, Vehicle, eventually};

/// Names every make, so that dealers' vehicles are in scope.
const ORDERABLE: &str = "make=hyundai&orderable=true";
const DAY: i64 = 24 * 60 * 60;

/// Returns a lot whose auction is on a day in Korea, `days` after the first day of the model.
fn lot(id: &str, days: u64, time: &str) -> Vehicle {
    let time: NaiveTime = time.parse().unwrap();
    Vehicle::lot(id).auction_at(&at(days, time).to_rfc3339())
}

/// Adds vehicles close to each cutoff and with each auction result.
async fn add_vehicles(service: &Service) {
    for vehicle in [
        Vehicle::dealers("dealers"),
        Vehicle::no_bid("no_bid"),
        Vehicle::lot("over").auction_in_hours(-1),
        lot("day_0", 0, "23:00:00"),
        lot("day_1", 1, "23:59:59.999"),
        lot("day_2_first", 2, "00:00:00"),
        lot("day_2_last", 2, "23:59:59.999"),
        lot("day_3", 3, "00:00:00"),
    ] {
        service.vehicle(vehicle).await;
    }
    for result in ["sold", "negotiation_sold", "negotiation_requested"] {
        let vehicle = Vehicle {
            auction_result: Some(result),
            ..lot(result, 3, "10:00:00")
        };
        service.vehicle(vehicle).await;
    }
    for vehicle in [Vehicle::dealers("gone_d"), Vehicle::lot("gone_l")] {
        let gone = service.vehicle(vehicle).await;
        service.withdraw_vehicle(&gone.id).await;
    }
}

/// Waits until a list has these vehicles. A partner's clock is cached with its key and moves with a delay.
async fn finds(acme: &Partner, query: &str, expected: &[&str]) {
    eventually("the vehicles are found", async || {
        let mut found = list_all(acme, query).await;
        found.sort();
        (found == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn orderable_vehicles_are_those_that_can_be_ordered() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let ahead = (now() - Utc::now().fixed_offset()).num_seconds();
    acme.wait(ahead).await;
    // On the first day and on the two following days.
    for lots in [
        vec!["day_2_first", "day_2_last", "day_3"],
        vec!["day_3"],
        vec![],
    ] {
        let mut expected = [lots, vec!["dealers", "no_bid"]].concat();
        expected.sort_unstable();
        finds(&acme, ORDERABLE, &expected).await;
        for id in ["day_0", "day_1", "day_2_first", "day_2_last", "day_3"] {
            let order = acme.place_order(id, 12_000).await;
            match expected.contains(&id) {
                true => {
                    let order = order.created();
                    acme.cancel(order["id"].as_str().unwrap()).await.ok();
                }
                false => drop(order.refused(409, Code::PastOrderCutoff)),
            }
        }
        acme.wait(DAY).await;
    }
}

#[tokio::test]
async fn orderable_depends_on_the_clock_of_each_partner() {
    let service = Service::start().await;
    let (acme, other) = (
        service.partner("acme").await,
        service.partner("other").await,
    );
    add_vehicles(&service).await;
    let ahead = (now() - Utc::now().fixed_offset()).num_seconds();
    acme.wait(ahead + 10 * DAY).await;
    let query = "source=glovis&auction_status=upcoming&orderable=true";
    finds(&acme, query, &[]).await;
    let upcoming = ["day_0", "day_1", "day_2_first", "day_2_last", "day_3"];
    finds(&other, query, &upcoming).await;
}

#[tokio::test]
async fn orderable_keeps_dealers_vehicles_and_counts_those_another_filter_drops() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    add_vehicles(&service).await;
    let reply = acme.get(&format!("/v1/vehicles?{ORDERABLE}")).await;
    assert!(reply.ids().contains(&"dealers".to_owned()));
    assert!(!reply.headers.contains_key("x-lmn-filtered-out"));
    let reply = acme
        .get(&format!("/v1/vehicles?{ORDERABLE}&auction_status=no_bid"))
        .await;
    assert_eq!(reply.ids(), ["no_bid"]);
    assert_eq!(reply.header("x-lmn-filtered-out"), "dealer=1");
}
