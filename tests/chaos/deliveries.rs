//! Thousands of deliveries to receivers that fail in every way: each event arrives, an order's in their sequence.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{app::App, router::router, settings::Settings, webhooks::worker::Worker};
use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
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
    receiver::{Arrival, Fate, NAMES, Receiver},
    seed::{seed, stream},
    support::{Car, Operator, Partner, Service, eventually, won},
};

/// Partners, each with a receiver; the cars that each of them orders; and how often the price of a car changes.
const PARTNERS: usize = 8;
const CARS: usize = 25;
const CHANGES: i64 = 5;
/// How many events an order has then: its auction ends, and it is secured or has failed.
const EVENTS_OF_ORDER: i64 = CHANGES + 2;
/// How many there are.
const EVENTS: i64 = (PARTNERS * CARS) as i64 * EVENTS_OF_ORDER;
/// How many receivers go down, and how often at most.
const DOWN: usize = PARTNERS / 2;
const DOWNS_MAX: u32 = 3;
/// How often a session of the database is ended by force, and how many are at most.
const KILLS_EVERY: Duration = Duration::from_millis(300);
const KILLS_MAX: u64 = 8;
/// How often time may be moved on, until all has arrived.
const ROUNDS_MAX: usize = 60;

const OPEN: (&str, &str) = ("WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8");

/// A partner and its receiver.
struct Side {
    partner: Partner,
    receiver: Receiver,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_in_its_sequence_whatever_receivers_do() {
    let seed = seed();
    let began = Instant::now();
    let mut chance = stream(seed, 0);
    let database = TestDatabase::with_connections(16).await;
    let mut service = Service::on(database, &[OPEN], router).await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sides = Vec::new();
    for n in 0..PARTNERS {
        let chance = stream(seed, 1 + n as u64);
        let receiver = Receiver::start(chance, trap.local_addr().unwrap()).await;
        sides.push(Side::of(&service, n, receiver).await);
    }
    order_everything(&service, &sides).await;
    let workers = [work(&service).await, work(&service).await];
    let calm = Arc::new(Mutex::new(()));
    let kills = Arc::new(AtomicU64::new(0));
    let killer = tokio::spawn(kill(service.db().clone(), calm.clone(), kills.clone()));

    let operator = unharmed_operator(&service);
    for change in 0..=CHANGES {
        change_everything(&operator, change).await;
        quiet(&service).await;
        let _calm = calm.lock().await;
        move_on(&service, &mut sides, &mut chance).await;
    }
    let mut rounds = 0;
    while waiting(&service).await > 0 {
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "some events never arrive");
        quiet(&service).await;
        let _calm = calm.lock().await;
        move_on(&service, &mut sides, &mut chance).await;
    }
    killer.abort();
    let kills = kills.load(Ordering::Relaxed);
    for worker in workers {
        worker.stop().await;
    }

    let mut counts = BTreeMap::from([("a session ended by force", kills)]);
    for side in &sides {
        let refused = side.judge(service.db()).await;
        *counts.entry("connection refused").or_default() += refused;
        for (name, count) in side.receiver.counts() {
            *counts.entry(name).or_default() += count;
        }
    }
    print(&counts, began);
    let followed = timeout(Duration::ZERO, trap.accept()).await;
    assert!(followed.is_err(), "a redirect was followed");
    for name in NAMES.iter().chain(&["connection refused"]) {
        assert!(counts.get(name).is_some_and(|it| *it > 0), "never: {name}");
    }
    let left = "select (select count(*) from webhook_lanes)
                     + (select count(*) from webhook_endpoints where not enabled)";
    assert_eq!(
        service.count(left).await,
        0,
        "a lane is left, or an endpoint was disabled"
    );
    assert_eq!(service.count("select count(*) from events").await, EVENTS);
    service.stop().await;
}

impl Side {
    /// Adds a partner with this receiver.
    async fn of(service: &Service, n: usize, receiver: Receiver) -> Self {
        let partner = service.partner(&format!("partner {n}")).await;
        let url = format!("http://{}/lmn", receiver.address);
        let put = partner.ask(Method::PUT, "/v1/webhook_endpoint");
        let endpoint = put.json(&json!({"url": url})).send().await.expect(201);
        receiver.trusts(endpoint["secret"].as_str().unwrap());
        Self { partner, receiver }
    }

    /// Holds what arrived against what is recorded; returns how many attempts nobody listened to.
    async fn judge(&self, db: &PgPool) -> u64 {
        assert_eq!(self.receiver.unverified(), 0, "a signature does not verify");
        let arrivals = self.receiver.arrivals();
        in_sequence(&arrivals);
        let mut of_event: HashMap<&str, Vec<Fate>> = HashMap::new();
        for it in &arrivals {
            of_event.entry(&it.event).or_default().push(it.fate);
        }
        let events = self.partner_events(db).await;
        assert_eq!(
            events.len(),
            of_event.len(),
            "each event arrives, and nothing else"
        );
        let mut attempts = 0;
        for (id, recorded) in events {
            let fates = &of_event[id.as_str()];
            assert!(
                recorded >= fates.len(),
                "{id}: {recorded} attempts, {fates:?}"
            );
            let acknowledged = fates.iter().position(|it| *it == Fate::Taken);
            let is_over = acknowledged.is_none_or(|it| it + 1 == fates.len());
            assert!(
                is_over,
                "{id} comes again although it was acknowledged: {fates:?}"
            );
            let may_end = matches!(fates.last(), Some(Fate::Taken | Fate::Slowly(_)));
            assert!(may_end, "{id} was never acknowledged: {fates:?}");
            attempts += recorded;
        }
        let unread = self.receiver.counts()["hung up unread"];
        let refused = attempts as u64 - arrivals.len() as u64 - unread;
        if self.receiver.downs == 0 {
            assert_eq!(refused, 0, "every attempt was seen, or hung up on");
        }
        refused
    }

