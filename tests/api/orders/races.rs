//! Races: partners, the operator and scheduled jobs act on one vehicle concurrently. The table of states holds, and each
//! refusal names a state that the order was in.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use lmn_partner_api::{
    errors::catalogue::Code,
    orders::{
        model::AuctionOutcome,
        operator::AuctionError,
        state_machine::{
            CancellationReason, FailureReason, FulfillmentDetail, Transition, TransitionError,
        },
        transitions::TransitionFailed,
    },
    router::router,
};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::model::{cutoff, text};
use crate::{
    database::TestDatabase,
    seed::{seed, stream},
    support::{Operator, Partner, Reply, Service, Vehicle, fail_passed, secure, settings, won},
};

/// Violations of the invariants of the tables: a description, and a query that counts them.
const VIOLATIONS: [(&str, &str); 8] = [
    (
        "a step that is not allowed",
        "with steps as (
             select *, lag(status) over (partition by order_id order by n) as was from order_history)
         select count(*) from steps where not case n when 1 then status = 'proceed' and by = 'partner' else (was, status, by) in (
             ('proceed', 'cancelled', 'partner'), ('proceed', 'cancelled', 'operator'),
             ('proceed', 'failed', 'automatic'), ('proceed', 'acquiring', 'operator'),
             ('acquiring', 'secured', 'operator'), ('acquiring', 'failed', 'operator'),
             ('secured', 'shipping', 'operator'), ('shipping', 'shipping', 'operator'),
             ('shipping', 'shipping', 'partner'), ('shipping', 'delivered', 'partner')) end",
    ),
    (
        "a history with a gap, or an order whose status is not that of its last step",
        "select count(*) from (
             select from orders join order_history on order_id = orders.id group by orders.id
             having max(n) <> count(*) or orders.status <> (array_agg(order_history.status order by n desc))[1]
                 or orders.fulfillment_detail is distinct from (array_agg(order_history.fulfillment_detail order by n desc))[1]
         ) broken",
    ),
    (
        "an order whose events have a gap",
        "select count(*) from (
             select from orders left join events on order_id = orders.id group by orders.id
             having coalesce(max(sequence), 0) <> count(sequence) or last_sequence <> count(sequence)) broken",
    ),
    (
        "a feed with a gap",
        "select count(*) from (
             select from events join event_feeds using (partner_id) group by partner_id, last_position
             having max(position) <> count(*) or min(position) <> 1 or last_position <> count(*)) broken",
    ),
    (
        "a step of the operator or of a job without its event",
        "select count(*) from orders
         where array(select status from order_history
                     where order_id = orders.id and by <> 'partner' and status <> 'shipping' order by n)
            <> array(select payload #>> '{data,order,status}' from events
                     where order_id = orders.id and type = 'order.status_changed'
                       and payload #>> '{data,order,status}' <> 'shipping' order by sequence)",
    ),
    (
        "a vehicle that was bought twice",
        "select count(*) from (
             select from orders where status in ('secured', 'shipping', 'delivered')
             group by vehicle_id having count(*) > 1) broken",
    ),
    (
        "a bid that was outbid by a lower one, or by a later one that is as high",
        "select count(*) from orders as loser where failure_reason = 'outbid_internally' and not exists (
             select from orders as winner
             where winner.vehicle_id = loser.vehicle_id and winner.status in ('secured', 'shipping', 'delivered')
               and (winner.max_bid_usd, -winner.accepted_no) > (loser.max_bid_usd, -loser.accepted_no)
               and winner.final_is_highest and not loser.final_is_highest
               and loser.final_highest_bid_usd = winner.max_bid_usd)",
    ),
    (
        "an open order on a sold or withdrawn vehicle",
        "select count(*) from orders join vehicles on vehicles.id = vehicle_id
         where status in ('proceed', 'acquiring') and (auction_result = 'sold' or withdrawn_at is not null)",
    ),
];

/// A service with some partners, shared by concurrent tasks.
struct Race {
    service: Service,
    partners: Vec<Partner>,
}

