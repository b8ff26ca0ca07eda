//! Thousands of orders over connections that break all the time: no order is lost or doubled, and every response is
//! correct.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::router::router;
use sqlx::PgPool;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    clients::Client,
    database::TestDatabase,
    invariants::check_invariants,
    plan::{NAMES, Plan},
    seed::seed,
    support::{Partner, Service, eventually, pool_sessions, settings},
    wire,
    witness::Witness,
};

/// Number of partners, and of vehicles, each ordered by every partner.
const PARTNERS: usize = 4;
const VEHICLES: usize = 500;
/// Number of concurrent clients.
const CLIENTS: usize = 40;
/// Percentage of orders that are cancelled again.
const CANCELLED_PERCENT: u32 = 25;
/// Interval between forced ends of database sessions, and their largest number, which bounds them on slow machines.
const KILLS_EVERY: Duration = Duration::from_millis(250);
const KILLS_MAX: u64 = 60;

/// Outcomes that must each occur at least once for the run to be meaningful.
const OUTCOMES: [&str; 7] = [
    "bound",
    "replayed",
    "unbound",
    "conflict",
    "unknown, and executed",
    "unknown, and not executed",
    "abandoned",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_neither_lost_nor_doubled_and_responses_are_correct_whatever_breaks() {
    let seed = seed();
    let began = Instant::now();
    let database = TestDatabase::with_connections(16).await;
    let plan = Arc::new(Plan::new(seed));
    let planned = plan.clone();
    let url = wire::string(&database, move |moment| planned.decide(moment)).await;
    let mut settings = vec![settings::database_connections_max(20)];
    settings.extend(settings::short_timeouts());
    let mut service = Service::at(database, &url, &settings, router).await;
    let mut partners = Vec::new();
    for n in 0..PARTNERS {
        partners.push(service.partner(&format!("partner {n}")).await);
    }
    add_vehicles(service.db(), VEHICLES).await;
    let witness = Arc::new(Witness::of(service.db()).await);

    plan.pause(false);
    let killer = tokio::spawn(kill(service.db().clone(), plan.clone()));
    let cancelled = order_everything(seed, &partners, &witness).await;
    plan.pause(true);
    let kills = killer.await.unwrap();
    service.stop().await;
    wait_for_sessions_to_end(service.db()).await;

    let outcomes = witness.check_all().await;
    let mut faults = plan.counts();
    faults.insert("a session ended by force", kills);
    print(&faults, &outcomes, began);
    check_tables(service.db(), cancelled).await;
    for name in NAMES {
        assert!(
            faults.get(name).is_some_and(|it| *it > 0),
            "never happened: {name}"
        );
    }
    for name in OUTCOMES {
        assert!(
            outcomes.get(name).is_some_and(|it| *it > 0),
            "never happened: {name}"
        );
    }
    assert!(kills > 0);
}

/// Adds the lots `glovis_1`, `glovis_2` and so on, which are not rendered yet.
pub async fn add_vehicles(db: &PgPool, count: usize) {
    sqlx::query(
        "insert into vehicles (id, source, make, model, year, mileage_km, listing_usd, auction_date, auction_result,
                               listed_at, updated_at, priced_at)
         select 'glovis_' || n, 'glovis', 'Hyundai', 'Grandeur', 2021, 40000, 10000, date_trunc('day', now() + interval '10 days'),
                'upcoming', date_trunc('day', now()), date_trunc('day', now()), date_trunc('day', now())
         from generate_series(1, $1) n",
    )
    .bind(count as i64)
    .execute(db)
    .await
    .unwrap();
}

