//! Any question, asked page by page: the right cars in the right order, however the server goes about it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use lmn_partner_api::{router::router, vehicles::render::render_all};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::model::{Question, Row};
use crate::{
    database::TestDatabase,
    seed::{seed, stream},
    support::{Partner, Service},
};

/// Cars there are, and questions asked of them.
const CARS: usize = 300;
const QUESTIONS: usize = 500;
/// Questions that are asked while cars change.
const WALKS: usize = 150;
const AT_ONCE: usize = 6;
/// More pages than any walk has.
const PAGES_MAX: usize = 400;

/// What a walk has found.
#[derive(Debug, Default)]
struct Found {
    ids: Vec<String>,
    /// What `X-LMN-Filtered-Out` said on each page.
    filtered_out: Vec<String>,
    /// Pages that were not full, and yet not the last.
    short: usize,
    /// The same of the first replica, which only a car that goes while its page is read makes so.
    short_of_the_first: usize,
}

/// Asks a question to its end, in pages of any size, each of any replica; the first of them looks at all cars there are.
async fn ask(replicas: &[Partner], question: &Question, chance: &mut StdRng) -> Found {
    let mut found = Found::default();
    let mut cursor = String::new();
    let largest = *[4, 40, 200, 200].choose(chance).unwrap();
    for _ in 0..PAGES_MAX {
        let limit = chance.random_range(1..=largest);
        let query = question.query(chance);
        let at = chance.random_range(0..replicas.len());
        let page = replicas[at]
            .get(&format!("/v1/vehicles?{query}&limit={limit}{cursor}"))
            .await;
        let ids = page.ids();
        let is_full = ids.len() == limit;
        assert!(ids.len() <= limit, "{query}");
        found.ids.extend(ids);
        let told = page.header("x-lmn-filtered-out");
        found.filtered_out.push(told.to_owned());
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
        found.short += usize::from(!is_full);
        found.short_of_the_first += usize::from(!is_full && at == 0);
    }
    panic!("it never ends: {question:?}");
}

async fn insert(service: &Service, rows: &[Row]) {
    let rows: Value = rows.iter().map(Row::columns).collect();
    let statement = "insert into vehicles (id, source, make, model, trim, year, mileage_km, listing_usd, fuel,
            transmission, color, options, auction_date, auction_result, auction_result_at, auction_count,
            accident_grade, exterior_grade, withdrawn_at, listed_at, updated_at, priced_at, make_key, model_key, terms)
        select it.*, now(), now(), now(), '', '', ''
        from jsonb_to_recordset($1) as it(id text, source text, make text, model text, trim text, year smallint,
            mileage_km integer, listing_usd integer, fuel text, transmission text, color text, options text[],
            auction_date timestamptz, auction_result text, auction_result_at timestamptz, auction_count smallint,
            accident_grade text, exterior_grade text, withdrawn_at timestamptz)";
    let inserted = sqlx::query(statement)
        .bind(rows)
        .execute(service.db())
        .await;
    inserted.expect("the cars fit the schema");
    let rendered = render_all(&service.database.product, 100).await;
    rendered.expect("the cars can be shown");
}

/// Replicas on one database: one with the usual limits, and some that hardly look at any car at a time.
async fn replicas(seed: u64) -> Vec<Service> {
    let first = Service::start().await;
    let url = first.database.url();
    let mut replicas = vec![first];
    let mut chance = stream(seed, 1);
    for _ in 0..4 {
        let walk = chance.random_range(15..90);
        let glance = chance.random_range(1..=walk);
        let gather = chance.random_range(1..25);
        eprintln!("glance {glance}, gather {gather}, walk {walk}");
        let budgets = [glance, gather, walk].map(|it: u32| it.to_string());
        let settings = [
            ("CATALOGUE__GLANCE_CARS", budgets[0].as_str()),
            ("CATALOGUE__GATHER_CARS", &budgets[1]),
            ("CATALOGUE__WALK_CARS", &budgets[2]),
            ("DATABASE__CONNECTIONS_MAX", "3"),
        ];
        replicas.push(Service::at(TestDatabase::new().await, &url, &settings, router).await);
    }
    replicas
}

/// Asks numbered questions of the replicas, some at once; `check` looks at each answer.
async fn ask_all(
    replicas: &[Service],
    count: usize,
    seed: u64,
    rows: &Arc<Vec<Row>>,
    check: fn(&Question, &Found, &[Row]),
) -> Asked {
    let acme = replicas[0].partner("acme").await;
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
                check(&question, &found, &rows);
                asked.found += usize::from(!found.ids.is_empty());
                asked.strict += usize::from(question.is_strict());
                asked.pages += found.filtered_out.len();
                asked.short += found.short;
            }
        });
    }
    let mut all = Asked::default();
    while let Some(asked) = askers.join_next().await {
        let asked = asked.expect("every answer is right");
        all.found += asked.found;
        all.strict += asked.strict;
        all.pages += asked.pages;
        all.short += asked.short;
    }
    eprintln!("{all:?}");
    all
}

