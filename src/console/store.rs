//! SQL of the console: counts for its charts, what waits, and the endpoints of all partners.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::Connection,
    errors::catalogue::Code,
    values::{id::PartnerId, timestamp::Timestamp},
};

/// A number of things in the hour that begins at a time.
pub(crate) type HourCount = (DateTime<Utc>, i64);

/// Counts the orders that were placed in each of the hours that begin at these times, up to `limit` an hour.
pub(crate) async fn count_orders(
    conn: &mut Connection,
    hours: &[DateTime<Utc>],
    limit: i64,
) -> Result<Vec<HourCount>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select begins_at as "begins_at!", placed.count as "count!"
        from unnest($1::timestamptz[]) as hours (begins_at)
        cross join lateral (
            select count(*) as count
            from (
                select from orders
                where placed_at >= begins_at and placed_at < begins_at + interval '1 hour'
                limit $2
            ) as found
        ) as placed
        order by begins_at
        "#,
        hours,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let counts = rows.into_iter().map(|it| (it.begins_at, it.count));
    Ok(counts.collect())
}

/// Counts the requests that were refused or failed in each of the hours that begin at these times, up to `limit` an hour.
///
/// Only the index of the requests of a code is without those that succeeded, so the requests of each code are counted by
/// themselves.
pub(crate) async fn count_errors(
    conn: &mut Connection,
    hours: &[DateTime<Utc>],
    limit: i64,
) -> Result<Vec<HourCount>, sqlx::Error> {
    let codes = Code::ALL.into_iter().chain(Code::OPERATOR);
    let codes: Vec<&str> = codes.map(Code::as_str).collect();
    let rows = sqlx::query!(
        r#"
        select begins_at as "begins_at!", errors.count as "count!"
        from unnest($1::timestamptz[]) as hours (begins_at)
        cross join lateral (
            select count(*) as count
            from (
                select
                from unnest($2::text[]) as codes (code)
                cross join lateral (
                    select from requests
                    where requests.code = codes.code and operation <> ''
                      and at >= begins_at and at < begins_at + interval '1 hour'
                    limit $3
                ) as of_code
                limit $3
            ) as found
        ) as errors
        order by begins_at
        "#,
        hours,
        &codes as _,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let counts = rows.into_iter().map(|it| (it.begins_at, it.count));
    Ok(counts.collect())
}

/// Counts the orders whose oldest event is not delivered, by its age: in the intervals that begin at 0 and at each of these
/// numbers of seconds.
pub(crate) async fn count_delays(
    conn: &mut Connection,
    seconds: &[f64],
) -> Result<Vec<(usize, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select width_bucket(extract(epoch from lmn_now(clock_offset_seconds) - occurred_at)::double precision,
                            $1::double precision[]) as "interval!", count(*) as "count!"
        from delivery_queues
        join events on events.id = event_id
        join partners on partners.id = delivery_queues.partner_id
        group by 1
        "#,
        seconds,
    )
    .fetch_all(conn)
    .await?;
    let counts = rows.into_iter();
    let count = |it: (i32, i64)| (usize::try_from(it.0).unwrap_or_default(), it.1);
    Ok(counts.map(|it| count((it.interval, it.count))).collect())
}

/// The numbers of what waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Orders whose cutoff has passed, to be acquired.
    pub to_acquire: i64,
    /// Orders on buy-now vehicles, to be bought.
    pub to_buy: i64,
    /// Orders whose auction was held and has no result.
    pub without_result: i64,
    /// Orders to ship.
    pub to_ship: i64,
    /// Orders that have been shipping for 90 days.
    pub overdue: i64,
    /// Endpoints that fail, or that LMN disabled.
    pub failing_endpoints: i64,
}

/// Counts what waits, each order by the clock of its partner.
pub(crate) async fn count_waiting(conn: &mut Connection) -> Result<Waiting, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"
        select count(*) filter (where orders.status = 'proceed' and order_cutoff_at <= now) as "to_acquire!",
               count(*) filter (where orders.status = 'proceed' and max_bid_usd is null) as "to_buy!",
               count(*) filter (where orders.status = 'acquiring' and auction_date <= now) as "without_result!",
               count(*) filter (where orders.status = 'secured') as "to_ship!",
               count(*) filter (where orders.status = 'shipping' and shipping_since <= now - interval '90 days')
                   as "overdue!",
               (select count(*) from webhook_endpoints
                where failing_since is not null or disabled_reason is not null) as "failing_endpoints!"
        from orders
        join partners on partners.id = partner_id
        cross join lateral (select lmn_now(clock_offset_seconds) as now) as clock
        where orders.status in ('proceed', 'acquiring', 'secured', 'shipping')
        "#,
    )
    .fetch_one(conn)
    .await
}

/// An endpoint, and how it fares.
#[derive(Debug)]
pub(crate) struct EndpointHealth {
    pub partner: PartnerId,
    pub partner_name: String,
    pub url: String,
    pub enabled: bool,
    /// The reason why LMN disabled it; empty if LMN did not.
    pub disabled_reason: String,
    /// The time since which every attempt has failed; empty after a success.
    pub failing_since: String,
    /// The number of orders with an event that is not delivered.
    pub waiting: i64,
}

/// A row of `webhook_endpoints`, with its partner.
struct Row {
    partner_id: Uuid,
    name: String,
    url: String,
    enabled: bool,
    disabled_reason: Option<String>,
    failing_since: Option<DateTime<Utc>>,
    waiting: i64,
}

/// Lists up to `limit` endpoints: those that fail or are disabled first, then by the name of the partner.
pub(crate) async fn list_endpoints(
    conn: &mut Connection,
    limit: i64,
) -> Result<Vec<EndpointHealth>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select partner_id, name, url, enabled, disabled_reason, failing_since,
               (select count(*) from delivery_queues
                where delivery_queues.partner_id = webhook_endpoints.partner_id) as "waiting!"
        from webhook_endpoints join partners on partners.id = partner_id
        order by failing_since is null and enabled, name
        limit $1
        "#,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let health = |row: Row| {
        let failing_since = row.failing_since.map(Timestamp::kst);
        EndpointHealth {
            partner: row.partner_id.into(),
            partner_name: row.name,
            url: row.url,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason.unwrap_or_default(),
            failing_since: failing_since.map(|it| it.to_string()).unwrap_or_default(),
            waiting: row.waiting,
        }
    };
    Ok(rows.into_iter().map(health).collect())
}