/// Lets every partner order every vehicle, in a queue in which the partners' orders of one vehicle are adjacent.
/// Returns the number of cancelled orders.
async fn order_everything(seed: u64, partners: &[Partner], witness: &Arc<Witness>) -> u64 {
    let next = Arc::new(AtomicUsize::new(0));
    let cancelled = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for number in 1..=CLIENTS as u64 {
        let (next, cancelled) = (next.clone(), cancelled.clone());
        let (partners, witness) = (partners.to_vec(), witness.clone());
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                let (vehicle, partner) = (n / PARTNERS + 1, &partners[n % PARTNERS]);
                if vehicle > VEHICLES {
                    return;
                }
                let stream = number * 1_000_000 + n as u64;
                let client = Client::new(partner, &witness, seed, stream);
                let order = client.place(&format!("glovis_{vehicle}"), 12_000).await;
                if client.percent(CANCELLED_PERCENT) {
                    client.cancel(&order).await;
                    cancelled.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    // The first client that finds an error ends the run.
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    cancelled.load(Ordering::SeqCst)
}

/// Ends random sessions by force until faults are paused. Returns their number.
async fn kill(db: PgPool, plan: Arc<Plan>) -> u64 {
    let mut kills = 0;
    while !plan.is_paused() && kills < KILLS_MAX {
        sleep(KILLS_EVERY).await;
        let killed = sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'lmn' order by random() limit 1",
        );
        kills += killed.execute(&db).await.unwrap().rows_affected();
    }
    kills
}

/// Waits until the service has no session left, because an interrupted commit may still be running.
async fn wait_for_sessions_to_end(db: &PgPool) {
    eventually("the service's sessions end", async || {
        pool_sessions(db).await.is_empty().then_some(())
    })
    .await;
}

/// Invariants of the tables after such a run, besides those of every database. Each query counts its violations.
const BROKEN: [(&str, &str); 4] = [
    (
        "a key without the order in its reply",
        "select count(*) from idempotency_keys left join orders on orders.id = order_id
         where order_id is null or reply_body is null or orders.partner_id <> idempotency_keys.partner_id
            or convert_from(reply_body, 'UTF8')::jsonb ->> 'vehicle_id' <> orders.vehicle_id",
    ),
    (
        "a vehicle ordered twice by one partner",
        "select count(*) from (
             select from orders group by partner_id, vehicle_id having count(*) <> 1) broken",
    ),
    (
        "a history with a step too many",
        "select count(*) from (
             select orders.id from orders left join order_history on order_id = orders.id
             group by orders.id, orders.status
             having array_agg(n || ' ' || order_history.status order by n) <>
                 case orders.status when 'proceed' then array['1 proceed'] else array['1 proceed', '2 cancelled'] end) broken",
    ),
    (
        "a change without its audit row, or a row too many",
        "select count(*) from (
             select 'order.placed' || id from (select order_id as id from order_history where n = 1) placed
             union all select 'order.cancelled' || id from (select order_id as id from order_history where n = 2) cancelled) steps
         having count(*) <> (select count(*) from audit_log)",
    ),
];

async fn check_tables(db: &PgPool, cancelled: u64) {
    check_invariants(db).await;
    for (what, query) in BROKEN {
        let broken: Option<i64> = sqlx::query_scalar(query).fetch_optional(db).await.unwrap();
        assert_eq!(broken.unwrap_or_default(), 0, "{what}");
    }
    let counted: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from orders), (select count(*) from orders where status = 'cancelled'),
                (select count(*) from idempotency_keys)",
    )
    .fetch_one(db)
    .await
    .unwrap();
    let (orders, cancelled) = ((PARTNERS * VEHICLES) as i64, cancelled as i64);
    assert_eq!(counted, (orders, cancelled, orders + cancelled));
}

fn print(faults: &BTreeMap<&'static str, u64>, outcomes: &BTreeMap<String, u64>, began: Instant) {
    let orders = PARTNERS * VEHICLES;
    eprintln!(
        "\n{orders} orders in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for (name, count) in faults {
        eprintln!("{count:>8}  {name}");
    }
    eprintln!("{:>8}  --", "");
    for (name, count) in outcomes {
        eprintln!("{count:>8}  {name}");
    }
}
