//! Thousands of deliveries to receivers that fail in every way: every event arrives, in the sequence of its order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{app::App, router::router};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use sqlx::PgPool;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    database::{TestDatabase, product},
    receiver::{Arrival, NAMES, Receiver, Response},
    seed::{seed, stream},
    support::{Operator, Partner, Service, Vehicle, eventually, settings, start_app, won, worker},
};

/// Number of partners, each with a receiver; of vehicles, each ordered by every partner; and of price changes of each
/// vehicle.
const PARTNERS: usize = 8;
const VEHICLES: usize = 25;
const CHANGES: i64 = 5;
/// Events of an order: one for each price change, and two for the end of its auction.
const EVENTS_OF_ORDER: i64 = CHANGES + 2;
/// Events of all orders.
const EVENTS: i64 = (PARTNERS * VEHICLES) as i64 * EVENTS_OF_ORDER;
/// Number of receivers that go down, and how often each may do so.
const DOWN: usize = PARTNERS / 2;
const DOWNS_MAX: u32 = 3;
/// Interval between forced ends of database sessions, and their largest number.
const KILLS_EVERY: Duration = Duration::from_millis(300);
const KILLS_MAX: u64 = 8;
/// Largest number of clock advances until every event has arrived.
const ROUNDS_MAX: usize = 60;

/// A partner and its receiver.
struct Pair {
    partner: Partner,
    receiver: Receiver,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_all_arrive_in_sequence_whatever_receivers_do() {
    let seed = seed();
    let began = Instant::now();
    let mut rng = stream(seed, 0);
    let database = TestDatabase::with_connections(16).await;
    let mut service = Service::on(database, &[settings::LOCAL_ENDPOINTS], router).await;
    let redirect_target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut pairs = Vec::new();
    for n in 0..PARTNERS {
        let rng = stream(seed, 1 + n as u64);
        let receiver = Receiver::start(rng, redirect_target.local_addr().unwrap()).await;
        pairs.push(Pair::of(&service, n, receiver).await);
    }
    order_everything(&service, &pairs).await;
    let workers = [start_worker(&service).await, start_worker(&service).await];
    let no_kills = Arc::new(Mutex::new(()));
    let kills = Arc::new(AtomicU64::new(0));
    let killer = tokio::spawn(kill(service.db().clone(), no_kills.clone(), kills.clone()));

    let operator = spared_operator(&service);
    for change in 0..=CHANGES {
        if change == CHANGES {
            let _guard = no_kills.lock().await;
            service
                .sql("update vehicles set auction_date = now()")
                .await;
        }
        change_everything(&operator, change).await;
        wait_until_idle(&service).await;
        let _guard = no_kills.lock().await;
        advance_clocks(&service, &mut pairs, &mut rng).await;
    }
    let mut rounds = 0;
    while waiting(&service).await > 0 {
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "some events do not arrive");
        wait_until_idle(&service).await;
        let _guard = no_kills.lock().await;
        advance_clocks(&service, &mut pairs, &mut rng).await;
    }
    killer.abort();
    let kills = kills.load(Ordering::Relaxed);
    for worker in workers {
        worker.stop().await;
    }

    let mut counts = BTreeMap::from([("a session ended by force", kills)]);
    for pair in &pairs {
        let refused = pair.check(service.db()).await;
        *counts.entry("connection refused").or_default() += refused;
        for (name, count) in pair.receiver.counts() {
            *counts.entry(name).or_default() += count;
        }
    }
    print(&counts, began);
    let followed = timeout(Duration::ZERO, redirect_target.accept()).await;
    assert!(followed.is_err(), "a redirect was followed");
    for name in NAMES.iter().chain(&["connection refused"]) {
        assert!(
            counts.get(name).is_some_and(|it| *it > 0),
            "never happened: {name}"
        );
    }
    let queues = service.delivery_queue_count().await;
    assert_eq!(queues, 0, "a delivery queue is left");
    let disabled = "select count(*) from webhook_endpoints where not enabled";
    let disabled = service.count(disabled).await;
    assert_eq!(disabled, 0, "an endpoint was disabled");
    assert_eq!(service.event_count().await, EVENTS);
    service.stop().await;
}

