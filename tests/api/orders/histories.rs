//! Histories at random: partners, LMN and time act on a few cars, and after each act the service reads as the model.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use lmn_partner_api::{
    orders::{
        advance::{Advance, AdvanceError, ShipmentChange},
        auction::AuctionError,
        outcome::AuctionOutcome,
        progress::ProgressError,
        state::{CancellationReason, FailureReason, FulfillmentDetail, Refused},
        sweeps::fail_passed,
    },
    word::Word,
};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use reqwest::Method;
use serde_json::{Value, json};

use super::model::{Deed, End, Lot, Refusal, World, plate, text, vin};
use crate::{
    seed::{seed, stream},
    support::{Car, Operator, Partner, Reply, Service, key, secure, won},
};

const PARTNERS: usize = 4;
/// Cars that are for sale at once, and kinds of them.
const CARS: usize = 7;
const KINDS: usize = 3;
const ACTS: usize = 500;

/// The service and its model, side by side.
struct Play {
    service: Service,
    operator: Operator,
    partners: Vec<Partner>,
    world: World,
    chance: StdRng,
    /// How often what was refused, or not.
    came: BTreeMap<String, usize>,
}

impl Play {
    async fn begin(seed: u64) -> Self {
        let service = Service::start().await;
        let mut partners = Vec::new();
        for n in 0..PARTNERS {
            partners.push(service.partner(&format!("partner {n}")).await);
        }
        let now: DateTime<Utc> = "2026-04-10T03:00:00Z".parse().unwrap();
        let mut play = Self {
            operator: service.operator(),
            service,
            partners,
            world: World::new(now, PARTNERS),
            chance: stream(seed, 1),
            came: BTreeMap::new(),
        };
        play.time_is(now).await;
        for _ in 0..CARS {
            play.list_car().await;
        }
        play
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.chance.random_range(0..sides)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.chance).unwrap()
    }

    /// Moves everybody's time; what each is ahead stays.
    async fn time_is(&mut self, now: DateTime<Utc>) {
        self.world.now = now;
        let statement = format!(
            "create or replace function lmn_now(offset_seconds bigint) returns timestamptz
             language sql volatile return timestamptz '{}' + make_interval(secs => offset_seconds)",
            text(now)
        );
        self.service.sql(&statement).await;
    }

    async fn list_car(&mut self) {
        let n = self.world.cars.len();
        let (kind, hours) = (n % KINDS, 48 + 4 * self.roll(50) as i64);
        let date = (self.roll(4) > 0).then(|| self.world.now + TimeDelta::hours(hours));
        let car = match date {
            Some(date) => {
                Car::lot(&format!("glovis_{n}")).on(&format!("timestamptz '{}'", text(date)))
            }
            None => Car::dealers(&format!("encar_{n}")),
        };
        let id = self.service.car(car).await.id;
        let (vin, plate) = (vin(kind), plate(kind));
        let named = format!(
            "update vehicles set vin = '{vin}', license_plate = '{plate}' where id = '{id}'"
        );
        self.service.sql(&named).await;
        self.world.cars.push(Lot {
            id,
            kind,
            listing: 10_000,
            date,
            is_sold: false,
            is_withdrawn: false,
        });
    }

    /// A car, mostly one that is for sale.
    fn car(&mut self) -> usize {
        let cars = self.world.cars.iter().enumerate();
        let live = cars.filter(|(_, it)| !it.is_sold && !it.is_withdrawn);
        let live: Vec<_> = live.map(|(n, _)| n).collect();
        match self.roll(10) {
            0 => self.roll(self.world.cars.len()),
            _ => self.pick(&live),
        }
    }

    /// An order, mostly one that goes on.
    fn order(&mut self) -> Option<usize> {
        let orders = self.world.orders.iter().enumerate();
        let open: Vec<_> = orders
            .filter(|(_, it)| !it.is_done())
            .map(|(n, _)| n)
            .collect();
        let all = self.world.orders.len();
        if all == 0 {
            return None;
        }
        Some(match self.roll(8) {
            0 => self.roll(all),
            _ if open.is_empty() => self.roll(all),
            _ => self.pick(&open),
        })
    }

    fn price(&mut self) -> i64 {
        10_000 + 1_000 * self.roll(4) as i64
    }

    /// Lets somebody do something, and returns what.
    async fn act(&mut self) -> String {
        let live = self.world.cars.iter();
        if live.filter(|it| !it.is_sold && !it.is_withdrawn).count() < CARS {
            self.list_car().await;
            let n = self.world.cars.len() - 1;
            self.operator.relist(&self.world.cars[n].id).await.unwrap();
            self.world.relist(n);
        }
        match self.roll(100) {
            0..36 => self.place().await,
            36..40 => self.cancel().await,
            40..49 => self.report().await,
            49..70 => self.advance().await,
            70..75 => self.settle().await,
            75..80 => self.reschedule().await,
            80..83 => self.reprice().await,
            83..84 => self.withdraw().await,
            84..86 => self.relist().await,
            86..89 => self.sweep().await,
            89..94 => self.wait().await,
            94..97 => self.reset().await,
            _ => {
                let hours = TimeDelta::hours(1 + self.roll(12) as i64);
                self.time_is(self.world.now + hours).await;
                format!("{} hours pass", hours.num_hours())
            }
        }
    }

    async fn place(&mut self) -> String {
        let (mut partner, mut car) = (self.roll(PARTNERS), self.car());
        for _ in 0..self.roll(8) {
            let price = self.world.cars[car].listing;
            let bid = self.world.cars[car].date.map(|_| price);
            if self.world.may_place(partner, car, bid).is_ok() {
                break;
            }
            (partner, car) = (self.roll(PARTNERS), self.car());
        }
        let listing = self.world.cars[car].listing;
        let mut bids = [0, 1_000, 1_000, 2_000, 3_000, -1].map(|more| Some(listing + more));
        if self.world.cars[car].date.is_none() {
            bids[1..].fill(None);
        }
        let bid = if self.roll(20) == 0 {
            None
        } else {
            self.pick(&bids)
        };
        let reply = self.partners[partner]
            .place_order(&self.world.cars[car].id, bid)
            .await;
        let may = self.world.may_place(partner, car, bid);
        let what = format!("{partner} bids {bid:?} on {car}: {may:?}");
        match may {
            Ok(()) => {
                self.world.place(
                    reply.created()["id"].as_str().unwrap().into(),
                    partner,
                    car,
                    bid,
                );
                assert_eq!(reply.json(), self.world.read(self.world.orders.len() - 1));
            }
            Err(code) => assert_eq!(reply.json()["error"]["code"], code, "{what}"),
        }
        self.note("place", may);
        what
    }

    async fn cancel(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let reply = self.partner_of(n).cancel(&self.world.orders[n].id).await;
        let may = self.world.cancel(n);
        self.answered(n, "cancel", &reply, may)
    }

    async fn report(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let words = ["in_transit", "customs", "customs", "delivered"];
        let word = match self.roll(12) {
            0 => "awaiting_pickup",
            _ => self.pick(&words),
        };
        let member = match word {
            "delivered" => "status",
            _ => "fulfillment_detail",
        };
        let at = "2026-04-09T10:30:00+01:00";
        let report = json!({member: word, "occurred_at": at, "notes": "so we heard"});
        let id = &self.world.orders[n].id;
        let reply = self.partner_of(n).report(id, report).await;
        let may = self.world.report(n, word, at);
        self.answered(n, word, &reply, may)
    }

    fn partner_of(&self, n: usize) -> &Partner {
        &self.partners[self.world.orders[n].partner]
    }

    /// Holds what a partner was answered to the model.
    fn answered(&mut self, n: usize, act: &str, reply: &Reply, may: Result<(), Refusal>) -> String {
        let what = format!("{act} of {n}: {may:?}");
        let now = self.world.read(n);
        match may {
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
        self.note(act, may);
        what
    }

    async fn advance(&mut self) -> String {
        let Some(n) = self.order() else {
            return "nothing".into();
        };
        let price = self.price();
        let likely = match self.world.orders[n].status {
            "proceed" if self.chance.random_bool(0.6) => Deed::Acquire,
            "acquiring" => Deed::Secure(price, 150),
            "secured" => Deed::Ship,
            _ => Deed::Fulfill("awaiting_pickup"),
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
        let deeds = [
            Deed::Acquire,
            Deed::Secure(price, 0),
            Deed::Fail(self.pick(&failed)),
            Deed::Cancel(self.pick(&cancelled)),
            Deed::Ship,
            Deed::Fulfill("export_processing"),
            Deed::Vessel("Glovis Sun"),
        ];
        let deed = if self.roll(2) == 0 {
            likely
        } else {
            self.pick(&deeds)
        };
        let id = self.world.orders[n].id.clone();
        let came = self.operator.advance(&id, &advance_of(deed)).await;
        let may = self.world.advance(n, deed);
        self.done(&format!("{deed:?} {n}"), &came, may)
    }

    async fn settle(&mut self) -> String {
        let (order, price) = (self.order(), self.price());
        let car = match order.filter(|_| self.chance.random_bool(0.5)) {
            Some(n) => self.world.orders[n].car,
            None => self.car(),
        };
        let ends = [End::Outbid, End::Cancelled, End::Withdrawn];
        let end = match self.roll(2) {
            0 => End::Won(price, 0),
            _ => self.pick(&ends),
        };
        let outcome = match end {
            End::Won(price, _) => won(price, 0),
            End::Outbid => AuctionOutcome::Outbid,
            End::Cancelled => AuctionOutcome::Cancelled,
            End::Withdrawn => AuctionOutcome::Withdrawn,
        };
        let came = self
            .operator
            .settle(&self.world.cars[car].id, outcome)
            .await;
        let may = self.world.settle(car, end);
        self.done(&format!("{end:?} {car}"), &came, may)
    }

    async fn reschedule(&mut self) -> String {
        let (car, hours) = (self.car(), 4 * self.roll(40) as i64);
        let date = self.world.now + TimeDelta::hours(hours);
        let id = self.world.cars[car].id.clone();
        let came = self.operator.reschedule(&id, &text(date)).await;
        let may = self.world.reschedule(car, date);
        self.done(&format!("move {car} to {date}"), &came, may)
    }

    async fn reprice(&mut self) -> String {
        let (car, price) = (self.car(), self.price());
        let id = self.world.cars[car].id.clone();
        let came = self.operator.reprice(&id, price).await;
        self.world.reprice(car, price);
        self.done(&format!("price {car} at {price}"), &came, Ok(()))
    }

    async fn withdraw(&mut self) -> String {
        let car = self.car();
        let came = self.operator.withdraw(&self.world.cars[car].id).await;
        self.world.withdraw(car);
        self.done(&format!("withdraw {car}"), &came, Ok(()))
    }

    async fn relist(&mut self) -> String {
        let car = self.car();
        let came = self.operator.relist(&self.world.cars[car].id).await;
        self.world.relist(car);
        self.done(&format!("relist {car}"), &came, Ok(()))
    }

    async fn sweep(&mut self) -> String {
        let failed = fail_passed(&self.service.app).await.unwrap();
        assert_eq!(failed, self.world.sweep(None));
        let some = if failed > 0 {
            "sweep"
        } else {
            "sweep of nothing"
        };
        self.note(some, Ok(()));
        format!("sweep {failed}")
    }

    async fn wait(&mut self) -> String {
        let (partner, hours) = (self.roll(PARTNERS), 1 + self.roll(48) as i64);
        let clock = self.partners[partner].wait(hours * 3_600).await;
        self.world.ahead[partner] += hours * 3_600;
        let failed = self.world.sweep(Some(partner));
        let now = text(self.world.now_of(partner));
        let expected =
            json!({"now": now, "offset_seconds": self.world.ahead[partner], "pending_jobs": 0});
        assert_eq!(clock, expected);
        let some = if failed > 0 {
            "wait"
        } else {
            "wait for nothing"
        };
        self.note(some, Ok(()));
        format!("{partner} waits for {hours} h: {failed}")
    }

    async fn reset(&mut self) -> String {
        let partner = self.roll(PARTNERS);
        let ask = self.partners[partner].ask(Method::DELETE, "/v1/sandbox/clock");
        ask.key(&key()).send().await.ok();
        self.world.ahead[partner] = 0;
        format!("{partner} is back")
    }

    /// Holds what LMN was told to the model.
    fn done<T>(
        &mut self,
        what: &str,
        came: &Result<T, AuctionError>,
        may: Result<(), Refusal>,
    ) -> String {
        let what = format!("{what}: {may:?}");
        assert_eq!(
            came.as_ref().map(|_| ()).map_err(refusal),
            may.as_ref().copied().map_err(|it| *it),
            "{what}"
        );
        let kind = what.split([' ', '(']).next().unwrap_or_default().to_owned();
        self.note(&kind, may);
        what
    }

    fn note(&mut self, act: &str, came: Result<(), Refusal>) {
        let came = came.err().unwrap_or("done");
        *self.came.entry(format!("{act} {came}")).or_default() += 1;
    }

    /// Compares what the act can have changed, and counts all there is.
    async fn compare(&mut self) {
        for n in std::mem::take(&mut self.world.touched) {
            let it = &self.world.orders[n];
            let read = self.partners[it.partner].order(&it.id).await.ok();
            assert_eq!(read, self.world.read(n), "order {n}");
        }
        let orders = &self.world.orders;
        let steps: usize = orders.iter().map(|it| it.history.len()).sum();
        let events: usize = orders.iter().map(|it| it.events.len()).sum();
        let counted: (i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from orders), (select count(*) from order_history), (select count(*) from events)",
        )
        .fetch_one(self.service.db())
        .await
        .unwrap();
        assert_eq!(counted, (orders.len() as i64, steps as i64, events as i64));
    }

    /// Compares everything there is.
    async fn compare_all(&self) {
        for (n, it) in self.world.orders.iter().enumerate() {
            let partner = &self.partners[it.partner];
            assert_eq!(partner.order(&it.id).await.ok(), self.world.read(n));
            let path = format!("/v1/orders/{}/history?limit=100", it.id);
            assert_eq!(partner.rows(&path).await, it.history, "order {n}");
            let mut events = partner.events_of(&it.id).await;
            for event in &mut events {
                event.as_object_mut().unwrap().remove("id");
            }
            assert_eq!(events, it.events, "order {n}");
        }
        for (partner, feed) in self.partners.iter().zip(&self.world.feeds) {
            let told: Vec<(i64, String, i32)> = sqlx::query_as(
                "select position, payload #>> '{data,order,id}', sequence from events
                 where partner_id = $1 order by position",
            )
            .bind(partner.id)
            .fetch_all(self.service.db())
            .await
            .unwrap();
            let expected = feed.iter().zip(1..).map(|((order, sequence), position)| {
                let id = self.world.orders[*order].id.clone();
                (position, id, i32::try_from(*sequence).unwrap())
            });
            assert_eq!(told, expected.collect::<Vec<_>>());
        }
    }
}

