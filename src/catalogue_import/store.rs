//! SQL of imports: new vehicles are inserted by `copy`, existing vehicles are locked and updated, and the vehicles that
//! a snapshot omits are found. Temporary tables belong to the session that reads the file.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{
    change::Known,
    draft::{COLUMNS, Digest, Draft},
};
use crate::{
    database::{
        Connection, Tx,
        column::{optional_word, vehicle_id},
    },
    values::{id::VehicleId, string_enum::StringEnum},
    vehicles::{
        model::{Source, Vehicle, WithdrawnBy},
        store::{VehicleRow, listing_columns},
    },
};

/// The temporary table that holds changed listings until they are applied.
const CHANGED: &str = "changed_listings";

/// Locks the import of listings until the transaction ends, and returns the current time after the lock was acquired.
///
/// Until then no other import inserts a vehicle that this transaction did not find. Imports take turns by batch.
pub(crate) async fn lock_listing(tx: &mut Tx) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with locked as materialized (select pg_advisory_xact_lock(hashtext('lmn: listings')))
        select lmn_now(0) as "now!" from locked
        "#
    )
    .fetch_one(&mut **tx)
    .await
}

/// A listing that [`look`] found to differ from the catalogue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Different {
    /// Its index in the arguments of [`look`].
    pub place: usize,
    /// Whether the vehicle is not in the catalogue.
    pub is_new: bool,
}

/// Finds the listings that differ from the last listing of their vehicle, and those whose vehicle is new or withdrawn.
pub(crate) async fn look(
    tx: &mut Tx,
    ids: &[&str],
    digests: &[Digest],
) -> Result<Vec<Different>, sqlx::Error> {
    let digests: Vec<&[u8]> = digests.iter().map(Digest::bytes).collect();
    let rows = sqlx::query!(
        r#"
        select n as "n!", vehicles.id is null as "is_new!"
        from unnest($1::text[], $2::bytea[]) with ordinality as it(id, digest, n)
        left join vehicles on vehicles.id = it.id
        where vehicles.listing_digest is distinct from it.digest or vehicles.withdrawn_at is not null
        order by n
        "#,
        ids as &[&str],
        &digests as &[&[u8]],
    )
    .fetch_all(&mut **tx)
    .await?;
    let different = rows.into_iter().filter_map(|row| {
        Some(Different {
            place: usize::try_from(row.n - 1).ok()?,
            is_new: row.is_new,
        })
    });
    Ok(different.collect())
}

/// Inserts vehicles that [`look`] has found to be new.
pub(crate) async fn insert(
    tx: &mut Tx,
    drafts: &[&Draft],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    copy(tx, "vehicles", drafts, now).await
}

async fn copy(
    tx: &mut Tx,
    table: &str,
    drafts: &[&Draft],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let bytes = drafts.iter().map(|it| it.row_bytes()).sum();
    let mut rows = String::with_capacity(bytes);
    for draft in drafts {
        draft.push(&mut rows, now);
    }
    let statement = format!("copy {table} ({}) from stdin", COLUMNS.join(", "));
    let copied = send(tx.lend(), &statement, &rows).await;
    tx.reclaim(&copied);
    copied
}

/// Sends the rows of a `copy`, and reads the response to its end.
async fn send(conn: &mut PgConnection, statement: &str, rows: &str) -> Result<(), sqlx::Error> {
    let mut copy = conn.copy_in_raw(statement).await?;
    copy.send(rows.as_bytes()).await?;
    copy.finish().await.map(drop)
}

/// A row of a vehicle that a listing is about to change.
#[derive(Debug, FromRow)]
struct KnownRow {
    #[sqlx(flatten)]
    vehicle: VehicleRow,
    withdrawn_by: Option<String>,
}

/// Locks vehicles in the order of their ids, and reads the state that the change by a listing depends on.
///
/// The caller sets `is_bought`, which is always false here.
pub(crate) async fn lock_known(tx: &mut Tx, ids: &[&str]) -> Result<Vec<Known>, sqlx::Error> {
    let rows: Vec<KnownRow> = sqlx::query_as(concat!(
        "select ",
        listing_columns!(),
        ", withdrawn_by from vehicles where id = any($1) order by id for no key update"
    ))
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let known = rows.into_iter().map(|row| {
        let (vehicle, _): (Vehicle, _) = row.vehicle.into_model_with_prices()?;
        // A vehicle that is withdrawn without a `withdrawn_by` was withdrawn by LMN.
        let withdrawn_by = optional_word(row.withdrawn_by.as_deref())?;
        let withdrawn_by = withdrawn_by.or(vehicle.withdrawn_at.map(|_| WithdrawnBy::Operator));
        Ok(Known {
            listing: vehicle.listing,
            withdrawn_by,
            is_bought: false,
        })
    });
    known.collect()
}

/// Creates the temporary table of a session that imports.
pub(crate) async fn make_tables(tx: &mut Tx) -> Result<(), sqlx::Error> {
    let columns = COLUMNS.join(", ");
    let statement = format!(
        "create temporary table {CHANGED} on commit delete rows as select {columns} from vehicles with no data"
    );
    run(tx, statement).await
}

/// Rewrites locked vehicles, restores those that were withdrawn, and records former prices in the price history.
pub(crate) async fn change(
    tx: &mut Tx,
    drafts: &[&Draft],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    copy(tx, CHANGED, drafts, now).await?;
    // The id is not set: an update of the key would block transactions that insert references to the vehicle.
    // `priced_at` is set below, and the caller renders `summary` and `detail`.
    let columns = COLUMNS
        .iter()
        .filter(|it| !["id", "priced_at", "summary", "detail"].contains(it));
    let columns: Vec<_> = columns.map(|it| format!("{it} = given.{it}")).collect();
    let columns = columns.join(", ");
    let statement = format!(
        r"
        with former as (
            insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
            select vehicles.id, vehicles.priced_at, vehicles.listing_usd
            from {CHANGED} as given join vehicles on vehicles.id = given.id
            where vehicles.listing_usd <> given.listing_usd
        )
        update vehicles
        set {columns}, withdrawn_at = null, withdrawn_by = null,
            priced_at = case when vehicles.listing_usd = given.listing_usd then vehicles.priced_at
                             else greatest(given.updated_at, vehicles.priced_at + interval '1 millisecond') end
        from {CHANGED} as given
        where vehicles.id = given.id
        "
    );
    run(tx, statement).await
}

/// Stores the digests of the last listings of locked vehicles that these listings did not change.
pub(crate) async fn set_digests(
    tx: &mut Tx,
    listings: &[(&VehicleId, Digest)],
) -> Result<(), sqlx::Error> {
    if listings.is_empty() {
        return Ok(());
    }
    let (ids, digests): (Vec<&str>, Vec<&[u8]>) = listings
        .iter()
        .map(|(id, digest)| (id.as_str(), digest.bytes()))
        .unzip();
    sqlx::query!(
        r#"
        update vehicles set listing_digest = it.digest
        from unnest($1::text[], $2::bytea[]) as it(id, digest)
        where vehicles.id = it.id
        "#,
        &ids as &[&str],
        &digests as &[&[u8]],
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Runs a statement on temporary tables, which the `query!` macros cannot check.
async fn run(tx: &mut Tx, statement: String) -> Result<(), sqlx::Error> {
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    query.execute(&mut **tx).await.map(drop)
}

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
    tx.raise_timeout(Duration::MAX);
    sqlx::query!(
        "select set_config(name, '0', true) from unnest(array['lock_timeout', 'statement_timeout']) as name"
    )
    .fetch_all(&mut **tx)
    .await
    .map(drop)
}
