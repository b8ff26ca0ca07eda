//! Deadlines: timeouts nest, and a request that waits is answered in time and correctly, and executed once in the end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lmn_partner_api::{errors::catalogue::Code, router::router};
use tokio::{
    task::{JoinSet, LocalSet},
    time::Instant,
};

use crate::{
    database::TestDatabase,
    support::{Partner, Reply, Service, Vehicle, key, settings},
    wire::{self, Fault, Moment},
};

/// Duration of a stall of the database, longer than the deadline of [`settings::short_timeouts`].
const STALL: Duration = Duration::from_secs(4);

/// A stall that begins some round trips after the beginning of a transaction, at its commit at the latest.
struct Stall {
    after: u32,
    seen: u32,
    /// Whether the order is placed at once, so that its commit is its first statement.
    at_once: bool,
    until: Option<Instant>,
}

impl Stall {
    /// Returns the time that a round trip waits.
    fn wait(&mut self, moment: Moment) -> Duration {
        self.seen += u32::from(self.seen > 0 || moment == Moment::Begin);
        let commits = moment == Moment::Commit && (self.at_once || self.seen > 0);
        if self.until.is_none() && (self.seen > self.after || commits) {
            self.until = Some(Instant::now() + STALL);
        }
        self.until
            .map_or(Duration::ZERO, |it| it - Instant::now().min(it))
    }
}

/// Orders a vehicle while the database stalls, then repeats the request until it succeeds. Returns the idempotency
/// status of the first attempt.
async fn order_through_a_stall(after: u32, at_once: bool, fault: fn(Duration) -> Fault) -> String {
    let database = TestDatabase::new().await;
    let stall: Arc<Mutex<Option<Stall>>> = Arc::default();
    let planned = stall.clone();
    let url = wire::string(&database, move |moment| {
        let mut stall = planned.lock().unwrap();
        let wait = stall.as_mut().map(|it| it.wait(moment));
        wait.filter(|it| !it.is_zero()).map_or(Fault::None, fault)
    });
    let url = url.await;
    let service = Service::at(database, &url, &settings::short_timeouts(), router).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    acme.get("/v1/orders").await.ok();
    if !at_once {
        service.disable_placing_in_one_round_trip().await;
    }

    let (key, began) = (key(), Instant::now());
    *stall.lock().unwrap() = Some(Stall {
        after,
        seen: 0,
        at_once,
        until: None,
    });
    let first = acme.place_order_once(&key, "glovis_1", 12_000).await;
    let took = began.elapsed();
    first.refused(503, Code::ServiceUnavailable);
    assert!(
        took < Duration::from_millis(5_500),
        "after {after}: answered only after {took:?}"
    );
    let last = repeat(&acme, &key).await;
    assert_eq!(last.header("location"), format!("/v1/orders/{}", last.id()));

    let by: Vec<String> = sqlx::query_scalar("select request_id from audit_log")
        .fetch_all(service.db())
        .await
        .unwrap();
    assert_eq!(by.len(), 1, "after {after}: {by:?}");
    let outcome = first.header("idempotency-status");
    assert!(
        outcome == "unknown" || by[0] != first.header("x-request-id"),
        "after {after}: {outcome}, although it was executed"
    );
    assert_eq!(service.order_count().await, 1);
    outcome.to_owned()
}

/// Repeats the order until it succeeds.
async fn repeat(acme: &Partner, key: &str) -> Reply {
    let began = Instant::now();
    loop {
        let reply = acme.place_order_once(key, "glovis_1", 12_000).await;
        if reply.status < 300 {
            return reply;
        }
        reply.refused(503, Code::ServiceUnavailable);
        assert!(began.elapsed() < Duration::from_secs(30), "{reply:?}");
    }
}

#[tokio::test]
async fn stalled_database_causes_timely_and_correct_responses() {
    let (here, mut stalls) = (LocalSet::new(), JoinSet::new());
    let _entered = here.enter();
    // Stalls from the beginning of the transaction to its commit, and one where both are a single statement.
    let stages = [0, 1, 2, 3, 5, 100].map(|after| (after, false));
    for (after, at_once) in stages.into_iter().chain([(100, true)]) {
        for fault in [Fault::Hold, Fault::HoldAnswer] {
            stalls.spawn_local(async move {
                let outcome = order_through_a_stall(after, at_once, fault).await;
                (after, outcome)
            });
        }
    }
    let outcomes = here.run_until(stalls.join_all()).await;
    for (after, outcome) in &outcomes {
        let known = outcome == "unknown" || outcome == "unbound";
        assert!(known, "after {after}: {outcome}");
        if matches!(after, 0 | 100) {
            assert_eq!(outcome, "unknown", "after {after}");
        }
    }
    assert!(outcomes.iter().any(|(_, outcome)| outcome == "unbound"));
}

#[tokio::test]
async fn wait_for_a_vehicle_ends_before_the_statement_timeout() {
    let settings = [settings::lock_seconds(1), settings::statement_seconds(6)];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let _holder = service.lock_vehicles().await;
    let began = Instant::now();
    let reply = acme.place_order("glovis_1", 12_000).await;
    let took = began.elapsed();
    reply.refused(503, Code::ServiceUnavailable);
    // Either outcome is correct: it depends on whether the key is looked up before the vehicle is locked.
    assert!(matches!(reply.outcome(), ("unbound" | "unknown", "false")));
    assert!(
        (1..6).contains(&took.as_secs()),
        "ended by another limit than the lock timeout: {took:?}"
    );
}

#[tokio::test]
async fn slow_statement_ends_before_the_deadline() {
    let settings = [settings::lock_seconds(1), settings::statement_seconds(2)];
    let service = Service::with(&settings).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    service.delay_orders(60.0).await;
    let (key, began) = (key(), Instant::now());
    let reply = acme.place_order_once(&key, "glovis_1", 12_000).await;
    let took = began.elapsed();
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unbound", "false"));
    assert!(
        (2..10).contains(&took.as_secs()),
        "ended by another limit than the statement timeout: {took:?}"
    );
    service.stop_delaying_orders().await;
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}
