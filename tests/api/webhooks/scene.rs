//! A partner with an endpoint, orders that progress, and a worker that tests run step by step.

use std::sync::Arc;

use lmn_partner_api::{
    router::router,
    webhooks::worker::{Outcome, Worker},
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    database::TestDatabase,
    support::{Answer, Partner, Service, Sink, Vehicle, eventually, settings, worker},
};

/// A service, a partner, its receiver and a worker.
pub struct Scene {
    pub service: Service,
    pub acme: Partner,
    pub sink: Sink,
    pub worker: Worker,
    /// The secret that signs deliveries.
    pub secret: String,
}

impl Scene {
    /// Sets up a scene, with an endpoint.
    pub async fn set() -> Self {
        Self::with(&[]).await
    }

    /// Sets up a scene with more settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = [&[settings::LOCAL_ENDPOINTS], settings].concat();
        let database = TestDatabase::with_connections(12).await;
        let service = Service::on(database, &settings, router).await;
        let acme = service.partner("acme").await;
        let sink = Sink::start().await;
        let worker = worker(&service.app);
        let secret = acme.hook(json!({"url": sink.url()})).await.expect(201);
        let secret = secret["secret"].as_str().unwrap().to_owned();
        Self {
            service,
            acme,
            sink,
            worker,
            secret,
        }
    }

    /// Sets up a scene with a partner whose sandbox clock is far ahead of real time, and an order at that time.
    pub async fn ahead() -> (Self, String) {
        let scene = Self::set().await;
        scene.acme.wait(300 * 86_400).await;
        let lot = Vehicle::lot("glovis_1").auction_in_days(600);
        scene.service.vehicle(lot).await;
        let order = scene.acme.place_order("glovis_1", 12_000).await.id();
        (scene, order)
    }

    /// Places an order on a new lot.
    pub async fn order(&self, vehicle: &str) -> String {
        self.service.vehicle(Vehicle::lot(vehicle)).await;
        self.acme.place_order(vehicle, 12_000).await.id()
    }

    /// Takes an order to `shipping`, which makes three events.
    pub async fn ships(&self, order: &str) {
        self.service.operator().ships(order).await;
    }

    /// Lets several operators take orders to `shipping` at once; the returned tasks end when they have.
    pub fn ship_at_once(&self, orders: &[String]) -> Vec<JoinHandle<()>> {
        let ships = orders.iter().map(|order| {
            let (operator, order) = (self.service.operator(), order.clone());
            tokio::spawn(async move { operator.ships(&order).await })
        });
        ships.collect()
    }

    /// Starts the worker, which from then on delivers whatever is due.
    pub fn start_worker(&self) {
        self.start(self.worker.clone());
    }

    /// Starts another worker beside it.
    pub fn start_another_worker(&self) {
        self.start(worker(&self.service.app));
    }

    fn start(&self, worker: Worker) {
        let app = &self.service.app;
        app.tasks().spawn(worker.run(app.stopping().clone()));
    }

    /// Delivers until nothing is due; returns the number of attempts.
    pub async fn drain(&self) -> usize {
        let mut sent = 0;
        loop {
            let outcome = self.worker.deliver_due().await.unwrap();
            if outcome.total() == 0 {
                return sent;
            }
            sent += outcome.total();
        }
    }

    /// Begins an attempt and waits until the receiver has the event, which it will answer with this status.
    pub async fn sending(&self, status: u16) -> Sending {
        let (gate, before) = (Arc::new(Semaphore::new(0)), self.sink.count());
        self.sink.answers(Answer::from(status).behind(&gate));
        let worker = self.worker.clone();
        let running = tokio::spawn(async move { worker.deliver_due().await.unwrap() });
        eventually("an event is being sent", async || {
            (self.sink.count() > before).then_some(())
        })
        .await;
        self.sink.answers(200);
        Sending { gate, running }
    }

    /// Changes the URL of the endpoint, without the checks of an address.
    pub async fn set_url(&self, url: &str) {
        let change = sqlx::query("update webhook_endpoints set url = $1").bind(url);
        change.execute(self.service.db()).await.unwrap();
    }

    /// Makes every delivery that is not being sent due, with all of its attempts left.
    pub async fn make_due(&self) {
        self.service
            .sql_elsewhere(
                "update delivery_queues set due_at = due_at - interval '1 day', tries = 0
                 where lease is null",
            )
            .await;
    }

    /// Records some test events of a partner, each with a delivery that is due since some seconds; negative if later.
    pub async fn add_deliveries(&self, partner: &Partner, count: i32, due_since: i64) {
        sqlx::query(
            "with ids as (
                 select gen_random_uuid() as id from generate_series(1, $2)
             ), feed as (
                 select coalesce(max(position), 0) as latest from events where partner_id = $1
             ), made as (
                 insert into events (id, partner_id, position, type, occurred_at, payload, delivery_status, queue_id)
                 select id, $1, latest + row_number() over (), 'webhook.test', now(), '{}', 'pending', id from ids, feed
             ), moved as (
                 update event_feeds set last_position = latest + $2 from feed where partner_id = $1
             ) insert into delivery_queues (id, partner_id, event_id, due_at)
               select id, $1, id, now() - $3 * interval '1 second' from ids",
        )
        .bind(partner.id)
        .bind(count)
        .bind(due_since)
        .execute(self.service.db())
        .await
        .unwrap();
    }

    /// Ends the leases of all deliveries that are being sent.
    pub async fn end_leases(&self) {
        self.service
            .sql_elsewhere("update delivery_queues set leased_until = now() - interval '1 second'")
            .await;
    }

    /// Marks all endpoints as failing since now, as a failed delivery of another worker does.
    pub async fn mark_as_failing(&self) {
        self.service
            .sql_elsewhere(
                "update webhook_endpoints set failing_since = now(), last_failed_at = now()",
            )
            .await;
    }

    /// Marks no endpoint as failing.
    pub async fn forget_failures(&self) {
        self.service
            .sql_elsewhere("update webhook_endpoints set failing_since = null")
            .await;
    }

    /// Lets every former secret expire, which a rotation keeps for a while.
    pub async fn end_overlap_of_secrets(&self) {
        self.service
            .sql_elsewhere(
                "update webhook_secrets set expires_at = now() - interval '1 second'
                 where expires_at is not null",
            )
            .await;
    }

    /// Counts the events with a delivery status.
    pub async fn count(&self, status: &str) -> i64 {
        let counted = sqlx::query_scalar("select count(*) from events where delivery_status = $1");
        let counted = counted.bind(status).fetch_one(self.service.db());
        counted.await.unwrap()
    }

    /// Counts the attempts to deliver any event.
    pub async fn attempts(&self) -> i64 {
        let attempts = "select sum(attempts)::bigint from events";
        self.service.count(attempts).await
    }

    /// Counts the deliveries that a worker has leased.
    pub async fn leases(&self) -> i64 {
        let leased = "select count(*) from delivery_queues where leased_until > now()";
        self.service.count(leased).await
    }

    /// Counts the endpoints that are marked as failing.
    pub async fn failing_endpoints(&self) -> i64 {
        let failing = "select count(*) from webhook_endpoints where failing_since is not null";
        self.service.count(failing).await
    }

    /// Counts the secrets of all endpoints.
    pub async fn secret_count(&self) -> i64 {
        self.service
            .count("select count(*) from webhook_secrets")
            .await
    }

    /// Checks the invariant of delivery queues: each waiting event is in a queue whose head is its first waiting
    /// event, and no queue is empty.
    pub async fn check_queues(&self) {
        let wrong = "select count(*) from (
                select queue_id, (array_agg(id order by sequence))[1] as first from events
                where queue_id is not null group by queue_id
            ) waiting full join delivery_queues queue on queue.id = waiting.queue_id
            where queue.event_id is distinct from waiting.first";
        assert_eq!(
            self.service.count(wrong).await,
            0,
            "a delivery queue is wrong"
        );
    }
}

/// An attempt whose response the receiver holds back.
pub struct Sending {
    gate: Arc<Semaphore>,
    running: JoinHandle<Outcome>,
}

impl Sending {
    /// Waits until the attempt is over without an answer; returns its outcome.
    pub async fn abandoned(self) -> Outcome {
        self.running.await.unwrap()
    }

    /// Lets the receiver answer; returns the outcome of the attempt.
    pub async fn ends(self) -> Outcome {
        self.gate.close();
        self.running.await.unwrap()
    }
}