fn advance_of(deed: Deed) -> Advance {
    match deed {
        Deed::Acquire => Advance::Acquire,
        Deed::Secure(price, fee) => secure(price, i32::try_from(fee).unwrap()),
        Deed::Fail(reason) => Advance::Fail(word::<FailureReason>(reason)),
        Deed::Cancel(reason) => Advance::Cancel(word::<CancellationReason>(reason)),
        Deed::Ship => Advance::Ship,
        Deed::Fulfill(detail) => Advance::Fulfill(word::<FulfillmentDetail>(detail)),
        Deed::Vessel(name) => Advance::Shipment(ShipmentChange {
            vessel_name: Some(Some(name.to_owned())),
            ..ShipmentChange::default()
        }),
    }
}

fn word<W: Word>(text: &str) -> W {
    W::parse(text).unwrap()
}

fn refusal(error: &AuctionError) -> Refusal {
    match error {
        AuctionError::NoOpenAuction => "no_open_auction",
        AuctionError::NobodyBids => "nobody_bids",
        AuctionError::Progress(ProgressError::Step(step)) => match step {
            AdvanceError::Refused(_, Refused::OutOfSequence) => "out_of_sequence",
            AdvanceError::SecuredByAnother(_) => "secured_by_another",
            AdvanceError::PriceAboveBid(_) => "price_above_bid",
            AdvanceError::Refused(..) | AdvanceError::Unwritable(_) => panic!("{step}"),
        },
        AuctionError::NoSuchVehicle
        | AuctionError::NoSuchOrder
        | AuctionError::NotWithdrawn
        | AuctionError::Bought
        | AuctionError::Progress(_) => panic!("{error}"),
    }
}

