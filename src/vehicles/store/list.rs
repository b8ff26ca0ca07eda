//! Pages of the catalogue as they are read, in one of two ways: along an index, or gathered and put in order.
//!
//! Which way is taken is [`search`](super::super::search)'s to decide; both give the same cars in the same order.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::super::{
    filter::{Filter, Lane},
    sort::{Place, Sort},
};
use crate::database::{Connection, Tx};

/// Which cars are wanted, in which order, from where on and how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Which.
    pub filter: &'a Filter,
    /// In which order.
    pub sort: Sort,
    /// From where on.
    pub after: Option<&'a Place>,
    /// How many at most.
    pub limit: i64,
}

/// A car of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Where it stands in the walk.
    pub place: Place,
    /// It as it is shown, unless it is not rendered yet.
    pub summary: Option<String>,
}

/// What was found along an index.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// The catalogue's version in which it was found.
    pub version: i64,
    /// The cars, in order.
    pub cars: Vec<Listed>,
    /// The last place that was looked at, if cars are missing and there is more to look at.
    pub seen_to: Option<Place>,
}

/// What was gathered.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// The catalogue's version in which it was found.
    pub version: i64,
    /// The cars, in order; `None` if there are too many to be put in order.
    pub cars: Option<Vec<Listed>>,
}

#[derive(Debug, FromRow)]
struct StretchRow {
    version: i64,
    ids: Vec<String>,
    places: Vec<Option<i64>>,
    summaries: Vec<Option<String>>,
    seen_to_id: Option<String>,
    seen_to_place: Option<i64>,
}

#[derive(Debug, FromRow)]
struct GatheredRow {
    version: i64,
    is_too_many: bool,
    ids: Vec<String>,
    places: Vec<Option<i64>>,
    summaries: Vec<Option<String>>,
}

fn listed(
    ids: Vec<String>,
    places: Vec<Option<i64>>,
    summaries: Vec<Option<String>>,
) -> Vec<Listed> {
    let places = places.into_iter().zip(ids);
    let cars = places.zip(summaries);
    cars.map(|(place, summary)| Listed { place, summary })
        .collect()
}

/// What of a page's cars is read, one array a column.
const ARRAYS: &str = "coalesce(array_agg(id), '{}') as ids, coalesce(array_agg(place), '{}') as places, \
                      coalesce(array_agg(summary), '{}') as summaries";
/// What a walk reads of every car that it passes, beside its id and place.
const PASSED: &str =
    "auction_order, listing_usd, year, mileage_km, auction_count, auction_result, terms, summary";

impl Wanted<'_> {
    /// Appends a query for the next `budget` cars in order, whether they match or not.
    fn push_window(&self, columns: &str, budget: i64, query: &mut QueryBuilder<Postgres>) {
        let lanes = self.filter.lanes(self.sort);
        let (column, (direction, _)) = (self.sort.column(), self.sort.direction());
        for (n, lane) in lanes.iter().enumerate() {
            query.push(if n == 0 { "" } else { " union all " });
            self.push_lane(columns, lane, budget, query);
        }
        if lanes.len() > 1 {
            query.push(format_args!(
                " order by {column} {direction}, id {direction} limit {budget}"
            ));
        }
    }

    fn push_lane(
        &self,
        columns: &str,
        lane: &Lane,
        budget: i64,
        query: &mut QueryBuilder<Postgres>,
    ) {
        let (column, (direction, _)) = (self.sort.column(), self.sort.direction());
        query.push(format_args!(
            "(select id, {columns} from vehicles where withdrawn_at is null"
        ));
        for (column, value) in lane {
            query
                .push(format_args!(" and {column} = "))
                .push_bind(value.clone());
        }
        self.filter.push_stretch(self.sort, query);
        self.push_after(query);
        query.push(format_args!(
            " order by {column} {direction}, id {direction} limit {budget})"
        ));
    }

    /// Appends where the walk goes on.
    fn push_after(&self, query: &mut QueryBuilder<Postgres>) {
        let Some((value, id)) = self.after else {
            return;
        };
        let (column, (_, comes_after)) = (self.sort.column(), self.sort.direction());
        let (before, behind) = self.sort.value();
        query.push(format_args!(" and ({column}, id) {comes_after} ({before}"));
        match self.sort {
            // A float of milliseconds would not be exact.
            Sort::AuctionDateAsc => {
                query.push_bind(value.and_then(DateTime::<Utc>::from_timestamp_millis))
            }
            Sort::PriceAsc | Sort::PriceDesc | Sort::YearDesc | Sort::MileageAsc => {
                query.push_bind(*value)
            }
        };
        query
            .push(behind)
            .push(", ")
            .push_bind(id.clone())
            .push(")");
    }
}

