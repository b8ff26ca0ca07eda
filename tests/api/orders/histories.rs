//! Random histories: partners, the operator and the clock act on a few vehicles, and the service must match the model
//! after each action.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use lmn_partner_api::{
    orders::{
        model::AuctionOutcome,
        operator::AuctionError,
        state_machine::{
            CancellationReason, FailureReason, FulfillmentDetail, Refused, ShipmentChange,
            Transition, TransitionError,
        },
        transitions::TransitionFailed,
    },
    values::string_enum::StringEnum,
};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::model::{
    AuctionResult, Model, ModelVehicle, OperatorStep, Refusal, license_plate, text, vin,
};
use crate::{
    seed::{seed, stream},
    support::{Operator, Partner, Reply, Service, Vehicle, fail_passed, secure, won},
};

const PARTNERS: usize = 4;
/// Number of vehicles that are for sale at any time, and of their identities.
const VEHICLES: usize = 7;
const IDENTITIES: usize = 3;
const ACTIONS: usize = 500;

/// A service and a model to which the same actions are applied.
struct Simulation {
    service: Service,
    operator: Operator,
    partners: Vec<Partner>,
    model: Model,
    rng: StdRng,
    /// Number of times that each action had each outcome.
    outcomes: BTreeMap<String, usize>,
}

impl Simulation {
    async fn start(seed: u64) -> Self {
        let service = Service::start().await;
        let mut partners = Vec::new();
        for n in 0..PARTNERS {
            partners.push(service.partner(&format!("partner {n}")).await);
        }
        let now: DateTime<Utc> = "2026-04-10T03:00:00Z".parse().unwrap();
        let mut simulation = Self {
            operator: service.operator(),
            service,
            partners,
            model: Model::new(now, PARTNERS),
            rng: stream(seed, 1),
            outcomes: BTreeMap::new(),
        };
        simulation.time_is(now).await;
        for _ in 0..VEHICLES {
            simulation.list_vehicle().await;
        }
        simulation
    }

