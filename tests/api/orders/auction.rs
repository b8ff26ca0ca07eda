//! Operator commands on a vehicle and their effects on its orders: results, dates, prices, withdrawals, re-listings.

use lmn_partner_api::{
    errors::catalogue::Code,
    orders::{
        model::AuctionOutcome::{self, Cancelled, Outbid, Withdrawn},
        state_machine::Transition,
    },
};
use serde_json::{Value, json};

use crate::support::{Partner, Service, Vehicle, secure, won};

/// Orders of three partners on one lot, with bids of 12,000, 15,000 and 15,000; the first order is in `acquiring`.
struct Bids {
    service: Service,
    partners: Vec<Partner>,
    orders: Vec<String>,
}

impl Bids {
    async fn placed() -> Self {
        let service = Service::start().await;
        service.vehicle(Vehicle::lot("glovis_1")).await;
        let (mut partners, mut orders) = (Vec::new(), Vec::new());
        for (name, bid) in [("acme", 12_000), ("bolt", 15_000), ("core", 15_000)] {
            let partner = service.partner(name).await;
            orders.push(partner.place_order("glovis_1", bid).await.id());
            partners.push(partner);
        }
        service
            .operator()
            .takes(&orders[0], &[Transition::Acquire])
            .await;
        Self {
            service,
            partners,
            orders,
        }
    }

    async fn read(&self) -> Vec<Value> {
        let mut read = Vec::new();
        for (partner, id) in self.partners.iter().zip(&self.orders) {
            read.push(partner.order(id).await.ok());
        }
        read
    }

    /// Returns how each order ended: its status, its reason, and the statuses of its events.
    async fn ends(&self) -> Vec<String> {
        let mut ends = Vec::new();
        for (order, (partner, id)) in self
            .read()
            .await
            .iter()
            .zip(self.partners.iter().zip(&self.orders))
        {
            let reason = order["failure_reason"]
                .as_str()
                .or(order["cancellation_reason"].as_str());
            let events = partner.events_of(id).await;
            let statuses: Vec<_> = events
                .iter()
                .map(|it| it["data"]["order"]["status"].as_str().unwrap())
                .collect();
            let sequence: Vec<_> = events
                .iter()
                .map(|it| it["sequence"].as_i64().unwrap())
                .collect();
            assert!(
                sequence.iter().copied().eq(1..=sequence.len() as i64),
                "{sequence:?}"
            );
            assert_eq!(&events.last().unwrap()["data"]["order"], order);
            ends.push(format!(
                "{} {} ({})",
                order["status"].as_str().unwrap(),
                reason.unwrap_or("-"),
                statuses.join(" ")
            ));
        }
        ends
    }
}

#[tokio::test]
async fn auction_result_ends_every_order() {
    let table: [(AuctionOutcome, [&str; 3]); 4] = [
        (
            won(14_000, 200),
            [
                "failed outbid_internally (acquiring failed)",
                "secured - (acquiring secured)",
                "failed outbid_internally (acquiring failed)",
            ],
        ),
        (Outbid, ["failed outbid (acquiring failed)"; 3]),
        (
            Cancelled,
            [
                "failed auction_cancelled (acquiring failed)",
                "cancelled auction_cancelled (cancelled)",
                "cancelled auction_cancelled (cancelled)",
            ],
        ),
        (
            Withdrawn,
            [
                "failed vehicle_unavailable (acquiring failed)",
                "cancelled seller_withdrew (cancelled)",
                "cancelled seller_withdrew (cancelled)",
            ],
        ),
    ];
    for (outcome, ends) in table {
        let bids = Bids::placed().await;
        bids.service.auction_was_held("glovis_1").await;
        bids.service
            .operator()
            .settle("glovis_1", outcome)
            .await
            .unwrap();
        assert_eq!(bids.ends().await, ends, "{outcome:?}");
        // The standings are frozen as they were before the result.
        for (order, (leads, bid)) in
            bids.read()
                .await
                .iter()
                .zip([(false, 12_000), (true, 15_000), (false, 15_000)])
        {
            assert_eq!(order["is_highest_bid"], leads, "{order}");
            assert_eq!(order["current_max_bid_usd"], 15_000);
            assert_eq!(order["max_bid_amount_usd"], bid);
        }
        let again = bids.service.operator().settle("glovis_1", outcome).await;
        assert!(again.is_err(), "no order is open any more");
    }
}