impl Race {
    async fn with_partners(partners: usize) -> Arc<Self> {
        let database = TestDatabase::with_connections(12).await;
        // A step of the job concerns one vehicle at most, so that concurrent actions reach the others.
        let settings = [settings::database_connections_max(12), ("JOBS__BATCH", "1")];
        let service = Service::on(database, &settings, router).await;
        let mut all = Vec::new();
        for n in 0..partners {
            all.push(service.partner(&format!("partner {n}")).await);
        }
        Arc::new(Self {
            service,
            partners: all,
        })
    }

    fn operator(&self) -> Operator {
        self.service.operator()
    }

    /// Adds a vehicle, places one order on it for each bid, by the first partners, and returns the ids.
    async fn place_orders(&self, vehicle: Vehicle, bids: &[Option<i64>]) -> Vec<String> {
        let vehicle = self.service.vehicle(vehicle).await.id;
        let mut ids = Vec::new();
        for (partner, bid) in self.partners.iter().zip(bids) {
            ids.push(partner.place_order(&vehicle, *bid).await.id());
        }
        ids
    }

    async fn statuses(&self, id: &str) -> Vec<String> {
        let path = "select history.status from order_history as history join orders on orders.id = order_id
                    join idempotency_keys using (order_id)
                    where reply_location = '/v1/orders/' || $1 order by n";
        let rows = sqlx::query_scalar(path)
            .bind(id)
            .fetch_all(self.service.db());
        rows.await.unwrap()
    }

    /// Sends a request of a partner and returns whether it succeeded. A refusal must name a status that the order had
    /// while the request was in progress.
    async fn attempt(&self, id: &str, ask: impl Future<Output = Reply>) -> bool {
        let before = self.statuses(id).await;
        let reply = ask.await;
        if reply.status == 200 {
            return true;
        }
        let details = reply.refused(409, Code::InvalidStatusTransition);
        let after = self.statuses(id).await;
        let named = details["current_status"].as_str().unwrap();
        let was = after[before.len() - 1..].iter().any(|it| it == named);
        assert!(was, "{named} of {before:?} to {after:?}");
        false
    }

    async fn cancels(&self, partner: usize, id: &str) -> bool {
        self.attempt(id, self.partners[partner].cancel(id)).await
    }

    async fn reports(&self, partner: usize, id: &str, report: (&str, &str)) -> bool {
        let body = json!({report.0: report.1, "occurred_at": "2026-03-01T10:30:00+01:00"});
        self.attempt(id, self.partners[partner].report(id, body))
            .await
    }

    /// Makes a step of the operator; returns whether it succeeded.
    async fn steps(&self, id: &str, step: &Transition) -> bool {
        is_done(self.operator().advance(id, step).await)
    }

    async fn assert_no_violations(&self) {
        for (what, query) in VIOLATIONS {
            assert_eq!(self.service.count(query).await, 0, "{what}");
        }
    }
}

/// Returns whether an operator's command succeeded; panics on a database error.
#[track_caller]
fn is_done<T>(result: Result<T, AuctionError>) -> bool {
    match result {
        Err(AuctionError::Transition(TransitionFailed::Database(error))) => panic!("{error}"),
        result => result.is_ok(),
    }
}

/// Returns `false`, so that the outcome of an action is not counted.
fn uncounted(_: bool) -> bool {
    false
}

/// Runs all actions concurrently, and returns how many of them succeeded.
macro_rules! concurrently {
    ($race:ident, $($act:expr),+ $(,)?) => {{
        let mut tasks = JoinSet::new();
        $(tasks.spawn({ let $race = $race.clone(); async move { ($act).await } });)+
        tasks.join_all().await.into_iter().filter(|done| *done).count()
    }};
}