    fn random_below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.rng).unwrap()
    }

    /// Sets the time of all partners, and keeps their clock offsets.
    async fn time_is(&mut self, now: DateTime<Utc>) {
        self.model.now = now;
        self.service.real_time_is(&text(now)).await;
    }

    async fn list_vehicle(&mut self) {
        let n = self.model.vehicles.len();
        let (identity, hours) = (n % IDENTITIES, 48 + 4 * self.random_below(50) as i64);
        let date = (self.random_below(4) > 0).then(|| self.model.now + TimeDelta::hours(hours));
        let vehicle = match date {
            Some(date) => Vehicle::lot(&format!("glovis_{n}")).auction_at(&text(date)),
            None => Vehicle::dealers(&format!("encar_{n}")),
        };
        let vehicle = Vehicle {
            vin: vin(identity),
            license_plate: license_plate(identity),
            ..vehicle
        };
        let id = self.service.vehicle(vehicle).await.id;
        self.model.vehicles.push(ModelVehicle {
            id,
            identity,
            listing_usd: 10_000,
            auction_date: date,
            is_sold: false,
            is_withdrawn: false,
        });
    }

    /// Returns a random vehicle, usually one that is for sale.
    fn vehicle(&mut self) -> usize {
        let vehicles = self.model.vehicles.iter().enumerate();
        let for_sale = vehicles.filter(|(_, it)| !it.is_sold && !it.is_withdrawn);
        let for_sale: Vec<_> = for_sale.map(|(n, _)| n).collect();
        match self.random_below(10) {
            0 => self.random_below(self.model.vehicles.len()),
            _ => self.pick(&for_sale),
        }
    }

    /// Returns a random order, usually an open one.
    fn order(&mut self) -> Option<usize> {
        let orders = self.model.orders.iter().enumerate();
        let open: Vec<_> = orders
            .filter(|(_, it)| !it.is_terminal())
            .map(|(n, _)| n)
            .collect();
        let all = self.model.orders.len();
        if all == 0 {
            return None;
        }
        Some(match self.random_below(8) {
            0 => self.random_below(all),
            _ if open.is_empty() => self.random_below(all),
            _ => self.pick(&open),
        })
    }

    fn price(&mut self) -> i64 {
        10_000 + 1_000 * self.random_below(4) as i64
    }

    /// Takes a random action and returns its description.
    async fn take_action(&mut self) -> String {
        let for_sale = self.model.vehicles.iter();
        if for_sale
            .filter(|it| !it.is_sold && !it.is_withdrawn)
            .count()
            < VEHICLES
        {
            self.list_vehicle().await;
            let n = self.model.vehicles.len() - 1;
            self.operator
                .relist(&self.model.vehicles[n].id)
                .await
                .unwrap();
            self.model.relist(n);
        }
        match self.random_below(100) {
            0..36 => self.place().await,
            36..40 => self.cancel().await,
            40..49 => self.report().await,
            49..70 => self.advance().await,
            70..75 => self.settle().await,
            75..80 => self.reschedule().await,
            80..83 => self.reprice().await,
            83..84 => self.withdraw().await,
            84..86 => self.relist().await,
            86..89 => self.fail_passed().await,
            89..94 => self.wait().await,
            94..97 => self.reset_clock().await,
            _ => {
                let hours = TimeDelta::hours(1 + self.random_below(12) as i64);
                self.time_is(self.model.now + hours).await;
                format!("{} hours pass", hours.num_hours())
            }
        }
    }

    async fn place(&mut self) -> String {
        let (mut partner, mut vehicle) = (self.random_below(PARTNERS), self.vehicle());
        for _ in 0..self.random_below(8) {
            let price = self.model.vehicles[vehicle].listing_usd;
            let bid = self.model.vehicles[vehicle].auction_date.map(|_| price);
            if self.model.may_place(partner, vehicle, bid).is_ok() {
                break;
            }
            (partner, vehicle) = (self.random_below(PARTNERS), self.vehicle());
        }
        let listing = self.model.vehicles[vehicle].listing_usd;
        let mut bids = [0, 1_000, 1_000, 2_000, 3_000, -1].map(|more| Some(listing + more));
        if self.model.vehicles[vehicle].auction_date.is_none() {
            bids[1..].fill(None);
        }
        let bid = if self.random_below(20) == 0 {
            None
        } else {
            self.pick(&bids)
        };
        let reply = self.partners[partner]
            .place_order(&self.model.vehicles[vehicle].id, bid)
            .await;
        let expected = self.model.may_place(partner, vehicle, bid);
        let what = format!("{partner} bids {bid:?} on {vehicle}: {expected:?}");
        match expected {
            Ok(()) => {
                self.model.place(
                    reply.created()["id"].as_str().unwrap().into(),
                    partner,
                    vehicle,
                    bid,
                );
                assert_eq!(reply.json(), self.model.read(self.model.orders.len() - 1));
            }
            Err(code) => assert_eq!(reply.json()["error"]["code"], code, "{what}"),
        }
        self.count_outcome("place", expected);
        what
    }

    async fn cancel(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let reply = self.partner_of(n).cancel(&self.model.orders[n].id).await;
        let expected = self.model.cancel(n);
        self.check_reply(n, "cancel", &reply, expected)
    }

    async fn report(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let values = ["in_transit", "customs", "customs", "delivered"];
        let value = match self.random_below(12) {
            0 => "awaiting_pickup",
            _ => self.pick(&values),
        };
        let member = match value {
            "delivered" => "status",
            _ => "fulfillment_detail",
        };
        let at = "2026-04-09T10:30:00+01:00";
        let report = json!({member: value, "occurred_at": at, "notes": "so we heard"});
        let id = &self.model.orders[n].id;
        let reply = self.partner_of(n).report(id, report).await;
        let expected = self.model.report(n, value, at);
        self.check_reply(n, value, &reply, expected)
    }

    fn partner_of(&self, n: usize) -> &Partner {
        &self.partners[self.model.orders[n].partner]
    }

    /// Checks a reply to a partner against the model.
    fn check_reply(
        &mut self,
        n: usize,
        action: &str,
        reply: &Reply,
        expected: Result<(), Refusal>,
    ) -> String {
        let what = format!("{action} of {n}: {expected:?}");
        let now = self.model.read(n);
        match expected {
            Ok(()) => assert_eq!(reply.ok(), now, "{what}"),
            Err(reason) => {
                let status = if reason == "out_of_sequence" {
                    409
                } else {
                    403
                };
                let details = &reply.expect(status)["error"]["details"];
                assert_eq!(details["reason"], reason, "{what}");
                assert_eq!(details["current_status"], now["status"], "{what}");
                assert_eq!(details["allowed_actions"], now["allowed_actions"]);
            }
        }
        self.count_outcome(action, expected);
        what
    }

    async fn advance(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let price = self.price();
        let likely = match self.model.orders[n].status {
            "proceed" if self.rng.random_bool(0.6) => OperatorStep::Acquire,
            "acquiring" => OperatorStep::Secure(price, 150),
            "secured" => OperatorStep::Ship,
            _ => OperatorStep::Fulfill("awaiting_pickup"),
        };
        let cancelled = [
            "auction_rescheduled_too_soon",
            "auction_cancelled",
            "seller_withdrew",
        ];
        let failed = [
            "outbid",
            "outbid_internally",
            "vehicle_unavailable",
            "auction_cancelled",
        ];
        let steps = [
            OperatorStep::Acquire,
            OperatorStep::Secure(price, 0),
            OperatorStep::Fail(self.pick(&failed)),
            OperatorStep::Cancel(self.pick(&cancelled)),
            OperatorStep::Ship,
            OperatorStep::Fulfill("export_processing"),
            OperatorStep::Shipment("Glovis Sun"),
        ];
        let step = if self.random_below(2) == 0 {
            likely
        } else {
            self.pick(&steps)
        };
        let id = self.model.orders[n].id.clone();
        let result = self.operator.advance(&id, &product_step(step)).await;
        let expected = self.model.advance(n, step);
        self.check_result(&format!("{step:?} {n}"), &result, expected)
    }

    async fn settle(&mut self) -> String {
        let (order, price) = (self.order(), self.price());
        let vehicle = match order.filter(|_| self.rng.random_bool(0.5)) {
            Some(n) => self.model.orders[n].vehicle,
            None => self.vehicle(),
        };
        let lost = [
            AuctionResult::Outbid,
            AuctionResult::Cancelled,
            AuctionResult::Withdrawn,
        ];
        let result = match self.random_below(2) {
            0 => AuctionResult::Won(price, 0),
            _ => self.pick(&lost),
        };
        let outcome = match result {
            AuctionResult::Won(price, _) => won(price, 0),
            AuctionResult::Outbid => AuctionOutcome::Outbid,
            AuctionResult::Cancelled => AuctionOutcome::Cancelled,
            AuctionResult::Withdrawn => AuctionOutcome::Withdrawn,
        };
        if let Some(at) = self
            .model
            .held_at(vehicle)
            .filter(|at| *at > self.model.now)
            && self.rng.random_bool(0.4)
        {
            self.time_is(at).await;
        }
        let settled = self
            .operator
            .settle(&self.model.vehicles[vehicle].id, outcome)
            .await;
        let expected = self.model.settle(vehicle, result);
        self.check_result(&format!("{result:?} {vehicle}"), &settled, expected)
    }

    async fn reschedule(&mut self) -> String {
        let (vehicle, hours) = (self.vehicle(), 4 * self.random_below(40) as i64);
        let date = self.model.now + TimeDelta::hours(hours);
        let id = self.model.vehicles[vehicle].id.clone();
        let result = self.operator.reschedule(&id, &text(date)).await;
        let expected = self.model.reschedule(vehicle, date);
        self.check_result(
            &format!("reschedule {vehicle} to {date}"),
            &result,
            expected,
        )
    }

    async fn reprice(&mut self) -> String {
        let (vehicle, price) = (self.vehicle(), self.price());
        let id = self.model.vehicles[vehicle].id.clone();
        let result = self.operator.reprice(&id, price).await;
        self.model.reprice(vehicle, price);
        self.check_result(&format!("reprice {vehicle} at {price}"), &result, Ok(()))
    }

    async fn withdraw(&mut self) -> String {
        let vehicle = self.vehicle();
        let result = self
            .operator
            .withdraw(&self.model.vehicles[vehicle].id)
            .await;
        self.model.withdraw(vehicle);
        self.check_result(&format!("withdraw {vehicle}"), &result, Ok(()))
    }

    async fn relist(&mut self) -> String {
        let vehicle = self.vehicle();
        let result = self.operator.relist(&self.model.vehicles[vehicle].id).await;
        self.model.relist(vehicle);
        self.check_result(&format!("relist {vehicle}"), &result, Ok(()))
    }

    async fn fail_passed(&mut self) -> String {
        let failed = fail_passed(&self.service.app).await.unwrap();
        assert_eq!(failed, self.model.fail_passed(None));
        let outcome = if failed > 0 {
            "fail passed"
        } else {
            "fail none"
        };
        self.count_outcome(outcome, Ok(()));
        format!("{failed} orders fail")
    }

    async fn wait(&mut self) -> String {
        let (partner, hours) = (
            self.random_below(PARTNERS),
            1 + self.random_below(48) as i64,
        );
        let clock = self.partners[partner].wait(hours * 3_600).await;
        self.model.offset_seconds[partner] += hours * 3_600;
        let failed = self.model.fail_passed(Some(partner));
        let now = text(self.model.now_of(partner));
        let expected = json!({"now": now, "offset_seconds": self.model.offset_seconds[partner], "pending_jobs": 0});
        assert_eq!(clock, expected);
        let outcome = if failed > 0 {
            "wait"
        } else {
            "wait for nothing"
        };
        self.count_outcome(outcome, Ok(()));
        format!("{partner} waits for {hours} h: {failed}")
    }

    async fn reset_clock(&mut self) -> String {
        let partner = self.random_below(PARTNERS);
        self.partners[partner].reset_clock().await;
        self.model.offset_seconds[partner] = 0;
        format!("{partner} resets its clock")
    }

    /// Checks the result of an operator's command against the model.
    fn check_result<T>(
        &mut self,
        what: &str,
        result: &Result<T, AuctionError>,
        expected: Result<(), Refusal>,
    ) -> String {
        let what = format!("{what}: {expected:?}");
        assert_eq!(
            result.as_ref().map(|_| ()).map_err(refusal),
            expected.as_ref().copied().map_err(|it| *it),
            "{what}"
        );
        let kind = what.split([' ', '(']).next().unwrap_or_default().to_owned();
        self.count_outcome(&kind, expected);
        what
    }

    fn count_outcome(&mut self, action: &str, result: Result<(), Refusal>) {
        let result = result.err().unwrap_or("done");
        *self
            .outcomes
            .entry(format!("{action} {result}"))
            .or_default() += 1;
    }

    /// Compares the orders that the action changed in the model, and the number of orders, steps and events.
    async fn compare(&mut self) {
        for n in std::mem::take(&mut self.model.changed) {
            let it = &self.model.orders[n];
            let read = self.partners[it.partner].order(&it.id).await.ok();
            assert_eq!(read, self.model.read(n), "order {n}");
        }
        let orders = &self.model.orders;
        let steps: usize = orders.iter().map(|it| it.history.len()).sum();
        let events: usize = orders.iter().map(|it| it.events.len()).sum();
        assert_eq!(self.service.order_count().await, orders.len() as i64);
        assert_eq!(self.service.step_count().await, steps as i64);
        assert_eq!(self.service.event_count().await, events as i64);
    }

    /// Compares all orders, histories, events and feeds.
    async fn compare_all(&self) {
        for (n, it) in self.model.orders.iter().enumerate() {
            let partner = &self.partners[it.partner];
            assert_eq!(partner.order(&it.id).await.ok(), self.model.read(n));
            let path = format!("/v1/orders/{}/history?limit=100", it.id);
            assert_eq!(partner.rows(&path).await, it.history, "order {n}");
            let mut events = partner.events_of(&it.id).await;
            for event in &mut events {
                event.as_object_mut().unwrap().remove("id");
            }
            assert_eq!(events, it.events, "order {n}");
        }
        for (partner, feed) in self.partners.iter().zip(&self.model.feeds) {
            let stored: Vec<(i64, String, i32)> = sqlx::query_as(
                "select position, payload #>> '{data,order,id}', sequence from events
                 where partner_id = $1 order by position",
            )
            .bind(partner.id)
            .fetch_all(self.service.db())
            .await
            .unwrap();
            let expected = feed.iter().zip(1..).map(|((order, sequence), position)| {
                let id = self.model.orders[*order].id.clone();
                (position, id, i32::try_from(*sequence).unwrap())
            });
            assert_eq!(stored, expected.collect::<Vec<_>>());
        }
    }
}