#[tokio::test]
async fn auction_has_no_result_before_its_date_by_the_clock_of_each_bidding_partner() {
    let bids = Bids::placed().await;
    let operator = bids.service.operator();
    let before = bids.service.event_count().await;
    for outcome in [won(14_000, 0), Outbid, Cancelled, Withdrawn] {
        let refused = operator.settle("glovis_1", outcome).await.unwrap_err();
        assert!(
            refused.to_string().contains("no result before"),
            "{refused}"
        );
    }
    // The lot's auction is in ten days.
    for partner in &bids.partners[..2] {
        partner.wait(10 * 86_400).await;
    }
    assert!(operator.settle("glovis_1", Outbid).await.is_err());
    assert_eq!(bids.service.event_count().await, before);
    bids.partners[2].wait(10 * 86_400).await;
    operator.settle("glovis_1", Outbid).await.unwrap();
    assert_eq!(bids.ends().await, ["failed outbid (acquiring failed)"; 3]);
}

#[tokio::test]
async fn auction_is_won_within_the_bid_and_for_a_bidding_order() {
    let bids = Bids::placed().await;
    let operator = bids.service.operator();
    bids.service.auction_was_held("glovis_1").await;
    let refused = operator
        .settle("glovis_1", won(15_001, 0))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("above the bid"), "{refused}");
    let before = bids.service.event_count().await;
    assert_eq!(before, 1, "nothing has happened");
    let without_bids = Vehicle::lot("glovis_2").auction_in_hours(-1);
    bids.service.vehicle(without_bids).await;
    let without_bids = operator
        .settle("glovis_2", won(10_000, 0))
        .await
        .unwrap_err();
    assert_eq!(without_bids.to_string(), "no order bids on the vehicle");
    operator.settle("glovis_2", Outbid).await.unwrap();
    let vehicle = bids.partners[0].get("/v1/vehicles/glovis_2").await.ok();
    assert_eq!(vehicle["auction_result"], "sold");
    assert!(operator.settle("glovis_9", Outbid).await.is_err());
}

#[tokio::test]
async fn vehicle_is_secured_for_one_order_only() {
    let bids = Bids::placed().await;
    let operator = bids.service.operator();
    let [first, second, _] = [&bids.orders[0], &bids.orders[1], &bids.orders[2]];
    operator.takes(first, &[secure(12_000, 0)]).await;
    operator.takes(second, &[Transition::Acquire]).await;
    let refused = operator
        .advance(second, &secure(12_000, 0))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the vehicle is secured by another order"
    );
}

#[tokio::test]
async fn buy_now_vehicle_secured_for_one_partner_is_unavailable_to_all() {
    let service = Service::start().await;
    service.vehicle(Vehicle::dealers("encar_1")).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let (won, lost) = (
        acme.place_order("encar_1", None).await.id(),
        rival.place_order("encar_1", None).await.id(),
    );
    service
        .operator()
        .takes(&won, &[Transition::Acquire, secure(99_000, 0)])
        .await;
    assert_eq!(acme.order(&won).await.ok()["status"], "secured");
    let order = rival.order(&lost).await.ok();
    assert_eq!(order["failure_reason"], "vehicle_unavailable");
    assert!(order["max_bid_amount_usd"].is_null());
    let history = rival.rows(&format!("/v1/orders/{lost}/history")).await;
    assert_eq!(history.len(), 3);
    let late = service.partner("late").await;
    late.get("/v1/vehicles/encar_1")
        .await
        .refused(404, Code::VehicleNotFound);
    late.place_order("encar_1", None)
        .await
        .refused(410, Code::VehicleUnavailable);
}