#[tokio::test]
async fn whatever_happens_the_service_reads_as_the_contract_says() {
    let seed = seed();
    let mut play = Play::begin(seed).await;
    for n in 0..ACTS {
        let what = play.act().await;
        eprintln!("{n:>4}  {what}");
        play.compare().await;
    }
    play.compare_all().await;
    eprintln!("{:#?}", play.came);
    for often in [
        "place done",
        "place duplicate_order",
        "place past_order_cutoff",
        "place missing_max_bid",
        "cancel done",
        "cancel out_of_sequence",
        "Secure done",
        "move done",
    ] {
        assert!(play.came.contains_key(often), "never: {often}");
    }
}

/// What orders leave in the tables but for names that chance gave, order by order.
const LEFT: &str = "
    select jsonb_build_object(
        'order', to_jsonb(orders) - '{id,partner_id,request_id,placed_by}'::text[]
            || jsonb_build_object('rendered', replace(rendered, ulid(id), 'id')),
        'partner', (select name from partners where id = partner_id),
        'steps', (select jsonb_agg(to_jsonb(step) - '{order_id,request_id,made_by}'::text[] order by n)
                  from order_steps as step where order_id = orders.id),
        'vehicle', (select vehicle from order_vehicles where order_id = orders.id),
        'replies', (select jsonb_agg(replace(reply_location || convert_from(reply_body, 'UTF8'), ulid(orders.id), 'id')
                                     order by reply_body) from idempotency_keys where order_id = orders.id),
        'audit', (select jsonb_agg(array[action, left(actor, 4)] order by id) from audit_log where subject = ulid(orders.id)),
        'events', (select jsonb_agg(type order by sequence) from events where order_id = orders.id))
    from orders order by accepted_no";

impl Play {
    /// Plays a history, with every order decided under its vehicle's lock or, where nothing is in doubt, at once.
    async fn played(seed: u64, is_at_once: bool) -> Vec<Value> {
        let mut play = Self::begin(seed).await;
        if !is_at_once {
            play.service.decides_nothing_at_once().await;
        }
        for _ in 0..ACTS {
            play.act().await;
        }
        play.compare_all().await;
        let rows = sqlx::query_scalar(LEFT).fetch_all(play.service.db());
        rows.await.unwrap()
    }
}

#[tokio::test]
async fn history_leaves_the_same_rows_whether_orders_are_placed_at_once_or_under_the_lock() {
    let seed = seed();
    let (at_once, under_the_lock) = (
        Play::played(seed, true).await,
        Play::played(seed, false).await,
    );
    assert_eq!(at_once.len(), under_the_lock.len());
    for (one, other) in at_once.iter().zip(&under_the_lock) {
        assert_eq!(one, other);
    }
}
