//! What a file that lists all cars of a source leaves out, in tables of the session that reads the file.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::super::model::Source;
use crate::{
    database::{Connection, Tx, column::vehicle_id},
    id::VehicleId,
    word::Word,
};

/// Makes the tables.
pub(crate) async fn make_snapshot(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        r#"
        create temporary table listed_cars (id text collate "C" primary key);
        create temporary table unlisted_cars (id text collate "C" primary key);
        "#,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Waits until no other session takes a snapshot of a source, and keeps all others waiting until the session ends.
pub(crate) async fn take_turn(tx: &mut Tx, source: Source) -> Result<(), sqlx::Error> {
    wait_for_ever(tx).await?;
    sqlx::query!(
        "select pg_advisory_lock(hashtext('lmn: snapshots'), hashtext($1))",
        source.as_str(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Remembers cars that the file lists.
pub(crate) async fn note_listed(tx: &mut Tx, ids: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query("insert into listed_cars select unnest($1::text[]) on conflict do nothing")
        .bind(ids)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Gathers the cars of sources that the file has left out, but for those that somebody changed since it was begun.
pub(crate) async fn find_unlisted(
    tx: &mut Tx,
    sources: &[Source],
    begun_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let sources: Vec<&str> = sources.iter().map(|it| it.as_str()).collect();
    // It reads the whole catalogue, and keeps nobody waiting.
    wait_for_ever(tx).await?;
    sqlx::raw_sql("analyze listed_cars")
        .execute(&mut **tx)
        .await?;
    let unlisted = AssertSqlSafe(
        "insert into unlisted_cars
         select id from vehicles
         where source = any($1) and withdrawn_at is null and updated_at < $2
           and not exists (select from listed_cars where listed_cars.id = vehicles.id)",
    );
    sqlx::query(unlisted)
        .persistent(false)
        .bind(sources)
        .bind(begun_at)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Returns the next of these cars after a place, by their ids.
pub(crate) async fn next_unlisted(
    conn: &mut Connection,
    after: &str,
    limit: i64,
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let next = "select id from unlisted_cars where id > $1 order by id limit $2";
    let ids: Vec<String> = sqlx::query_scalar(next)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    let ids = ids.iter().map(|id| Ok(vehicle_id(id)?));
    ids.collect()
}

/// Lets the statements of a transaction take as long as they take.
async fn wait_for_ever(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config(name, '0', true) from unnest(array['lock_timeout', 'statement_timeout']) as name"
    )
    .fetch_all(&mut **tx)
    .await
    .map(drop)
}
