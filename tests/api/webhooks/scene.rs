//! A partner with an endpoint, orders that go on, and a worker that is stepped.

use std::sync::Arc;

use lmn_partner_api::{
    orders::advance::Advance,
    webhooks::worker::{Outcome, Worker},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    database::TestDatabase,
    support::{Answer, Car, Partner, Reply, Service, Sink, eventually, key, secure},
};

/// Where an endpoint is.
pub const ENDPOINT: &str = "/v1/webhook_endpoint";

/// What opens the tests' own machine to deliveries.
pub const OPEN: (&str, &str) = ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8");

/// A service, a partner and its receiver.
pub struct Scene {
    pub service: Service,
    pub acme: Partner,
    pub sink: Sink,
    pub worker: Worker,
    /// What signs deliveries.
    pub secret: String,
}

impl Scene {
    /// Sets it, with an endpoint.
    pub async fn set() -> Self {
        Self::with(&[]).await
    }

    /// Sets it with more settings.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = [&[OPEN], settings].concat();
        let database = TestDatabase::with_connections(12).await;
        let service = Service::on(database, &settings, lmn_partner_api::router::router).await;
        let acme = service.partner("acme").await;
        let sink = Sink::start().await;
        let worker = Worker::new(service.app.clone()).unwrap();
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
    pub async fn order(&self, car: &str) -> String {
        self.service.car(Car::lot(car)).await;
        self.acme.place_order(car, 12_000).await.id()
    }

    /// Makes the three events of an order that ships.
    pub async fn ships(&self, order: &str) {
        let steps = [Advance::Acquire, secure(11_000, 0), Advance::Ship];
        self.service.operator().takes(order, &steps).await;
    }

    /// Sends until nothing is due, and returns how much was sent.
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

    /// Begins to send what is due: the receiver has it, and will answer with this status.
    pub async fn sending(&self, status: u16) -> Sending {
        let (gate, before) = (Arc::new(Semaphore::new(0)), self.sink.count());
        self.sink.answers(Answer::from(status).behind(&gate));
        let worker = self.worker.clone();
        let running = tokio::spawn(async move { worker.deliver_due().await.unwrap() });
        eventually("it is being sent", async || {
            (self.sink.count() > before).then_some(())
        })
        .await;
        self.sink.answers(200);
        Sending { gate, running }
    }

    /// Counts events by what became of them.
    pub async fn count(&self, status: &str) -> i64 {
        let query = format!("select count(*) from events where delivery_status = '{status}'");
        self.service.count(&query).await
    }

    /// Expects what must always hold: what waits has a lane, its head is the first that waits, and nothing else has one.
    pub async fn check_lanes(&self) {
        let wrong = "select count(*) from (
                select lane_id, (array_agg(id order by sequence))[1] as first from events
                where lane_id is not null group by lane_id
            ) waiting full join webhook_lanes lane on lane.id = waiting.lane_id
            where lane.event_id is distinct from waiting.first";
        assert_eq!(self.service.count(wrong).await, 0, "a lane is wrong");
    }
}

/// What is being sent, and not answered yet.
pub struct Sending {
    gate: Arc<Semaphore>,
    running: JoinHandle<Outcome>,
}

impl Sending {
    /// Answers, and returns what came of it.
    pub async fn ends(self) -> Outcome {
        self.gate.close();
        self.running.await.unwrap()
    }
}

impl Partner {
    /// Puts its endpoint.
    pub async fn hook(&self, wish: Value) -> Reply {
        self.ask(Method::PUT, ENDPOINT).json(&wish).send().await
    }

    /// Takes its clock back to real time.
    pub async fn reset_clock(&self) {
        let reset = self.ask(Method::DELETE, "/v1/sandbox/clock").key(&key());
        reset.send().await.ok();
    }

    /// Takes its endpoint away.
    pub async fn unhook(&self) -> Reply {
        self.ask(Method::DELETE, ENDPOINT).key(&key()).send().await
    }
}