/// How much was asked, so that it is not for nothing.
#[derive(Debug, Default)]
struct Asked {
    /// Questions to which there are cars.
    found: usize,
    /// Questions that drop dealers' cars.
    strict: usize,
    pages: usize,
    short: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_question_is_answered_as_one_who_looks_at_every_car_would() {
    let seed = seed();
    let mut chance = stream(seed, 0);
    let rows: Vec<_> = (0..CARS).map(|n| Row::random(&mut chance, n)).collect();
    let replicas = replicas(seed).await;
    insert(&replicas[0], &rows).await;
    let check = |question: &Question, found: &Found, rows: &[Row]| {
        assert_eq!(found.ids, question.answer(rows), "{question:?}");
        assert_eq!(found.short_of_the_first, 0, "{question:?}");
        let expected = question.filtered_out(rows);
        let told = |it: &String| *it == expected;
        assert!(
            found.filtered_out.iter().all(told),
            "{expected} {found:?} {question:?}"
        );
    };
    let asked = ask_all(&replicas, QUESTIONS, seed, &Arc::new(rows), check).await;
    assert!(asked.found > QUESTIONS / 4, "{asked:?}");
    assert!(asked.strict > QUESTIONS / 4, "{asked:?}");
    assert!(asked.short > 100, "{asked:?}");
}

/// Says whether a car is left alone while others change.
fn is_still(row: &Row) -> bool {
    row.id.bytes().map(u32::from).sum::<u32>() % 2 == 0
}

/// Changes cars in every way that there is, again and again; returns how often.
async fn disturb(db: PgPool, restless: Vec<String>, seed: u64, stop: Arc<AtomicBool>) -> usize {
    let mut chance = stream(seed, 2);
    let statement = "select string_agg(column_name, ', ') from information_schema.columns
        where table_name = 'vehicles' and is_generated = 'NEVER' and column_name <> 'id'";
    let columns: String = sqlx::query_scalar(statement).fetch_one(&db).await.unwrap();
    let mut changes = 0;
    while !stop.load(Ordering::SeqCst) {
        let ids: Vec<_> = restless.sample(&mut chance, 12).cloned().collect();
        let random = chance.random_range(0..8_i32);
        let copy = format!(
            "insert into vehicles (id, {columns}) select id || '_new', {columns} from vehicles where id = any($1) and $2 >= 0
             on conflict do nothing"
        );
        let statement = match chance.random_range(0..7) {
            0 => "update vehicles set listing_usd = 1000 + 1000 * $2 where id = any($1)",
            1 => "update vehicles set year = 2014 + $2, mileage_km = 10000 * $2 where id = any($1)",
            2 => "update vehicles set auction_date = timestamptz '2026-04-17 21:00+09' + $2 * interval '12 hours'
                  where id = any($1) and auction_date is not null",
            3 => "update vehicles set withdrawn_at = case when withdrawn_at is null and $2 < 4 then now() end
                  where id = any($1)",
            4 => copy.as_str(),
            5 => "delete from vehicles where id = any(select unnest($1) || '_new') and $2 >= 0",
            _ => "update vehicles set auction_result = 'no_bid', auction_result_at = now(), auction_count = $2
                  where id = any($1) and auction_date is not null",
        };
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let query = sqlx::query(statement).bind(&ids).bind(random);
        query.execute(&db).await.unwrap();
        changes += 1;
    }
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_others_change_each_car_that_does_not_is_seen_exactly_once() {
    let seed = seed();
    let mut chance = stream(seed, 0);
    let rows: Vec<_> = (0..CARS).map(|n| Row::random(&mut chance, n)).collect();
    let replicas = replicas(seed).await;
    insert(&replicas[0], &rows).await;
    let (still, restless): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_still);
    assert!(still.len() > CARS / 4 && restless.len() > CARS / 4);
    let restless: Vec<_> = restless.into_iter().map(|it| it.id).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let disturbing = tokio::spawn(disturb(
        replicas[0].db().clone(),
        restless,
        seed,
        stop.clone(),
    ));
    let check = |question: &Question, found: &Found, still: &[Row]| {
        let known: HashMap<_, _> = still.iter().map(|it| (&it.id, it)).collect();
        let seen: Vec<_> = found
            .ids
            .iter()
            .filter(|it| known.contains_key(it))
            .cloned()
            .collect();
        assert_eq!(seen, question.answer(still), "{question:?}");
    };
    let asked = ask_all(&replicas, WALKS, seed, &Arc::new(still), check).await;
    stop.store(true, Ordering::SeqCst);
    let changes = disturbing.await.expect("cars can be changed");
    eprintln!("{changes} changes");
    assert!(
        changes > 100 && asked.pages > 2 * WALKS,
        "{changes} {asked:?}"
    );
}
