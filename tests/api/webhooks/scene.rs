//! A partner with an endpoint, orders that progress, and a worker that tests run step by step.

use std::sync::Arc;

use lmn_partner_api::{
    orders::state_machine::Transition,
    webhooks::worker::{Outcome, Worker},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    database::TestDatabase,
    support::{Answer, Partner, Reply, Service, Sink, Vehicle, eventually, key, secure, worker},
};

/// Path of the endpoint.
pub const ENDPOINT: &str = "/v1/webhook_endpoint";

/// The setting that allows deliveries to this machine.
pub const OPEN: (&str, &str) = ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8");

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
        let settings = [&[OPEN], settings].concat();
        let database = TestDatabase::with_connections(12).await;
        let service = Service::on(database, &settings, lmn_partner_api::router::router).await;
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

    /// Places an order on a new lot.
    pub async fn order(&self, vehicle: &str) -> String {
        self.service.vehicle(Vehicle::lot(vehicle)).await;
        self.acme.place_order(vehicle, 12_000).await.id()
    }

    /// Takes an order to `shipping`, which makes three events.
    pub async fn ships(&self, order: &str) {
        let steps = [Transition::Acquire, secure(11_000, 0), Transition::Ship];
        self.service.operator().takes(order, &steps).await;
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

    /// Counts the events with a delivery status.
    pub async fn count(&self, status: &str) -> i64 {
        let query = format!("select count(*) from events where delivery_status = '{status}'");
        self.service.count(&query).await
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
    /// Lets the receiver answer; returns the outcome of the attempt.
    pub async fn ends(self) -> Outcome {
        self.gate.close();
        self.running.await.unwrap()
    }
}

impl Partner {
    /// Puts the partner's endpoint.
    pub async fn hook(&self, settings: Value) -> Reply {
        self.ask(Method::PUT, ENDPOINT).json(&settings).send().await
    }

    /// Resets the partner's sandbox clock to real time.
    pub async fn reset_clock(&self) {
        let reset = self.ask(Method::DELETE, "/v1/sandbox/clock").key(&key());
        reset.send().await.ok();
    }

    /// Deletes the partner's endpoint.
    pub async fn unhook(&self) -> Reply {
        self.ask(Method::DELETE, ENDPOINT).key(&key()).send().await
    }
}
