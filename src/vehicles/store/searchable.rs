//! Reads of the searchable fields of all vehicles, and of those that changed since a version of the catalogue.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

use crate::database::{
    Connection, Tx,
    column::{Tid, row_version},
};

/// The row of a vehicle, as it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IndexedRow {
    /// Its version; every update changes it.
    pub(crate) version: u32,
    /// Its place in the table.
    pub(crate) tid: Tid,
}

/// The searchable fields of a vehicle. `entry_columns!` and `entry` below read them in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) row: IndexedRow,
    pub(crate) source: String,
    pub(crate) make: String,
    pub(crate) model: String,
    pub(crate) trim: Option<String>,
    pub(crate) year: i16,
    pub(crate) mileage_km: i32,
    pub(crate) listing_usd: i32,
    pub(crate) fuel: Option<String>,
    pub(crate) transmission: Option<String>,
    pub(crate) color: Option<String>,
    pub(crate) options: Vec<String>,
    pub(crate) accident_grade: Option<String>,
    pub(crate) exterior_grade: Option<String>,
    pub(crate) auction_date: Option<DateTime<Utc>>,
    pub(crate) auction_count: Option<i16>,
    pub(crate) auction_result: Option<String>,
    pub(crate) vin: Option<String>,
    pub(crate) license_plate: Option<String>,
}

/// A changed vehicle.
#[derive(Debug)]
pub(crate) struct Change {
    /// Its id.
    pub(crate) id: String,
    /// The vehicle as it is now; `None` if it is not listed.
    pub(crate) entry: Option<Entry>,
}

/// The columns of an [`Entry`], by position.
macro_rules! entry_columns {
    () => {
        "vehicles.id, vehicles.xmin, vehicles.ctid, source, make, model, trim, year, mileage_km, listing_usd, fuel,
         transmission, color, options, accident_grade, exterior_grade, auction_date, auction_count, auction_result,
         vin, license_plate"
    };
}

/// SQL expression for the timeline of the server, which changes with a failover that may have lost commits.
const TIMELINE: &str = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";

/// The state of the catalogue at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The version.
    pub(crate) version: i64,
    /// The time at which that version was made.
    pub(crate) changed_at: DateTime<Utc>,
    /// The timeline of the server; another timeline may lack changes that this one has shown.
    pub(crate) timeline: String,
}

/// The changes of the catalogue since a version.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The current state of the catalogue.
    pub(crate) moment: Moment,
    /// Whether the log reaches back to the version.
    pub(crate) is_complete: bool,
    rows: Vec<PgRow>,
}

/// Reads every listed vehicle, in any order, and returns the state of the catalogue before the read. Changes that are
/// committed in the meantime may be included or not.
pub(crate) async fn load(
    tx: &mut Tx,
    within: Duration,
    mut add: impl FnMut(&Entry),
) -> Result<Moment, sqlx::Error> {
    // The statement reads the whole table, and no request waits for it.
    tx.raise_timeout(within * 2);
    sqlx::query!(
        r#"
        select set_config('enable_seqscan', 'on', true) as scan, set_config('statement_timeout', $1, true) as timeout
        "#,
        format!("{}ms", within.as_millis()),
    )
    .fetch_one(&mut **tx)
    .await?;
    let state = format!("select version, changed_at, {TIMELINE} from catalogue");
    let row = sqlx::query(AssertSqlSafe(state))
        .fetch_one(&mut **tx)
        .await?;
    let moment = moment(&row)?;
    let all = concat!(
        "select ",
        entry_columns!(),
        " from vehicles where withdrawn_at is null"
    );
    let mut rows = tx.stream(all);
    while let Some(row) = rows.next().await? {
        add(&entry(&row, 0)?);
    }
    Ok(moment)
}

/// Reads the vehicles that changed since a version, and the state of the catalogue, in one statement.
pub(crate) async fn changes_since(
    conn: &mut Connection,
    version: i64,
) -> Result<Changes, sqlx::Error> {
    let statement = format!(
        "select version, changed_at, {TIMELINE},
                version = $1 or exists (select from catalogue_changes where version = $1 + 1),
                changed.id, vehicles.id is not null, {}
         from catalogue
         left join (select distinct unnest(vehicle_ids) as id from catalogue_changes where version > $1)
             as changed on true
         left join vehicles on vehicles.id = changed.id and withdrawn_at is null",
        entry_columns!()
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(version)
        .fetch_all(conn)
        .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Changes {
        moment: moment(first)?,
        is_complete: first.try_get(3)?,
        rows,
    })
}

impl Changes {
    /// Returns the vehicles that changed, as they are now. It may take milliseconds of CPU time.
    pub(crate) fn vehicles(&self) -> Result<Vec<Change>, sqlx::Error> {
        let changed = |row: &PgRow| -> Result<Option<Change>, sqlx::Error> {
            let Some(id) = row.try_get(4)? else {
                return Ok(None);
            };
            let is_listed: bool = row.try_get(5)?;
            let entry = is_listed.then(|| entry(row, 6)).transpose()?;
            Ok(Some(Change { id, entry }))
        };
        let rows = self.rows.iter();
        rows.filter_map(|row| changed(row).transpose()).collect()
    }
}

/// Deletes the entries of the change log that are older than `kept`, except that of the current version, and returns
/// their number.
pub(crate) async fn forget_changes(
    conn: &mut Connection,
    kept: Duration,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        r#"
        delete from catalogue_changes
        where changed_at < clock_timestamp() - $1 * interval '1 second' and version < (select version from catalogue)
        "#,
        kept.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}

fn moment(row: &PgRow) -> Result<Moment, sqlx::Error> {
    Ok(Moment {
        version: row.try_get(0)?,
        changed_at: row.try_get(1)?,
        timeline: row.try_get(2)?,
    })
}

/// Reads the columns of [`entry_columns`], the first of which is at position `at`.
fn entry(row: &PgRow, at: usize) -> Result<Entry, sqlx::Error> {
    Ok(Entry {
        id: row.try_get(at)?,
        row: IndexedRow {
            version: row_version(row, at + 1)?,
            tid: Tid::read(row, at + 2)?,
        },
        source: row.try_get(at + 3)?,
        make: row.try_get(at + 4)?,
        model: row.try_get(at + 5)?,
        trim: row.try_get(at + 6)?,
        year: row.try_get(at + 7)?,
        mileage_km: row.try_get(at + 8)?,
        listing_usd: row.try_get(at + 9)?,
        fuel: row.try_get(at + 10)?,
        transmission: row.try_get(at + 11)?,
        color: row.try_get(at + 12)?,
        options: row.try_get(at + 13)?,
        accident_grade: row.try_get(at + 14)?,
        exterior_grade: row.try_get(at + 15)?,
        auction_date: row.try_get(at + 16)?,
        auction_count: row.try_get(at + 17)?,
        auction_result: row.try_get(at + 18)?,
        vin: row.try_get(at + 19)?,
        license_plate: row.try_get(at + 20)?,
    })
}