fn product_step(step: OperatorStep) -> Transition {
    match step {
        OperatorStep::Acquire => Transition::Acquire,
        OperatorStep::Secure(price, fee) => secure(price, i32::try_from(fee).unwrap()),
        OperatorStep::Fail(reason) => Transition::Fail(parse::<FailureReason>(reason)),
        OperatorStep::Cancel(reason) => Transition::Cancel(parse::<CancellationReason>(reason)),
        OperatorStep::Ship => Transition::Ship,
        OperatorStep::Fulfill(detail) => Transition::Fulfill(parse::<FulfillmentDetail>(detail)),
        OperatorStep::Shipment(name) => Transition::Shipment(ShipmentChange {
            vessel_name: Some(Some(name.to_owned())),
            ..ShipmentChange::default()
        }),
    }
}

fn parse<W: StringEnum>(text: &str) -> W {
    W::parse(text).unwrap()
}

fn refusal(error: &AuctionError) -> Refusal {
    match error {
        AuctionError::NoOpenAuction => "no_open_auction",
        AuctionError::NotHeld(_) => "not_held",
        AuctionError::NoBids => "no_bids",
        AuctionError::Transition(TransitionFailed::Step(step)) => match step {
            TransitionError::Refused(_, Refused::OutOfSequence) => "out_of_sequence",
            TransitionError::SecuredByAnother(_) => "secured_by_another",
            TransitionError::PriceAboveBid(_) => "price_above_bid",
            TransitionError::Refused(..) | TransitionError::Unwritable(_) => panic!("{step}"),
        },
        AuctionError::NoSuchVehicle
        | AuctionError::NoSuchOrder
        | AuctionError::OtherResult
        | AuctionError::NotClosed(_)
        | AuctionError::NotWithdrawn
        | AuctionError::Bought
        | AuctionError::Transition(_) => panic!("{error}"),
    }
}

