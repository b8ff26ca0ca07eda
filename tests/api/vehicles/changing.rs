//! Paging through lists while their vehicles change in every way.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, FixedOffset, NaiveTime};
use rand::{RngExt, seq::IndexedRandom};
use sqlx::PgPool;

use super::{
    model::{Row, Search, at},
    walks::{Found, VEHICLES, run_searches, start},
};
use crate::seed::{seed, stream};

/// Number of searches that are made while vehicles change.
const SEARCHES: usize = 150;

/// Returns whether a vehicle stays unchanged while others change.
fn is_unchanged(row: &Row) -> bool {
    row.id.bytes().map(u32::from).sum::<u32>() % 2 == 0
}

/// The least number of changes during the searches.
const CHANGES: usize = 100;

/// Changes vehicles in random ways until `stop`, and counts the changes.
async fn change_vehicles(
    db: PgPool,
    changing: Vec<String>,
    seed: u64,
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicUsize>,
) {
    let mut rng = stream(seed, 2);
    let statement = "select string_agg(column_name, ', ') from information_schema.columns
        where table_name = 'vehicles' and is_generated = 'NEVER' and column_name not in ('id', 'summary', 'detail')";
    let columns: String = sqlx::query_scalar(statement).fetch_one(&db).await.unwrap();
    let copy = format!(
        "insert into vehicles (id, {columns})
         select id || '_new', {columns} from vehicles where id = any($1) and $2 >= 0 and $3 is not null
         on conflict do nothing"
    );
    let first_auction: DateTime<FixedOffset> = at(0, NaiveTime::MIN);
    while !stop.load(Ordering::SeqCst) {
        let ids: Vec<_> = changing.sample(&mut rng, 12).cloned().collect();
        let random = rng.random_range(0..8_i32);
        let statement = match rng.random_range(0..7) {
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
        changes.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanged_vehicle_is_listed_exactly_once_while_others_change() {
    let seed = seed();
    let mut rng = stream(seed, 0);
    let rows: Vec<_> = (0..VEHICLES).map(|n| Row::random(&mut rng, n)).collect();
    let replicas = start(&rows).await;
    let (unchanged, changing): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_unchanged);
    assert!(unchanged.len() > VEHICLES / 4 && changing.len() > VEHICLES / 4);
    let changing: Vec<_> = changing.into_iter().map(|it| it.id).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let db = replicas.0[0].db().clone();
    let changes = Arc::new(AtomicUsize::new(0));
    let writer = change_vehicles(db, changing, seed, stop.clone(), changes.clone());
    let writer = tokio::spawn(writer);
    let check = |search: &Search, found: &Found, unchanged: &[Row]| {
        let by_id: HashMap<_, _> = unchanged.iter().map(|it| (&it.id, it)).collect();
        let seen: Vec<_> = found
            .ids()
            .filter(|it| by_id.contains_key(it))
            .cloned()
            .collect();
        assert_eq!(seen, search.matching_ids(unchanged), "{search:?}");
        let first = &found.filtered_out[0];
        let stays = found.filtered_out.iter().all(|it| it == first);
        assert!(stays, "{found:?} {search:?}");
    };
    let unchanged = Arc::new(unchanged);
    // More searches than one round are needed if the machine has other things to do.
    for round in 0.. {
        let totals = run_searches(&replicas, SEARCHES, seed + round, &unchanged, check).await;
        // At least half of the searches have several pages.
        assert!(totals.pages > SEARCHES + SEARCHES / 2, "{totals:?}");
        if changes.load(Ordering::SeqCst) > CHANGES {
            break;
        }
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.expect("vehicles can be changed");
}
