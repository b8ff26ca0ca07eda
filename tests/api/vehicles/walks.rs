//! Random searches, read page by page from any replica: the right vehicles in the right order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::Utc;
use lmn_partner_api::{router::router, vehicles::render::render_all};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use tokio::task::JoinSet;

use super::model::{Row, Search, now};
use crate::{
    database::TestDatabase,
    seed::{seed, stream},
    support::{Partner, Service, settings},
};

/// Number of vehicles, of searches, and of searches at once.
pub const VEHICLES: usize = 300;
const SEARCHES: usize = 500;
const AT_ONCE: usize = 6;
/// Bound on the pages of one search.
const PAGES_MAX: usize = 400;

/// The result of a search, from all its pages.
#[derive(Debug, Default)]
pub struct Found {
    /// The vehicles as they were shown.
    pub shown: Vec<Row>,
    /// Number of vehicles on each page.
    pub pages: Vec<usize>,
    /// `X-LMN-Filtered-Out` of each page.
    pub filtered_out: Vec<String>,
}

impl Found {
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.shown.iter().map(|it| &it.id)
    }
}

/// Reads all pages of a search, each of a random size and from a random replica.
async fn run_search(replicas: &[Partner], search: &Search, rng: &mut StdRng) -> Found {
    let mut found = Found::default();
    let mut cursor = String::new();
    let largest = *[4, 40, 200, 200].choose(rng).unwrap();
    for _ in 0..PAGES_MAX {
        let limit = rng.random_range(1..=largest);
        let query = search.query(rng);
        let replica = replicas.choose(rng).unwrap();
        let page = replica
            .get(&format!("/v1/vehicles?{query}&limit={limit}{cursor}"))
            .await;
        let body = page.ok();
        let vehicles = body["data"].as_array().unwrap();
        found.pages.push(vehicles.len());
        found.shown.extend(vehicles.iter().map(Row::shown));
        let filtered_out = page.header("x-lmn-filtered-out");
        found.filtered_out.push(filtered_out.to_owned());
        match body["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(vehicles.len(), limit, "a page is not full: {query}");
                cursor = format!("&cursor={next}");
            }
            None => {
                assert!(vehicles.len() <= limit, "{query}");
                return found;
            }
        }
    }
    panic!("it never ends: {search:?}");
}

async fn insert(service: &Service, rows: &[Row]) {
    let rows: Value = rows.iter().map(Row::columns).collect();
    let statement = "insert into vehicles (id, source, make, model, trim, year, mileage_km, listing_usd, fuel,
            transmission, color, options, auction_date, auction_result, auction_result_at, auction_count,
            accident_grade, exterior_grade, withdrawn_at, listed_at, updated_at, priced_at)
        select it.*, now(), now(), now()
        from jsonb_to_recordset($1) as it(id text, source text, make text, model text, trim text, year smallint,
            mileage_km integer, listing_usd integer, fuel text, transmission text, color text, options text[],
            auction_date timestamptz, auction_result text, auction_result_at timestamptz, auction_count smallint,
            accident_grade text, exterior_grade text, withdrawn_at timestamptz)";
    let inserted = sqlx::query(statement)
        .bind(rows)
        .execute(service.db())
        .await;
    inserted.expect("the vehicles fit the schema");
    let rendered = render_all(&service.database.product, 100).await;
    rendered.expect("the vehicles can be shown");
}

/// Starts replicas of one catalogue, the last one without a cache, and a partner whose clock shows the model's time.
pub async fn start(rows: &[Row]) -> (Vec<Service>, Partner) {
    let first = Service::start().await;
    insert(&first, rows).await;
    let url = first.database.url();
    let mut replicas = vec![first];
    for settings in [&[][..], &[settings::NO_VEHICLE_CACHE]] {
        replicas.push(Service::at(TestDatabase::new().await, &url, settings, router).await);
    }
    let acme = replicas[0].partner("acme").await;
    acme.wait((now() - Utc::now().fixed_offset()).num_seconds())
        .await;
    for replica in &replicas {
        replica.app.catch_up().await;
    }
    (replicas, acme)
}

/// Makes numbered random searches, some at once, and applies `check` to each result.
pub async fn run_searches(
    (replicas, acme): &(Vec<Service>, Partner),
    count: usize,
    seed: u64,
    rows: &Arc<Vec<Row>>,
    check: fn(&Search, &Found, &[Row]),
) -> Totals {
    let partners: Vec<_> = replicas.iter().map(|it| acme.at(&it.url)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (partners, next, rows) = (partners.clone(), next.clone(), rows.clone());
        tasks.spawn(async move {
            let mut totals = Totals::default();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return totals;
                }
                let mut rng = stream(seed, 10 + number as u64);
                let search = Search::random(&mut rng, &rows);
                let found = run_search(&partners, &search, &mut rng).await;
                for vehicle in &found.shown {
                    let matches = search.matches(vehicle);
                    assert!(matches, "{vehicle:?} is shown for {search:?}");
                }
                for pair in found.shown.windows(2) {
                    let in_order = search.is_before(&pair[0], &pair[1]);
                    assert!(in_order, "{pair:?} {search:?}");
                }
                check(&search, &found, &rows);
                totals.found += usize::from(!found.shown.is_empty());
                totals.strict += usize::from(search.is_strict());
                totals.pages += found.pages.len();
            }
        });
    }
    let mut all = Totals::default();
    while let Some(totals) = tasks.join_next().await {
        let totals = totals.expect("every answer is right");
        all.found += totals.found;
        all.strict += totals.strict;
        all.pages += totals.pages;
    }
    eprintln!("{all:?}");
    all
}

/// Totals over the searches, by which a test checks that it covers enough cases.
#[derive(Debug, Default)]
pub struct Totals {
    /// Searches that found vehicles.
    pub found: usize,
    /// Searches with a filter that drops dealers' vehicles.
    pub strict: usize,
    pub pages: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_search_finds_what_a_scan_of_all_vehicles_finds() {
    let seed = seed();
    let mut rng = stream(seed, 0);
    let rows: Vec<_> = (0..VEHICLES).map(|n| Row::random(&mut rng, n)).collect();
    let replicas = start(&rows).await;
    let check = |search: &Search, found: &Found, rows: &[Row]| {
        let ids: Vec<_> = found.ids().cloned().collect();
        assert_eq!(ids, search.matching_ids(rows), "{search:?}");
        let is_last_empty = found.pages.last() == Some(&0);
        assert!(!is_last_empty || found.pages.len() == 1, "{search:?}");
        let expected = search.filtered_out(rows);
        let is_exact = found.filtered_out.iter().all(|it| *it == expected);
        assert!(is_exact, "{expected} {found:?} {search:?}");
    };
    let totals = run_searches(&replicas, SEARCHES, seed, &Arc::new(rows), check).await;
    assert!(totals.found > SEARCHES / 4, "{totals:?}");
    assert!(totals.strict > SEARCHES / 4, "{totals:?}");
}