/// Walks along an index, past `budget` cars at most, and takes those that match.
///
/// Beyond the last car taken nothing is read. Where it stops for want of budget is found out only then.
pub(crate) async fn walk(
    conn: &mut Connection,
    wanted: Wanted<'_>,
    budget: i64,
) -> Result<Stretch, sqlx::Error> {
    let Wanted {
        filter,
        sort,
        limit,
        ..
    } = wanted;
    let (column, number) = (sort.column(), sort.number());
    let (direction, _) = sort.direction();
    let mut query = QueryBuilder::new(format!(
        "select version, ids, places, summaries, seen_to.id as seen_to_id, seen_to.place as seen_to_place \
         from catalogue cross join lateral (select {ARRAYS} from (select id, {number} as place, summary from ("
    ));
    wanted.push_window(PASSED, budget, &mut query);
    query.push(") as passed where true");
    filter.push(&mut query);
    query
        .push(format_args!(
            " order by {column} {direction}, id {direction} limit "
        ))
        .push_bind(limit);
    query.push(format_args!(
        ") as taken) as page left join lateral (select id, {number} as place from ("
    ));
    wanted.push_window(column, budget, &mut query);
    query
        .push(") as passed where cardinality(page.ids) < ")
        .push_bind(limit);
    query.push(format_args!(
        " order by {column} {direction}, id {direction} offset {budget} - 1 limit 1) as seen_to on true"
    ));
    let row: StretchRow = query.build_query_as().fetch_one(conn).await?;
    Ok(Stretch {
        version: row.version,
        cars: listed(row.ids, row.places, row.summaries),
        seen_to: row.seen_to_id.map(|id| (row.seen_to_place, id)),
    })
}

/// Lets the following statements of a transaction find cars by what they are alone, never along an index or a table.
///
/// The planner's guess at how many match is sometimes far off; so guided, a wrong guess costs milliseconds.
pub(crate) async fn find_by_terms_only(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config(name, 'off', true) from unnest(array['enable_seqscan', 'enable_indexscan']) as name"
    )
    .fetch_all(&mut **tx)
    .await
    .map(drop)
}

/// Lets the following statements of a transaction take so long at most.
pub(crate) async fn take_at_most(tx: &mut Tx, time: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select set_config('statement_timeout', $1, true)",
        format!("{}ms", time.as_millis()),
    )
    .fetch_one(&mut **tx)
    .await
    .map(drop)
}

/// Gathers every car that matches, up to `budget` of them, and puts them in order.
pub(crate) async fn gather(
    tx: &mut Tx,
    wanted: Wanted<'_>,
    budget: i64,
) -> Result<Gathered, sqlx::Error> {
    let (column, number) = (wanted.sort.column(), wanted.sort.number());
    let (direction, _) = wanted.sort.direction();
    let mut query = QueryBuilder::new(format!(
        "with found as materialized (select id, {column} from vehicles where withdrawn_at is null"
    ));
    wanted.filter.push(&mut query);
    wanted.push_after(&mut query);
    query.push(format_args!(
        " limit {budget} + 1), known as (select count(*) > {budget} as is_too_many from found) \
         select version, is_too_many, page.* from catalogue cross join known cross join lateral (select {ARRAYS} from ( \
         select id, {number} as place, (select summary from vehicles where id = found.id) as summary \
         from found where not is_too_many order by {column} {direction}, id {direction} limit "
    ));
    query.push_bind(wanted.limit).push(") as taken) as page");
    // Planned anew each time, for the very values that are asked for.
    let query = query.build_query_as::<GatheredRow>().persistent(false);
    let row = query.fetch_one(&mut **tx).await?;
    let cars = listed(row.ids, row.places, row.summaries);
    Ok(Gathered {
        version: row.version,
        cars: (!row.is_too_many).then_some(cars),
    })
}

/// Counts the cars that match, up to `limit`, and says in which version of the catalogue.
pub(crate) async fn count(
    tx: &mut Tx,
    filter: &Filter,
    limit: i64,
) -> Result<(i64, i64), sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select version, (select count(*) from (select from vehicles where withdrawn_at is null",
    );
    filter.push(&mut query);
    query
        .push(" limit ")
        .push_bind(limit)
        .push(") as matching) from catalogue");
    query
        .build_query_as()
        .persistent(false)
        .fetch_one(&mut **tx)
        .await
}