const ROUNDS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_cancelled_or_acquired_and_never_both() {
    let race = Race::with_partners(1).await;
    let cancel_step = Transition::Cancel(CancellationReason::AuctionCancelled);
    let fail_step = Transition::Fail(FailureReason::Outbid);
    for round in 0..ROUNDS {
        let vehicle = Vehicle::lot(&format!("glovis_{round}"));
        let id = &*race
            .place_orders(vehicle, &[Some(12_000)])
            .await
            .remove(0)
            .leak();
        let (cancel_step, fail_step) = (cancel_step.clone(), fail_step.clone());
        let failed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let failing = failed.clone();
        let done = concurrently!(
            race,
            race.cancels(0, id),
            race.steps(id, &Transition::Acquire),
            race.cancels(0, id),
            race.steps(id, &cancel_step),
            race.reports(0, id, ("fulfillment_detail", "in_transit")),
            race.steps(id, &Transition::Acquire),
            async {
                let done = race.steps(id, &fail_step).await;
                failing.fetch_add(usize::from(done), std::sync::atomic::Ordering::SeqCst);
                false
            },
        );
        assert_eq!(done, 1, "{:?}", race.statuses(id).await);
        let failed = failed.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(race.statuses(id).await.len(), 2 + failed);
    }
    race.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_delivered_once_despite_concurrent_reports_and_steps() {
    let race = Race::with_partners(1).await;
    for round in 0..ROUNDS {
        let vehicle = Vehicle::lot(&format!("glovis_{round}"));
        let id = &*race
            .place_orders(vehicle, &[Some(12_000)])
            .await
            .remove(0)
            .leak();
        race.operator().ships(id).await;
        let done = concurrently!(
            race,
            race.reports(0, id, ("status", "delivered")),
            async {
                race.reports(0, id, ("fulfillment_detail", "in_transit"))
                    .await;
                false
            },
            async {
                let step = Transition::Fulfill(FulfillmentDetail::AwaitingPickup);
                race.steps(id, &step).await;
                false
            },
            race.reports(0, id, ("status", "delivered")),
            async {
                race.reports(0, id, ("fulfillment_detail", "customs")).await;
                false
            },
            race.cancels(0, id),
        );
        assert_eq!(done, 1);
        assert_eq!(race.statuses(id).await.last().unwrap(), "delivered");
    }
    race.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auction_is_won_once_despite_concurrent_bids_cancellations_and_clock_moves() {
    let race = Race::with_partners(5).await;
    let first: DateTime<Utc> = "2026-04-10T03:00:00Z".parse().unwrap();
    for round in 0..ROUNDS as i64 {
        let now = first + TimeDelta::days(20 * round);
        race.service.real_time_is(&text(now)).await;
        let date = now + TimeDelta::days(10);
        let vehicle = Vehicle::lot(&format!("glovis_{round}"));
        let vehicle = vehicle.auction_at(&text(date));
        let lot = &*vehicle.id.clone().leak();
        let bids = [Some(15_000), Some(15_000), Some(12_000)];
        for partner in &race.partners[..bids.len()] {
            partner.reset_clock().await;
        }
        let ids: &[String] = race.place_orders(vehicle, &bids).await.leak();
        // The auction is over for these partners, while others can still bid.
        for partner in &race.partners[..bids.len()] {
            partner.wait(10 * 86_400).await;
        }
        let settles = concurrently!(
            race,
            async { uncounted(race.cancels(0, &ids[0]).await) },
            async { is_done(race.operator().settle(lot, won(11_000, 0)).await) },
            bids_or_is_late(&race.partners[3], lot, 16_000),
            async {
                let later = text(date + TimeDelta::days(3 - 12 * (round % 2)));
                uncounted(is_done(race.operator().reschedule(lot, &later).await))
            },
            async { uncounted(race.cancels(2, &ids[2]).await) },
            async { uncounted(race.steps(&ids[1], &Transition::Acquire).await) },
            bids_or_is_late(&race.partners[4], lot, 15_000),
            async { is_done(race.operator().settle(lot, won(10_000, 0)).await) },
            async {
                if round % 3 == 0 {
                    race.service.real_time_is(&text(cutoff(date))).await;
                }
                false
            },
        );
        assert!(settles <= 1, "{lot} was won twice");
        let secured = format!(
            "select count(*) from orders where status = 'secured' and vehicle_id = '{lot}'"
        );
        assert_eq!(race.service.count(&secured).await, settles as i64);
    }
    let late = "select count(*) from orders where created_at >= order_cutoff_at
                and cancellation_reason is distinct from 'auction_rescheduled_too_soon'
                and not exists (select from events where order_id = orders.id and type = 'order.auction_rescheduled')";
    assert_eq!(race.service.count(late).await, 0, "a bid after the cutoff");
    assert!(race.service.order_count_in("secured").await > 0);
    race.assert_no_violations().await;
}

/// Places an order that must be accepted or past its cutoff; returns `false`, so that it is not counted.
async fn bids_or_is_late(partner: &Partner, vehicle: &str, bid: i64) -> bool {
    let reply = partner.place_order(vehicle, bid).await;
    if reply.status != 201 {
        reply.refused(409, Code::PastOrderCutoff);
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vehicle_is_secured_for_one_of_several_concurrent_orders() {
    let race = Race::with_partners(3).await;
    for round in 0..2 * ROUNDS {
        let (vehicle, bid) = match round % 2 {
            0 => (Vehicle::lot(&format!("glovis_{round}")), Some(12_000)),
            _ => (Vehicle::dealers(&format!("encar_{round}")), None),
        };
        let ids: &[String] = race.place_orders(vehicle, &[bid; 3]).await.leak();
        for id in &ids[..2] {
            race.operator().takes(id, &[Transition::Acquire]).await;
        }
        let done = concurrently!(
            race,
            race.steps(&ids[0], &secure(11_000, 0)),
            race.steps(&ids[1], &secure(11_500, 0)),
            async { uncounted(race.cancels(2, &ids[2]).await) },
            race.steps(&ids[0], &secure(10_000, 0)),
        );
        assert_eq!(done, 1);
        let [one, other] = [&ids[0], &ids[1]].map(|id| race.statuses(id));
        let mut ends = [one.await.pop().unwrap(), other.await.pop().unwrap()];
        ends.sort();
        // The other bid on an unsettled lot stays open; the other order on a buy-now vehicle fails.
        let left = if bid.is_some() { "acquiring" } else { "failed" };
        assert_eq!(ends, [left, "secured"]);
        if let Some(loser) = acquiring_order(race.service.db(), &ids[..2]).await {
            let again = race.operator().advance(&loser, &secure(9_000, 0)).await;
            let again = again.unwrap_err();
            assert!(matches!(
                again,
                AuctionError::Transition(TransitionFailed::Step(
                    TransitionError::SecuredByAnother(_)
                ))
            ));
        }
    }
    race.assert_no_violations().await;
}

async fn acquiring_order(db: &PgPool, ids: &[String]) -> Option<String> {
    let query = "select substring(reply_location from '[^/]*$') from idempotency_keys
                 join orders on orders.id = order_id
                 where status = 'acquiring' and substring(reply_location from '[^/]*$') = any($1)";
    sqlx::query_scalar(query)
        .bind(ids)
        .fetch_optional(db)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_past_its_auction_is_failed_acquired_or_cancelled_once() {
    let race = Race::with_partners(3).await;
    for round in 0..4 {
        let mut orders = Vec::new();
        for n in 0..10 {
            let vehicle = Vehicle::lot(&format!("glovis_{round}_{n}"));
            orders.push(race.place_orders(vehicle, &[Some(12_000); 3]).await);
        }
        race.service.set_clocks_ahead(12).await;
        let mut tasks = JoinSet::new();
        for (n, ids) in orders.into_iter().enumerate() {
            for (partner, id) in ids.into_iter().enumerate() {
                let race = race.clone();
                tasks.spawn(async move {
                    match (n + partner) % 3 {
                        0 => usize::from(race.cancels(partner, &id).await),
                        1 => usize::from(race.steps(&id, &Transition::Acquire).await),
                        _ => fail_passed(&race.service.app).await.unwrap(),
                    }
                });
            }
        }
        let acted: usize = tasks.join_all().await.into_iter().sum();
        let mut failed = acted;
        loop {
            match fail_passed(&race.service.app).await.unwrap() {
                0 => break,
                more => failed += more,
            }
        }
        assert_eq!(failed, 30, "each order has gone one way");
        race.service.set_clocks_ahead(0).await;
    }
    race.assert_no_violations().await;
}

/// Takes a random action on one of the vehicles: an order is placed, or an existing one is acted on.
async fn random_action(race: &Race, rng: &mut StdRng) {
    let n = rng.random_range(0..8);
    let vehicle = match n {
        0..6 => format!("glovis_{n}"),
        _ => format!("encar_{n}"),
    };
    let order: Option<String> = sqlx::query_scalar(
        "select substring(reply_location from '[^/]*$') from idempotency_keys join orders on orders.id = order_id
         where reply_location like '/v1/orders/%' and vehicle_id = $1 order by random() limit 1",
    )
    .bind(&vehicle)
    .fetch_optional(race.service.db())
    .await
    .unwrap();
    match order.filter(|_| rng.random_bool(0.6)) {
        Some(order) => random_order_action(race, &vehicle, &order, rng).await,
        None => {
            let partner = &race.partners[rng.random_range(0..race.partners.len())];
            let bid = (n < 6).then(|| 10_000 + 1_000 * rng.random_range(0..4_i64));
            let reply = partner.place_order(&vehicle, bid).await;
            assert!(reply.status < 500, "{reply:?}");
        }
    }
}

/// Takes a random action on an order or its vehicle.
async fn random_order_action(race: &Race, vehicle: &str, order: &str, rng: &mut StdRng) {
    let partner = &race.partners[rng.random_range(0..race.partners.len())];
    let operator = race.operator();
    let result = match rng.random_range(0..18) {
        0..3 => {
            let reply = partner.cancel(order).await;
            assert!(reply.status < 500, "{reply:?}");
            return;
        }
        3 => {
            let body = json!({"advance_seconds": 2 * 86_400});
            partner.post("/v1/sandbox/clock", body).await.ok();
            return;
        }
        4..6 => {
            fail_passed(&race.service.app).await.unwrap();
            return;
        }
        // The settled vehicle becomes an upcoming lot again.
        6..8 => {
            let again = format!(
                "update vehicles set auction_result = 'upcoming', auction_result_at = null
                 where id = '{vehicle}' and auction_result is not null and withdrawn_at is null"
            );
            return race.service.sql(&again).await;
        }
        8..12 => operator.advance(order, &Transition::Acquire).await,
        12 => operator.advance(order, &secure(10_000, 0)).await,
        13 => {
            race.service.auction_was_held(vehicle).await;
            operator.settle(vehicle, won(10_000, 0)).await
        }
        14 => operator.settle(vehicle, AuctionOutcome::Outbid).await,
        15 => {
            let days = TimeDelta::days(rng.random_range(-3..20));
            operator.reschedule(vehicle, &text(Utc::now() + days)).await
        }
        16 => {
            operator
                .reprice(vehicle, rng.random_range(9_000..10_000))
                .await
        }
        _ => operator.relist(vehicle).await,
    };
    is_done(result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_concurrent_actions_on_a_few_vehicles_violate_no_invariant() {
    let (seed, race) = (seed(), Race::with_partners(4).await);
    for n in 0..8 {
        let vehicle = match n {
            0..6 => Vehicle::lot(&format!("glovis_{n}")),
            _ => Vehicle::dealers(&format!("encar_{n}")),
        };
        race.service.vehicle(vehicle).await;
    }
    let mut tasks = JoinSet::new();
    for task in 1..=12 {
        let race = race.clone();
        tasks.spawn(async move {
            let mut rng = stream(seed, task);
            for _ in 0..60 {
                random_action(&race, &mut rng).await;
            }
        });
    }
    tasks.join_all().await;
    race.assert_no_violations().await;
}