impl Pair {
    /// Adds a partner with a receiver.
    async fn of(service: &Service, n: usize, receiver: Receiver) -> Self {
        let partner = service.partner(&format!("partner {n}")).await;
        let url = format!("http://{}/lmn", receiver.address);
        let endpoint = partner.hook(json!({"url": url})).await.expect(201);
        receiver.trusts(endpoint["secret"].as_str().unwrap());
        Self { partner, receiver }
    }

    /// Compares the events that arrived with those recorded; returns the number of refused connections.
    async fn check(&self, db: &PgPool) -> u64 {
        assert_eq!(self.receiver.unverified(), 0, "a signature does not verify");
        let arrivals = self.receiver.arrivals();
        check_sequence(&arrivals);
        let mut of_event: HashMap<&str, Vec<Response>> = HashMap::new();
        for it in &arrivals {
            of_event.entry(&it.event).or_default().push(it.response);
        }
        let events = self.partner_events(db).await;
        assert_eq!(
            events.len(),
            of_event.len(),
            "every recorded event arrives, and no other"
        );
        let mut attempts = 0;
        for (id, recorded) in events {
            let responses = &of_event[id.as_str()];
            assert!(
                recorded >= responses.len(),
                "{id}: {recorded} attempts, {responses:?}"
            );
            let acknowledged = responses.iter().position(|it| *it == Response::Accepted);
            let is_over = acknowledged.is_none_or(|it| it + 1 == responses.len());
            assert!(
                is_over,
                "{id} arrives again although it was acknowledged: {responses:?}"
            );
            let may_end = matches!(
                responses.last(),
                Some(Response::Accepted | Response::Slow(_))
            );
            assert!(may_end, "{id} was never acknowledged: {responses:?}");
            attempts += recorded;
        }
        let unread = self.receiver.counts()["hung up unread"];
        let refused = attempts as u64 - arrivals.len() as u64 - unread;
        if self.receiver.downs == 0 {
            assert_eq!(
                refused, 0,
                "every attempt reaches the receiver or is hung up on"
            );
        }
        refused
    }

    /// Returns the ids of the events, which must all be delivered, each with its number of attempts.
    async fn partner_events(&self, db: &PgPool) -> Vec<(String, usize)> {
        let mut events = Vec::new();
        let mut page = "/v1/events?limit=200".to_owned();
        loop {
            let body = self.partner.get(&page).await.ok();
            for row in body["data"].as_array().unwrap() {
                assert_eq!(row["delivery_status"], "delivered", "{row}");
                let attempts = row["attempts"].as_u64().unwrap();
                events.push((row["id"].as_str().unwrap().to_owned(), attempts as usize));
            }
            let Some(cursor) = body["next_cursor"].as_str() else {
                break;
            };
            page = format!("/v1/events?limit=200&cursor={cursor}");
        }
        let count = "select count(*) from events where partner_id = $1";
        let count: i64 = sqlx::query_scalar(count)
            .bind(self.partner.id)
            .fetch_one(db)
            .await
            .unwrap();
        assert_eq!(events.len() as i64, count);
        events
    }
}

/// Checks that the events of each order arrived in sequence: none is missing, and none comes after a later one.
fn check_sequence(arrivals: &[Arrival]) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for it in arrivals {
        let last = last.entry(&it.order).or_default();
        let is_next = (*last..=*last + 1).contains(&it.sequence);
        assert!(is_next, "{}: {} after {last}", it.order, it.sequence);
        *last = it.sequence;
    }
    assert_eq!(last.len(), VEHICLES, "events of every order arrived");
    assert!(
        last.values().all(|it| *it == EVENTS_OF_ORDER),
        "the last event of every order arrived"
    );
}

/// Lets every partner order every vehicle.
async fn order_everything(service: &Service, pairs: &[Pair]) {
    for n in 0..VEHICLES {
        let lot = Vehicle::lot(&format!("glovis_{n}")).auction_in_days(60);
        service.vehicle(lot).await;
    }
    let mut ordering = JoinSet::new();
    for (m, pair) in pairs.iter().enumerate() {
        let partner = pair.partner.clone();
        ordering.spawn(async move {
            for n in 0..VEHICLES {
                let bid = 12_000 + 10 * m as i64;
                partner
                    .place_order(&format!("glovis_{n}"), bid)
                    .await
                    .created();
            }
        });
    }
    while let Some(ordered) = ordering.join_next().await {
        ordered.unwrap();
    }
}

