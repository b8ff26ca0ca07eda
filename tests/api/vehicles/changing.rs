//! Walks of a list while others change vehicles of it in every way.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, FixedOffset, NaiveTime};
use rand::{RngExt, seq::IndexedRandom};
use sqlx::PgPool;

use super::{
    model::{Question, Row, at},
    walks::{Found, VEHICLES, ask_all, start},
};
use crate::seed::{seed, stream};

/// Questions that are asked while vehicles change.
const WALKS: usize = 150;

/// Says whether a vehicle is left alone while others change.
fn is_still(row: &Row) -> bool {
    row.id.bytes().map(u32::from).sum::<u32>() % 2 == 0
}

/// Changes vehicles in every way that there is, again and again; returns how often.
async fn disturb(db: PgPool, restless: Vec<String>, seed: u64, stop: Arc<AtomicBool>) -> usize {
    let mut chance = stream(seed, 2);
    let statement = "select string_agg(column_name, ', ') from information_schema.columns
        where table_name = 'vehicles' and is_generated = 'NEVER' and column_name not in ('id', 'summary', 'detail')";
    let columns: String = sqlx::query_scalar(statement).fetch_one(&db).await.unwrap();
    let copy = format!(
        "insert into vehicles (id, {columns})
         select id || '_new', {columns} from vehicles where id = any($1) and $2 >= 0 and $3 is not null
         on conflict do nothing"
    );
    let first_auction: DateTime<FixedOffset> = at(0, NaiveTime::MIN);
    let mut changes = 0;
    while !stop.load(Ordering::SeqCst) {
        let ids: Vec<_> = restless.sample(&mut chance, 12).cloned().collect();
        let random = chance.random_range(0..8_i32);
        let statement = match chance.random_range(0..7) {
            0 => "update vehicles set listing_usd = 1000 + 1000 * $2 where id = any($1) and $3 is not null",
            1 => "update vehicles set year = 2014 + $2, mileage_km = 10000 * $2 where id = any($1) and $3 is not null",
            2 => "update vehicles set auction_date = $3 + $2 * interval '12 hours'
                  where id = any($1) and auction_date is not null",
            3 => "update vehicles set withdrawn_at = case when withdrawn_at is null and $2 < 4 then now() end
                  where id = any($1) and $3 is not null",
            4 => copy.as_str(),
            5 => "delete from vehicles where id = any(select unnest($1) || '_new') and $2 >= 0 and $3 is not null",
            _ => "update vehicles set auction_result = 'no_bid', auction_result_at = now(), auction_count = $2
                  where id = any($1) and auction_date is not null and $3 is not null",
        };
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let query = sqlx::query(statement).bind(&ids).bind(random);
        query.bind(first_auction).execute(&db).await.unwrap();
        changes += 1;
    }
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vehicle_that_does_not_change_is_seen_exactly_once_while_others_do() {
    let seed = seed();
    let mut chance = stream(seed, 0);
    let rows: Vec<_> = (0..VEHICLES).map(|n| Row::random(&mut chance, n)).collect();
    let replicas = start(&rows).await;
    let (still, restless): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_still);
    assert!(still.len() > VEHICLES / 4 && restless.len() > VEHICLES / 4);
    let restless: Vec<_> = restless.into_iter().map(|it| it.id).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let db = replicas.0[0].db().clone();
    let disturbing = tokio::spawn(disturb(db, restless, seed, stop.clone()));
    let check = |question: &Question, found: &Found, still: &[Row]| {
        let known: HashMap<_, _> = still.iter().map(|it| (&it.id, it)).collect();
        let seen: Vec<_> = found
            .ids()
            .filter(|it| known.contains_key(it))
            .cloned()
            .collect();
        assert_eq!(seen, question.answer(still), "{question:?}");
        let first = &found.filtered_out[0];
        let stays = found.filtered_out.iter().all(|it| it == first);
        assert!(stays, "{found:?} {question:?}");
    };
    let asked = ask_all(&replicas, WALKS, seed, &Arc::new(still), check).await;
    stop.store(true, Ordering::SeqCst);
    let changes = disturbing.await.expect("vehicles can be changed");
    eprintln!("{changes} changes");
    // Half of the walks and more go over several pages.
    assert!(
        changes > 100 && asked.pages > WALKS + WALKS / 2,
        "{changes} {asked:?}"
    );
}