#[tokio::test]
async fn reschedule_moves_orders_and_cancels_those_past_their_new_cutoff() {
    let service = Service::start().await;
    service.time_is("2026-04-10T12:00:00+09:00").await;
    service
        .vehicle(Vehicle::lot("glovis_1").auction_at("2026-04-20T13:00:00+09:00"))
        .await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let (waiting, acquiring) = (
        acme.place_order("glovis_1", 15_000).await.id(),
        rival.place_order("glovis_1", 12_000).await.id(),
    );
    let operator = service.operator();
    operator.takes(&acquiring, &[Transition::Acquire]).await;

    operator
        .reschedule("glovis_1", "2026-04-25T15:00:00+09:00")
        .await
        .unwrap();
    let order = acme.order(&waiting).await.ok();
    assert_eq!(order["auction_date"], "2026-04-25T15:00:00+09:00");
    assert_eq!(order["order_cutoff_at"], "2026-04-24T00:00:00+09:00");
    let events = acme.events_of(&waiting).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "order.auction_rescheduled");
    assert_eq!(
        events[0]["data"]["previous_auction_date"],
        "2026-04-20T13:00:00+09:00"
    );
    assert_eq!(events[0]["data"]["order"], order);
    // The same date again makes no event.
    operator
        .reschedule("glovis_1", "2026-04-25T15:00:00+09:00")
        .await
        .unwrap();
    assert_eq!(acme.events_of(&waiting).await.len(), 1);

    // The auction is tomorrow, so the cutoff was the last midnight.
    operator
        .reschedule("glovis_1", "2026-04-11T09:00:00+09:00")
        .await
        .unwrap();
    let cancelled = acme.order(&waiting).await.ok();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(
        cancelled["cancellation_reason"],
        "auction_rescheduled_too_soon"
    );
    let types: Vec<_> = acme
        .events_of(&waiting)
        .await
        .into_iter()
        .map(|it| it["type"].clone())
        .collect();
    assert_eq!(
        types,
        [
            "order.auction_rescheduled",
            "order.auction_rescheduled",
            "order.status_changed"
        ]
    );
    // The order in `acquiring` stays open and leads now, as its last event shows.
    let order = rival.order(&acquiring).await.ok();
    assert_eq!(order["status"], "acquiring");
    assert_eq!(order["is_highest_bid"], true);
    let events = rival.events_of(&acquiring).await;
    assert_eq!(events.last().unwrap()["data"]["order"], order);
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn new_price_is_announced_to_orders_without_operator_steps() {
    let service = Service::start().await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let (waiting, acquiring) = (
        acme.place_order("glovis_1", 15_000).await.id(),
        rival.place_order("glovis_1", 12_000).await.id(),
    );
    let operator = service.operator();
    operator.takes(&acquiring, &[Transition::Acquire]).await;
    let before = acme.order(&waiting).await;
    operator.reprice("glovis_1", 11_000).await.unwrap();
    operator.reprice("glovis_1", 11_000).await.unwrap();
    let events = acme.events_of(&waiting).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["data"]["previous_listing_usd"], 10_000);
    assert_eq!(events[0]["data"]["listing_usd"], 11_000);
    assert_eq!(acme.order(&waiting).await.body, before.body);
    assert_eq!(rival.events_of(&acquiring).await.len(), 1);
    let vehicle = acme.get("/v1/vehicles/glovis_1").await.ok();
    assert_eq!(vehicle["pricing"]["listing_usd"], 11_000);
    assert_eq!(vehicle["pricing"]["history"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn relisted_vehicle_is_announced_once_on_the_latest_former_order() {
    let service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    let operator = service.operator();
    // All vehicles of the tests have the same VIN and license plate.
    for vehicle in ["glovis_1", "glovis_2"] {
        service.vehicle(Vehicle::lot(vehicle)).await;
    }
    let first = acme.place_order("glovis_1", 12_000).await.id();
    acme.cancel(&first).await.ok();
    let last = acme.place_order("glovis_2", 12_000).await.id();
    acme.cancel(&last).await.ok();
    let open = rival.place_order("glovis_2", 12_000).await.id();

    service.vehicle(Vehicle::lot("sk_3")).await;
    operator.relist("sk_3").await.unwrap();
    operator.relist("sk_3").await.unwrap();
    assert_eq!(acme.events_of(&first).await.len(), 0);
    assert_eq!(rival.events_of(&open).await.len(), 0);
    let events = acme.events_of(&last).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["type"], "order.re_auctioned");
    assert_eq!(events[0]["data"]["new_vehicle_id"], "sk_3");
    assert_eq!(events[0]["data"]["order"], acme.order(&last).await.ok());
}

#[tokio::test]
async fn operator_changes_leave_audit_rows_with_their_request() {
    let bids = Bids::placed().await;
    let operator = bids.service.operator();
    bids.service.auction_was_held("glovis_1").await;
    operator.settle("glovis_1", won(14_000, 0)).await.unwrap();
    let rows: Vec<(String, String, Value)> = sqlx::query_as(
        "select actor, action, details from audit_log where request_id = $1 order by id",
    )
    .bind(operator.actor.request_id.to_string())
    .fetch_all(bids.service.db())
    .await
    .unwrap();
    let (vehicle, orders): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .partition(|(_, action, _)| action == "vehicle.settled");
    // The first order is in `acquiring`; the other two pass through it.
    assert_eq!((vehicle.len(), orders.len()), (1, 5));
    for (actor, action, details) in orders {
        assert_eq!(
            (actor.as_str(), action.as_str()),
            ("operator:test", "order.advanced")
        );
        assert_ne!(details["from"], details["to"]);
    }
}

#[tokio::test]
async fn withdrawn_vehicle_ends_its_orders() {
    let bids = Bids::placed().await;
    bids.service.operator().withdraw("glovis_1").await.unwrap();
    assert_eq!(
        bids.ends().await,
        [
            "failed vehicle_unavailable (acquiring failed)",
            "cancelled seller_withdrew (cancelled)",
            "cancelled seller_withdrew (cancelled)",
        ]
    );
    let stranger = bids.service.partner("stranger").await;
    let reply = stranger.get("/v1/vehicles/glovis_1").await;
    reply.refused(404, Code::VehicleNotFound);
    assert_eq!(
        json!(null),
        stranger.get("/v1/events").await.ok()["next_cursor"]
    );
}
