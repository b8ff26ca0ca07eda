//! Thousands of requests that were right before chance had its way: none is a fault of ours, each is answered in the
//! envelope, and nothing is done that no answer tells.

mod request;
mod strange;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lmn_partner_api::error::catalogue::Code;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use self::request::{Answer, Request};
use crate::{
    seed::{seed, stream},
    support::{Car, Document, Operation, Partner, Service, key},
};

/// Requests sent, and how many at once.
const REQUESTS: usize = 3_000;
const AT_ONCE: usize = 12;
/// Cars there are; the first few are ordered from the start.
const CARS: usize = 60;
const ORDERED: usize = 20;

/// What right requests are made of.
struct Scene {
    acme: Partner,
    routes: Vec<Operation>,
    address: String,
    orders: Vec<String>,
    /// The key and body of an order that was placed.
    placed: (String, Value),
}

impl Scene {
    async fn set(service: &Service) -> Self {
        let acme = service.partner("acme").await;
        let mut orders = Vec::new();
        let mut placed = None;
        for n in 1..=CARS {
            let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
            if n <= ORDERED {
                let (key, body) = (key(), body(&car.id));
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

    /// A request that is right, on any of the routes.
    fn request(&self, chance: &mut StdRng) -> Request {
        let route = self.routes.choose(chance).unwrap();
        let (method, path) = (&route.method, route.path());
        let order = self.orders.choose(chance).unwrap();
        let mut request = Request::new(
            method.as_str(),
            &path.replace("01ARZ3NDEKTSV4RRFFQ69G5FAV", order),
        );
        request.header("x-api-key", &self.acme.api_key);
        if matches!(method.as_str(), "POST" | "DELETE") {
            // Now and then the key of another request, or the very same request again.
            let again = chance.random_ratio(1, 8);
            let fresh = (
                key(),
                body(&format!("glovis_{}", chance.random_range(1..=CARS))),
            );
            let (key, body) = if again { self.placed.clone() } else { fresh };
            request.header("idempotency-key", &key);
            request.header("content-type", "application/json");
            request.body = body.to_string().into_bytes();
        }
        request
    }
}

fn body(car: &str) -> Value {
    json!({"vehicle_id": car, "max_bid_amount_usd": 12_000, "note": {"tags": ["a", 1, null, 2.5e3, true]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_however_strange_is_a_fault_of_ours_or_done_in_silence() {
    let seed = seed();
    let settings = [
        ("SERVER__BODY_SECONDS", "1"),
        ("SERVER__HEADER_SECONDS", "1"),
    ];
    let service = Service::with(&settings).await;
    let scene = Arc::new(Scene::set(&service).await);
    let next = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|_| tokio::spawn(send_all(seed, scene.clone(), next.clone())))
        .collect();
    let mut told = Told::default();
    for sender in senders {
        told.add(sender.await.unwrap());
    }
    eprintln!("{:?}", told.statuses);

    let made: Vec<String> =
        sqlx::query_scalar("select subject from audit_log where action = 'order.placed'")
            .fetch_all(service.db())
            .await
            .unwrap();
    told.created.extend(scene.orders.iter().cloned());
    assert_eq!(told.created, made.into_iter().collect());
    let made = i64::try_from(told.created.len()).unwrap();
    assert_eq!(service.count("select count(*) from orders").await, made);
    for status in [200, 201, 400, 401, 404, 405, 409, 413, 415, 422] {
        assert!(told.statuses.contains_key(&status), "never: {status}");
    }
}

/// What the answers told.
#[derive(Default)]
struct Told {
    /// How often each status was answered; 0 is a connection that was closed without a word.
    statuses: BTreeMap<u16, u32>,
    /// The orders that were made.
    created: BTreeSet<String>,
}

impl Told {
    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.created.extend(other.created);
    }
}

async fn send_all(seed: u64, scene: Arc<Scene>, next: Arc<AtomicUsize>) -> Told {
    let mut told = Told::default();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        if number >= REQUESTS {
            return told;
        }
        let mut chance = stream(seed, number as u64);
        let mut request = scene.request(&mut chance);
        for _ in 0..chance.random_range(0..4) {
            strange::change(&mut request, &mut chance);
        }
        let mut socket = TcpStream::connect(&scene.address).await.unwrap();
        // A server that has refused the head need not read the rest.
        let _ = socket.write_all(&request.bytes()).await;
        let answer = Answer::read(&mut socket).await;
        let context = || format!("request {number}: {request:?}\n{answer:?}");
        let status = answer.as_ref().map_or(0, |it| it.status);
        *told.statuses.entry(status).or_default() += 1;
        let Some(answer) = &answer else { continue };
        check(&request, answer, &context);
        if answer.status == 201 {
            let order: Value = serde_json::from_slice(&answer.body).unwrap();
            told.created
                .insert(order["id"].as_str().unwrap().to_owned());
        }
    }
}

/// What holds of every answer, whatever was asked.
fn check(request: &Request, answer: &Answer, context: &dyn Fn() -> String) {
    assert!(answer.status < 500, "{}", context());
    let Some(request_id) = answer.header("x-request-id") else {
        // The HTTP library's own answer, which never reached the router.
        let own = matches!(answer.status, 400 | 408 | 414 | 431) && answer.body.is_empty();
        assert!(own, "{}", context());
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
        let fits = match answer.status {
            201 => outcome == "bound",
            200 if request.is_trial() => outcome == "unbound",
            200 => matches!(outcome, "bound" | "replayed"),
            422 => outcome == "conflict",
            _ => matches!(outcome, "unbound" | "unknown"),
        };
        assert!(fits, "{}", context());
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
