//! Thousands of randomly mutated requests: none causes a server error, each error has the envelope, and every order
//! that is placed has been reported in a response.

mod request;
mod strange;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lmn_partner_api::errors::catalogue::Code;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use self::request::{Answer, Request};
use crate::{
    seed::{seed, stream},
    support::{Document, Operation, Partner, Service, Vehicle, key, settings},
};

/// Number of requests, and of requests at once.
const REQUESTS: usize = 3_000;
const AT_ONCE: usize = 12;
/// Number of vehicles, and of those that are ordered at the start.
const VEHICLES: usize = 60;
const ORDERED: usize = 20;

/// The data of which valid requests are made.
struct Scene {
    acme: Partner,
    routes: Vec<Operation>,
    address: String,
    orders: Vec<String>,
    /// The key and body of an order that was placed.
    placed: (String, Value),
}

impl Scene {
    async fn start(service: &Service) -> Self {
        let acme = service.partner("acme").await;
        let mut orders = Vec::new();
        let mut placed = None;
        for n in 1..=VEHICLES {
            let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
            if n <= ORDERED {
                let (key, body) = (key(), body(&vehicle.id));
                let reply = acme.post_once(&key, "/v1/orders", body.clone()).await;
                orders.push(reply.id());
                placed = Some((key, body));
            }
        }
        Self {
            address: service.url.trim_start_matches("http://").to_owned(),
            acme,
            routes: Document::read().operations,
            orders,
            placed: placed.unwrap(),
        }
    }

    /// Returns a valid request on a random route.
    fn request(&self, rng: &mut StdRng) -> Request {
        let route = self.routes.choose(rng).unwrap();
        let (method, path) = (&route.method, route.path());
        let order = self.orders.choose(rng).unwrap();
        let mut request = Request::new(
            method.as_str(),
            &path.replace("01ARZ3NDEKTSV4RRFFQ69G5FAV", order),
        );
        request.header("x-api-key", &self.acme.api_key);
        if matches!(method.as_str(), "POST" | "DELETE") {
            // Some requests repeat the key and body of the placed order, on any route.
            let is_repeated = rng.random_ratio(1, 8);
            let fresh = (
                key(),
                body(&format!("glovis_{}", rng.random_range(1..=VEHICLES))),
            );
            let (key, body) = if is_repeated {
                self.placed.clone()
            } else {
                fresh
            };
            request.header("idempotency-key", &key);
            request.header("content-type", "application/json");
            request.body = body.to_string().into_bytes();
        }
        request
    }
}

fn body(vehicle: &str) -> Value {
    json!({"vehicle_id": vehicle, "max_bid_amount_usd": 12_000, "note": {"tags": ["a", 1, null, 2.5e3, true]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_requests_cause_no_server_error_and_no_unreported_order() {
    let seed = seed();
    let settings = [settings::body_seconds(1), settings::header_seconds(1)];
    let service = Service::with(&settings).await;
    let scene = Arc::new(Scene::start(&service).await);
    let next = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|_| tokio::spawn(send_requests(seed, scene.clone(), next.clone())))
        .collect();
    let mut outcomes = Outcomes::default();
    for sender in senders {
        outcomes.add(sender.await.unwrap());
    }
    eprintln!("{:?}", outcomes.statuses);

    let made: Vec<String> =
        sqlx::query_scalar("select subject from audit_log where action = 'order.placed'")
            .fetch_all(service.db())
            .await
            .unwrap();
    outcomes.created.extend(scene.orders.iter().cloned());
    assert_eq!(outcomes.created, made.into_iter().collect());
    let made = i64::try_from(outcomes.created.len()).unwrap();
    assert_eq!(service.order_count().await, made);
    for status in [200, 201, 400, 401, 404, 405, 409, 413, 415, 422] {
        assert!(outcomes.statuses.contains_key(&status), "never: {status}");
    }
}

/// Outcomes of the requests, from their responses.
#[derive(Default)]
struct Outcomes {
    /// Number of responses with each status; 0 is a connection that was closed without a response.
    statuses: BTreeMap<u16, u32>,
    /// Ids of the placed orders.
    created: BTreeSet<String>,
}

impl Outcomes {
    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.created.extend(other.created);
    }
}

async fn send_requests(seed: u64, scene: Arc<Scene>, next: Arc<AtomicUsize>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= REQUESTS {
            return outcomes;
        }
        let mut rng = stream(seed, number as u64);
        let mut request = scene.request(&mut rng);
        for _ in 0..rng.random_range(0..4) {
            strange::change(&mut request, &mut rng);
        }
        let mut socket = TcpStream::connect(&scene.address).await.unwrap();
        // A server that has refused the head may not read the rest.
        let _ = socket.write_all(&request.bytes()).await;
        let answer = Answer::read(&mut socket).await;
        let context = || format!("request {number}: {request:?}\n{answer:?}");
        let status = answer.as_ref().map_or(0, |it| it.status);
        *outcomes.statuses.entry(status).or_default() += 1;
        let Some(answer) = &answer else { continue };
        check(&request, answer, &context);
        if answer.status == 201 {
            let order: Value = serde_json::from_slice(&answer.body).unwrap();
            outcomes
                .created
                .insert(order["id"].as_str().unwrap().to_owned());
        }
    }
}

/// Checks what holds for every response.
fn check(request: &Request, answer: &Answer, context: &dyn Fn() -> String) {
    assert!(answer.status < 500, "{}", context());
    let Some(request_id) = answer.header("x-request-id") else {
        // A response of the HTTP library; the request did not reach the router.
        let is_http_library =
            matches!(answer.status, 400 | 408 | 414 | 431) && answer.body.is_empty();
        assert!(is_http_library, "{}", context());
        return;
    };
    assert!(
        request_id.len() == 28 && request_id.starts_with("req_"),
        "{}",
        context()
    );
    let keyed = request.is_keyed();
    let outcome = answer.header("idempotency-status");
    assert_eq!(outcome.is_some(), keyed, "{}", context());
    assert_eq!(
        answer.header("idempotent-replayed").is_some(),
        keyed,
        "{}",
        context()
    );
    if let Some(outcome) = outcome {
        let is_allowed = match answer.status {
            201 => outcome == "bound",
            200 if request.is_dry_run() => outcome == "unbound",
            200 => matches!(outcome, "bound" | "replayed"),
            422 => outcome == "conflict",
            _ => matches!(outcome, "unbound" | "unknown"),
        };
        assert!(is_allowed, "{}", context());
    }
    if matches!(answer.status, 200..=299 | 304) || request.method == b"HEAD" {
        return;
    }
    let body: Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{error}: {}", context()));
    let code = Code::ALL
        .iter()
        .find(|code| body["error"]["code"] == code.as_str());
    let listed = code.is_some_and(|it| it.entry().statuses.contains(&answer.status));
    assert!(listed, "{}", context());
    assert_eq!(body["error"]["request_id"], request_id, "{}", context());
    assert_eq!(
        answer.header("content-type"),
        Some("application/json"),
        "{}",
        context()
    );
}
