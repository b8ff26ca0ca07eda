//! Writes of listings: new vehicles are inserted by `copy`, existing vehicles are locked and updated.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{
    super::{
        import::change::Known,
        model::{Listing, Vehicle, WithdrawnBy},
        row::{VehicleRow, listing_columns},
    },
    copy::{COLUMNS, Digest, Draft},
};
use crate::{
    database::{Tx, column::optional_word},
    values::id::VehicleId,
};

/// The largest number of vehicles that are written in one transaction. It bounds the time for which other transactions
/// wait for the locks of the vehicles.
pub(crate) const BATCH_VEHICLES: usize = 1_000;

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

/// Inserts the vehicles that are not in the catalogue.
pub(crate) async fn insert_new(tx: &mut Tx, listings: &[Listing]) -> Result<(), sqlx::Error> {
    let now = lock_listing(tx).await?;
    for batch in listings.chunks(BATCH_VEHICLES) {
        insert_new_of(tx, batch, now).await?;
    }
    Ok(())
}

async fn insert_new_of(
    tx: &mut Tx,
    listings: &[Listing],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let drafts = listings.iter().map(Draft::of);
    let drafts = drafts.collect::<Result<Vec<_>, _>>();
    let drafts = drafts.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let ids: Vec<_> = listings.iter().map(|it| it.id.as_str()).collect();
    let digests: Vec<_> = drafts.iter().map(|it| it.digest).collect();
    let found = look(tx, &ids, &digests).await?;
    let new = found.iter().filter(|it| it.is_new);
    let new: Vec<_> = new.filter_map(|it| drafts.get(it.place)).collect();
    insert(tx, &new, now).await
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
pub(crate) async fn hold_known(tx: &mut Tx, ids: &[&str]) -> Result<Vec<Known>, sqlx::Error> {
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
    run(
        tx,
        format!(
            "create temporary table {CHANGED} on commit delete rows as select {columns} from vehicles with no data"
        ),
    )
    .await
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
    run(
        tx,
        format!(
            r"
            with former as (
                insert into vehicle_prices (vehicle_id, recorded_at, listing_usd)
                select vehicles.id, vehicles.priced_at, vehicles.listing_usd
                from {CHANGED} as given join vehicles on vehicles.id = given.id
                where vehicles.listing_usd <> given.listing_usd
            )
            update vehicles
            set {}, withdrawn_at = null, withdrawn_by = null,
                priced_at = case when vehicles.listing_usd = given.listing_usd then vehicles.priced_at
                                 else greatest(given.updated_at, vehicles.priced_at + interval '1 millisecond') end
            from {CHANGED} as given
            where vehicles.id = given.id
            ",
            columns.join(", ")
        ),
    )
    .await
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
async fn run(tx: &mut Tx, statement: impl Into<Cow<'static, str>>) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(statement.into().into_owned());
    let query = sqlx::query(statement).persistent(false);
    query.execute(&mut **tx).await.map(drop)
}