#[tokio::test]
async fn random_history_matches_the_model() {
    let seed = seed();
    let mut simulation = Simulation::start(seed).await;
    for n in 0..ACTIONS {
        let what = simulation.take_action().await;
        eprintln!("{n:>4}  {what}");
        simulation.compare().await;
    }
    simulation.compare_all().await;
    eprintln!("{:#?}", simulation.outcomes);
    for outcome in [
        "place done",
        "place duplicate_order",
        "place past_order_cutoff",
        "place missing_max_bid",
        "cancel done",
        "cancel out_of_sequence",
        "Secure done",
        "reschedule done",
    ] {
        assert!(
            simulation.outcomes.contains_key(outcome),
            "never: {outcome}"
        );
    }
}

/// Selects the rows of each order, without randomly generated ids.
const REMAINING_ROWS: &str = "
    select jsonb_build_object(
        'order', to_jsonb(orders) - '{id,partner_id,request_id,placed_by,transaction_id}'::text[]
            || jsonb_build_object('rendered', replace(rendered, ulid(id), 'id')),
        'partner', (select name from partners where id = partner_id),
        'steps', (select jsonb_agg(to_jsonb(step) - '{order_id,request_id,made_by,transaction_id}'::text[] order by n)
                  from order_steps as step where order_id = orders.id),
        'vehicle', (select vehicle from order_vehicles where order_id = orders.id),
        'replies', (select jsonb_agg(replace(reply_location || convert_from(reply_body, 'UTF8'), ulid(orders.id), 'id')
                                     order by reply_body) from idempotency_keys where order_id = orders.id),
        'audit', (select jsonb_agg(array[action, left(actor, 4)] order by id) from audit_log where subject = ulid(orders.id)),
        'events', (select jsonb_agg(type order by sequence) from events where order_id = orders.id))
    from orders order by accepted_no";

impl Simulation {
    /// Runs a random history and returns the rows it leaves. Orders are placed at once where possible if `is_at_once`,
    /// and otherwise all under the lock of their vehicle.
    async fn remaining_rows(seed: u64, is_at_once: bool) -> Vec<Value> {
        let mut simulation = Self::start(seed).await;
        if !is_at_once {
            simulation.service.disable_placing_in_one_round_trip().await;
        }
        for _ in 0..ACTIONS {
            simulation.take_action().await;
        }
        simulation.compare_all().await;
        let rows = sqlx::query_scalar(REMAINING_ROWS).fetch_all(simulation.service.db());
        rows.await.unwrap()
    }
}

#[tokio::test]
async fn history_leaves_the_same_rows_at_once_and_under_the_lock() {
    let seed = seed();
    let (at_once, under_the_lock) = (
        Simulation::remaining_rows(seed, true).await,
        Simulation::remaining_rows(seed, false).await,
    );
    assert_eq!(at_once.len(), under_the_lock.len());
    for (one, other) in at_once.iter().zip(&under_the_lock) {
        assert_eq!(one, other);
    }
}
