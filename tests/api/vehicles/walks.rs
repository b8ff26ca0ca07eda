//! Any question, asked page by page of any replica: the right vehicles in the right order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::Utc;
use lmn_partner_api::{router::router, vehicles::render::render_all};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use tokio::task::JoinSet;

use super::model::{Question, Row, now};
use crate::{
    database::TestDatabase,
    seed::{seed, stream},
    support::{Partner, Service},
};

/// Vehicles there are, and questions asked of them.
pub const VEHICLES: usize = 300;
const QUESTIONS: usize = 500;
const AT_ONCE: usize = 6;
/// More pages than any walk has.
const PAGES_MAX: usize = 400;

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Found {
    /// The vehicles as they were shown.
    pub shown: Vec<Row>,
    /// How many of them were on each page.
    pub pages: Vec<usize>,
    /// What `X-LMN-Filtered-Out` said on each page.
    pub filtered_out: Vec<String>,
}

impl Found {
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.shown.iter().map(|it| &it.id)
    }
}

/// Asks a question to its end, in pages of any size, each of any replica.
async fn ask(replicas: &[Partner], question: &Question, chance: &mut StdRng) -> Found {
    let mut found = Found::default();
    let mut cursor = String::new();
    let largest = *[4, 40, 200, 200].choose(chance).unwrap();
    for _ in 0..PAGES_MAX {
        let limit = chance.random_range(1..=largest);
        let query = question.query(chance);
        let replica = replicas.choose(chance).unwrap();
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
    panic!("it never ends: {question:?}");
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

/// Starts replicas that show the same vehicles, the last of them without a cache, and a partner whose time is the model's.
pub async fn start(rows: &[Row]) -> (Vec<Service>, Partner) {
    let first = Service::start().await;
    insert(&first, rows).await;
    let url = first.database.url();
    let mut replicas = vec![first];
    for settings in [&[][..], &[("CATALOGUE__CACHE_MEBIBYTES", "0")]] {
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

/// Asks numbered questions of the replicas, some at once; `check` looks at each answer.
pub async fn ask_all(
    (replicas, acme): &(Vec<Service>, Partner),
    count: usize,
    seed: u64,
    rows: &Arc<Vec<Row>>,
    check: fn(&Question, &Found, &[Row]),
) -> Asked {
    let places: Vec<_> = replicas.iter().map(|it| acme.at(&it.url)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let mut askers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (places, next, rows) = (places.clone(), next.clone(), rows.clone());
        askers.spawn(async move {
            let mut asked = Asked::default();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return asked;
                }
                let mut chance = stream(seed, 10 + number as u64);
                let question = Question::random(&mut chance, &rows);
                let found = ask(&places, &question, &mut chance).await;
                for vehicle in &found.shown {
                    let matches = question.matches(vehicle);
                    assert!(matches, "{vehicle:?} is shown for {question:?}");
                }
                for pair in found.shown.windows(2) {
                    let in_order = question.is_before(&pair[0], &pair[1]);
                    assert!(in_order, "{pair:?} {question:?}");
                }
                check(&question, &found, &rows);
                asked.found += usize::from(!found.shown.is_empty());
                asked.strict += usize::from(question.is_strict());
                asked.pages += found.pages.len();
            }
        });
    }
    let mut all = Asked::default();
    while let Some(asked) = askers.join_next().await {
        let asked = asked.expect("every answer is right");
        all.found += asked.found;
        all.strict += asked.strict;
        all.pages += asked.pages;
    }
    eprintln!("{all:?}");
    all
}

/// How much was asked, so that it is not for nothing.
#[derive(Debug, Default)]
pub struct Asked {
    /// Questions to which there are vehicles.
    pub found: usize,
    /// Questions that drop dealers' vehicles.
    pub strict: usize,
    pub pages: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_question_is_answered_as_by_looking_at_every_vehicle() {
    let seed = seed();
    let mut chance = stream(seed, 0);
    let rows: Vec<_> = (0..VEHICLES).map(|n| Row::random(&mut chance, n)).collect();
    let replicas = start(&rows).await;
    let check = |question: &Question, found: &Found, rows: &[Row]| {
        let ids: Vec<_> = found.ids().cloned().collect();
        assert_eq!(ids, question.answer(rows), "{question:?}");
        let is_last_empty = found.pages.last() == Some(&0);
        assert!(!is_last_empty || found.pages.len() == 1, "{question:?}");
        let expected = question.filtered_out(rows);
        let is_exact = found.filtered_out.iter().all(|it| *it == expected);
        assert!(is_exact, "{expected} {found:?} {question:?}");
    };
    let asked = ask_all(&replicas, QUESTIONS, seed, &Arc::new(rows), check).await;
    assert!(asked.found > QUESTIONS / 4, "{asked:?}");
    assert!(asked.strict > QUESTIONS / 4, "{asked:?}");
}
