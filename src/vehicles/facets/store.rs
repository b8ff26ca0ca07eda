//! The facets in the database: a row a source, all of one moment.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;

use super::{
    super::model::Source,
    model::{Combination, Facets, Standing},
};
use crate::{
    database::{Connection, Tx, column::word},
    word::Word,
};

/// The facets of one source as they are kept.
#[derive(Debug, Serialize)]
struct Row<'a> {
    source: &'static str,
    found: &'a Facets,
}

/// The facets of some sources.
#[derive(Debug)]
pub(super) struct Read {
    /// By source.
    pub(super) found: Vec<(Source, Facets)>,
    /// The catalogue's version in which they were counted.
    pub(super) version: i64,
    /// Until when they are known to hold.
    pub(super) as_of: DateTime<Utc>,
    /// What time it is.
    pub(super) now: DateTime<Utc>,
}

/// Lets whoever counts be alone, and take `time` for it; readers are not kept waiting.
pub(super) async fn hold(tx: &mut Tx, time: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config(name, $1, true) from unnest(array['statement_timeout', 'lock_timeout']) as name",
        format!("{}ms", time.as_millis()),
    )
    .fetch_all(&mut **tx)
    .await?;
    // It reads the whole catalogue.
    sqlx::query!("select set_config('enable_seqscan', 'on', true)")
        .fetch_one(&mut **tx)
        .await?;
    sqlx::query!("lock table facets in share row exclusive mode")
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Reads how the facets stand.
pub(super) async fn standing(tx: &mut Tx) -> Result<Standing, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select catalogue.version, lmn_now(0) as "now!", counted.version as "counted_version?", as_of as "as_of?"
        from catalogue
        left join lateral (select version, as_of from facets order by as_of limit 1) as counted on true
        "#
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Standing {
        version: row.version,
        now: row.now,
        counted: row.counted_version.zip(row.as_of),
    })
}

/// Passes every listed car once, and returns the values there are: those of one kind beside each other.
pub(super) async fn list_values(tx: &mut Tx) -> Result<Vec<Combination>, sqlx::Error> {
    sqlx::query_as!(
        Combination,
        r#"
        select source as "source!", make as "make?", model as "model?", fuel, transmission, color
        from vehicles
        where withdrawn_at is null
        group by grouping sets ((source, make, model), (source, fuel), (source, transmission), (source, color))
        "#
    )
    .fetch_all(&mut **tx)
    .await
}

/// Replaces the facets of every source.
pub(super) async fn replace(
    tx: &mut Tx,
    found: &BTreeMap<String, Facets>,
    standing: &Standing,
) -> Result<(), sqlx::Error> {
    let none = Facets::default();
    let row = |source: &Source| {
        let source = source.as_str();
        let found = found.get(source).unwrap_or(&none);
        Row { source, found }
    };
    let rows: Vec<_> = Source::ALL.iter().map(row).collect();
    sqlx::query!(
        r#"
        insert into facets (source, found, version, as_of)
        select source, found, $2, $3 from jsonb_to_recordset($1) as it(source text, found jsonb)
        on conflict (source) do update
        set found = excluded.found, version = excluded.version, as_of = excluded.as_of
        "#,
        Json(rows) as _,
        standing.version,
        standing.now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Notes that the facets still hold.
pub(super) async fn confirm(tx: &mut Tx, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!("update facets set as_of = $1", now)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Reads the facets of some sources, or of all if none is named; nothing if they were never counted.
pub(super) async fn find(
    conn: &mut Connection,
    sources: &[Source],
) -> Result<Option<Read>, sqlx::Error> {
    let sources: Vec<_> = sources.iter().map(|it| it.as_str()).collect();
    let rows = sqlx::query!(
        r#"
        select source, found as "found: Json<Facets>", version, as_of, lmn_now(0) as "now!"
        from facets
        where source = any($1) or cardinality($1) = 0
        order by source
        "#,
        &sources as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let moment = rows.first().map(|row| (row.version, row.as_of, row.now));
    let Some((version, as_of, now)) = moment else {
        return Ok(None);
    };
    let found = rows
        .into_iter()
        .map(|row| Ok((word(&row.source)?, row.found.0)));
    Ok(Some(Read {
        found: found.collect::<Result<_, sqlx::Error>>()?,
        version,
        as_of,
        now,
    }))
}