    /// Returns the events, which must all be delivered, with their attempts.
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

/// Expects the events of each order in their sequence: none is left out, none comes behind a later one.
fn in_sequence(arrivals: &[Arrival]) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for it in arrivals {
        let last = last.entry(&it.order).or_default();
        let is_next = (*last..=*last + 1).contains(&it.sequence);
        assert!(is_next, "{}: {} after {last}", it.order, it.sequence);
        *last = it.sequence;
    }
    assert_eq!(last.len(), CARS, "each order was heard of");
    assert!(
        last.values().all(|it| *it == EVENTS_OF_ORDER),
        "the last events arrived"
    );
}

/// Every partner orders every car.
async fn order_everything(service: &Service, sides: &[Side]) {
    for n in 0..CARS {
        let far = "now() + interval '60 days'";
        service.car(Car::lot(&format!("glovis_{n}")).on(far)).await;
    }
    let mut ordering = JoinSet::new();
    for (m, side) in sides.iter().enumerate() {
        let partner = side.partner.clone();
        ordering.spawn(async move {
            for n in 0..CARS {
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

/// Starts a worker with an App of its own.
async fn work(service: &Service) -> App {
    let variables = [
        ("DATABASE_URL", service.database.url()),
        ("LMN_DATABASE__CONNECTIONS_MAX", "6".to_owned()),
        ("LMN_WEBHOOKS__OPEN_NETWORKS", OPEN.1.to_owned()),
        ("LMN_WEBHOOKS__ATTEMPT_SECONDS", "2".to_owned()),
        ("LMN_WEBHOOKS__LEASE_SECONDS", "4".to_owned()),
        ("LMN_WEBHOOKS__POLL_MILLISECONDS", "50".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let app = App::start(Settings::read(None, &variables).unwrap())
        .await
        .unwrap();
    app.tasks().spawn(Worker::new(app.clone()).unwrap().run());
    app
}

/// Returns an operator whose sessions nobody ends.
fn unharmed_operator(service: &Service) -> Operator {
    let url = service.database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}application_name=operator");
    Operator::at(&product(&url, 4))
}

/// Changes the price of every car, and in the end sells them: something happens to every order.
async fn change_everything(operator: &Operator, change: i64) {
    let mut changing = JoinSet::new();
    for part in 0..4 {
        let operator = operator.clone();
        changing.spawn(async move {
            for n in (part..CARS).step_by(4) {
                let car = format!("glovis_{n}");
                match change {
                    CHANGES => operator.settle(&car, won(11_000, 0)).await.unwrap(),
                    _ => operator.reprice(&car, 10_500 + change).await.unwrap(),
                };
            }
        });
    }
    while let Some(changed) = changing.join_next().await {
        changed.unwrap();
    }
}

/// Waits until nothing is due or being sent.
async fn quiet(service: &Service) {
    let busy = "select count(*) from webhook_lanes join partners on partners.id = partner_id
                where lease is not null or due_at <= lmn_now(clock_offset_seconds)";
    eventually("nothing is due", async || {
        (service.count(busy).await == 0).then_some(())
    })
    .await;
}

/// Counts what has not arrived yet.
async fn waiting(service: &Service) -> i64 {
    let waiting = "select count(*) from events where delivery_status = 'pending'";
    service.count(waiting).await
}

/// Moves each partner's time to where all that waits is due; some receivers go down for that while, or come up.
async fn move_on(service: &Service, sides: &mut [Side], chance: &mut StdRng) {
    for (n, side) in sides.iter_mut().enumerate() {
        let (partner, receiver) = (&side.partner, &mut side.receiver);
        if receiver.is_down() {
            receiver.comes_up().await;
        } else if n < DOWN && receiver.downs < DOWNS_MAX && chance.random_bool(0.4) {
            receiver.goes_down().await;
        }
        let wait = format!(
            "select coalesce(ceil(extract(epoch from max(due_at) - lmn_now(clock_offset_seconds))), 0)::bigint + 1
             from partners left join webhook_lanes on partner_id = partners.id
             where partners.id = '{}' group by clock_offset_seconds",
            partner.id
        );
        let seconds = service.count(&wait).await;
        partner.wait(seconds.max(1)).await;
    }
}

/// Ends sessions of the workers by force, at work, whatever they are doing; not while somebody is calm.
async fn kill(db: PgPool, calm: Arc<Mutex<()>>, kills: Arc<AtomicU64>) {
    while kills.load(Ordering::Relaxed) < KILLS_MAX {
        sleep(KILLS_EVERY).await;
        let _calm = calm.lock().await;
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
