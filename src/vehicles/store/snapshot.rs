//! The vehicles that a snapshot omits, in temporary tables of the session that reads the file.

use chrono::{DateTime, Utc};

use super::super::model::Source;
use crate::{
    database::{Connection, Tx, column::vehicle_id},
    values::{id::VehicleId, string_enum::StringEnum},
};

/// A source, and the number of its vehicles that a snapshot omits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unlisted {
    /// The source.
    pub source: Source,
    /// The number of its vehicles that the snapshot omits.
    pub vehicles: u64,
    /// The number of its vehicles that the catalogue listed when the tables were created.
    pub listed_before: u64,
}

/// Creates the tables, and counts the vehicles of sources that the catalogue lists now.
pub(crate) async fn make_snapshot(tx: &mut Tx, sources: &[Source]) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        r#"
        create temporary table listed_before (source text primary key, vehicles bigint not null);
        create temporary table listed_vehicles (id text collate "C" primary key);
        create temporary table unlisted_vehicles (id text collate "C" primary key);
        "#,
    )
    .execute(&mut **tx)
    .await?;
    disable_timeouts(tx).await?;
    let count = "insert into listed_before
                 select source, count(*) from vehicles
                 where source = any($1) and withdrawn_at is null
                 group by source";
    sqlx::query(count)
        .persistent(false)
        .bind(words(sources))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Locks the snapshots of a source for this session until it ends; waits while another session holds the lock.
pub(crate) async fn take_turn(tx: &mut Tx, source: Source) -> Result<(), sqlx::Error> {
    disable_timeouts(tx).await?;
    sqlx::query!(
        "select pg_advisory_lock(hashtext('lmn: snapshots'), hashtext($1))",
        source.as_str(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Records vehicles that the file lists.
pub(crate) async fn note_listed(tx: &mut Tx, ids: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query("insert into listed_vehicles select unnest($1::text[]) on conflict do nothing")
        .bind(ids)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Collects the vehicles of sources that the file omits, except those that were changed at or after `begun_at`, and
/// counts them by source.
pub(crate) async fn find_unlisted(
    tx: &mut Tx,
    sources: &[Source],
    begun_at: DateTime<Utc>,
) -> Result<Vec<Unlisted>, sqlx::Error> {
    // The statement reads the whole catalogue, and no other transaction waits for it.
    disable_timeouts(tx).await?;
    sqlx::raw_sql("analyze listed_vehicles; delete from unlisted_vehicles")
        .execute(&mut **tx)
        .await?;
    let unlisted = "with unlisted as materialized (
             select id, source from vehicles
             where source = any($1) and withdrawn_at is null and updated_at < $2
               and not exists (select from listed_vehicles where listed_vehicles.id = vehicles.id)
         ), gathered as (
             insert into unlisted_vehicles select id from unlisted
         )
         select (select count(*) from unlisted where unlisted.source = it.source),
             coalesce((select vehicles from listed_before where listed_before.source = it.source), 0)
         from unnest($1) with ordinality as it(source, n) order by n";
    let counts: Vec<(i64, i64)> = sqlx::query_as(unlisted)
        .persistent(false)
        .bind(words(sources))
        .bind(begun_at)
        .fetch_all(&mut **tx)
        .await?;
    let counts = sources.iter().zip(counts);
    let counts = counts.map(|(source, (vehicles, listed_before))| Unlisted {
        source: *source,
        vehicles: vehicles.unsigned_abs(),
        listed_before: listed_before.unsigned_abs(),
    });
    Ok(counts.collect())
}

/// Returns up to `limit` of these vehicles after the id `after`, in the order of their ids.
pub(crate) async fn next_unlisted(
    conn: &mut Connection,
    after: &str,
    limit: i64,
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let next = "select id from unlisted_vehicles where id > $1 order by id limit $2";
    let ids: Vec<String> = sqlx::query_scalar(next)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    let ids = ids.iter().map(|id| Ok(vehicle_id(id)?));
    ids.collect()
}

fn words(sources: &[Source]) -> Vec<&'static str> {
    sources.iter().map(|it| it.as_str()).collect()
}

/// Disables the lock and statement timeouts of a transaction.
async fn disable_timeouts(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config(name, '0', true) from unnest(array['lock_timeout', 'statement_timeout']) as name"
    )
    .fetch_all(&mut **tx)
    .await
    .map(drop)
}