/// Starts a worker with an `App` of its own.
async fn start_worker(service: &Service) -> App {
    let settings = [
        settings::database_connections_max(6),
        settings::LOCAL_ENDPOINTS,
        settings::attempt_seconds(2),
        settings::lease_seconds(4),
        settings::poll_milliseconds(50),
    ];
    let app = start_app(&service.database.url(), &settings).await;
    app.tasks().spawn(worker(&app).run(app.stopping().clone()));
    app
}

/// Returns an operator whose sessions are not ended by force.
fn spared_operator(service: &Service) -> Operator {
    let url = service.database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}application_name=operator");
    Operator::at(&product(&url, 4))
}

/// Changes the price of every vehicle, or, as the last change, records their auction results.
async fn change_everything(operator: &Operator, change: i64) {
    let mut changing = JoinSet::new();
    for part in 0..4 {
        let operator = operator.clone();
        changing.spawn(async move {
            for n in (part..VEHICLES).step_by(4) {
                let vehicle = format!("glovis_{n}");
                match change {
                    CHANGES => operator.settle(&vehicle, won(11_000, 0)).await.unwrap(),
                    _ => operator.reprice(&vehicle, 10_500 + change).await.unwrap(),
                };
            }
        });
    }
    while let Some(changed) = changing.join_next().await {
        changed.unwrap();
    }
}

/// Waits until no delivery is due or being sent.
async fn wait_until_idle(service: &Service) {
    let busy = "select count(*) from delivery_queues join partners on partners.id = partner_id
                where lease is not null or due_at <= lmn_now(clock_offset_seconds)";
    eventually("no delivery is due", async || {
        (service.count(busy).await == 0).then_some(())
    })
    .await;
}

/// Counts the events not yet delivered.
async fn waiting(service: &Service) -> i64 {
    let waiting = "select count(*) from events where delivery_status = 'pending'";
    service.count(waiting).await
}

/// Advances each partner's clock until all of its waiting deliveries are due; lets some receivers go down or come up.
async fn advance_clocks(service: &Service, pairs: &mut [Pair], rng: &mut StdRng) {
    for (n, pair) in pairs.iter_mut().enumerate() {
        let (partner, receiver) = (&pair.partner, &mut pair.receiver);
        if receiver.is_down() {
            receiver.comes_up().await;
        } else if n < DOWN && receiver.downs < DOWNS_MAX && rng.random_bool(0.4) {
            receiver.goes_down().await;
        }
        let wait = format!(
            "select coalesce(ceil(extract(epoch from max(due_at) - lmn_now(clock_offset_seconds))), 0)::bigint + 1
             from partners left join delivery_queues on partner_id = partners.id
             where partners.id = '{}' group by clock_offset_seconds",
            partner.id
        );
        let seconds = service.count(&wait).await;
        partner.wait(seconds.max(1)).await;
    }
}

/// Ends busy sessions of the workers by force, except while a caller holds `no_kills`.
async fn kill(db: PgPool, no_kills: Arc<Mutex<()>>, kills: Arc<AtomicU64>) {
    while kills.load(Ordering::Relaxed) < KILLS_MAX {
        sleep(KILLS_EVERY).await;
        let _guard = no_kills.lock().await;
        let killed = sqlx::query(
            "select pg_terminate_backend(pid) from (
                 select pid from pg_stat_activity
                 where datname = current_database() and application_name = 'lmn' and state <> 'idle'
                 order by random() limit 1) it",
        );
        let killed = killed.execute(&db).await.unwrap().rows_affected();
        kills.fetch_add(killed, Ordering::Relaxed);
    }
}

fn print(counts: &BTreeMap<&str, u64>, began: Instant) {
    eprintln!("{EVENTS} events in {:?}", began.elapsed());
    for (name, count) in counts {
        eprintln!("{count:>8}  {name}");
    }
}
