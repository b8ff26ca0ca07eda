//! Statements of the scheduled jobs: orders whose auction passed, and overdue deliveries.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::types::PgInterval;

use super::super::model::Overdue;
use crate::{
    database::{Connection, Tx, column::vehicle_id},
    values::{
        id::{PartnerId, VehicleId},
        timestamp::Timestamp,
    },
};

/// Locks up to `limit` vehicles that have an order still in `proceed` when `grace` has passed since its auction.
///
/// Without a partner, the orders of all partners count. Partners have different clocks, so the orders of each are found
/// by its own time. The time is a subquery, which is evaluated once for each partner and can be used by the index.
pub(crate) async fn lock_passed(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    grace: TimeDelta,
    limit: i64,
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"
        select id from vehicles
        where id in (
            select passed.vehicle_id from partners
            cross join lateral (
                select vehicle_id from orders
                where partner_id = partners.id and status = 'proceed' and max_bid_usd is not null
                  and auction_date <= (select lmn_now(partners.clock_offset_seconds)) - $2::interval
                order by auction_date
                limit $3
            ) as passed
            where $1::uuid is null or partners.id = $1
            limit $3)
        order by id
        for no key update
        "#,
        partner.map(PartnerId::uuid),
        interval(grace),
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    let ids = ids.iter().map(|id| Ok(vehicle_id(id)?));
    ids.collect()
}

/// Counts what is due for the sweeps: a partner's orders whose auction passed, and its overdue deliveries without a
/// reminder for the present day.
pub(crate) async fn count_due(
    conn: &mut Connection,
    partner: PartnerId,
    grace: TimeDelta,
    overdue: TimeDelta,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with mine as materialized (select lmn_now(clock_offset_seconds) as now from partners where id = $1)
        select (select count(*) from orders
                where partner_id = $1 and status = 'proceed' and max_bid_usd is not null
                  and auction_date <= (select now from mine) - $2::interval)
             + (select count(*) from orders
                where partner_id = $1 and status = 'shipping' and shipping_since <= (select now from mine) - $3::interval
                  and not exists (select from overdue_reminders
                                  where order_id = orders.id
                                    and days = floor(extract(epoch from (select now from mine) - shipping_since) / 86400)))
               as "count!"
        "#,
        partner.uuid(),
        interval(grace),
        interval(overdue),
    )
    .fetch_one(conn)
    .await
}

/// Lists up to `limit` orders that have been shipping for at least `overdue`, the longest first: all of them, or with
/// `is_unreminded` only those without a reminder for the present day.
pub(crate) async fn list_overdue(
    conn: &mut Connection,
    partner: Option<PartnerId>,
    overdue: TimeDelta,
    is_unreminded: bool,
    limit: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select orders.id, partner_id, partners.name as partner_name, contact, shipping_since as "shipping_since!",
               days as "days!"
        from orders
        join partners on partners.id = partner_id
        cross join lateral (select lmn_now(clock_offset_seconds) as now) as mine
        cross join lateral (
            select floor(extract(epoch from now - shipping_since) / 86400)::integer as days
        ) as waited
        where orders.status = 'shipping'
          and shipping_since <= (select lmn_now(max(clock_offset_seconds)) from partners) - $2::interval
          and shipping_since <= now - $2::interval and ($1::uuid is null or partner_id = $1)
          and not ($3 and exists (select from overdue_reminders as it
                                  where it.order_id = orders.id and it.days = waited.days))
        order by shipping_since, orders.id
        limit $4
        "#,
        partner.map(PartnerId::uuid),
        interval(overdue),
        is_unreminded,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let overdue = rows.into_iter().map(|row| Overdue {
        order: row.id.into(),
        partner: row.partner_id.into(),
        partner_name: row.partner_name,
        contact: row.contact,
        shipping_since: Timestamp::kst(row.shipping_since),
        days: row.days,
    });
    Ok(overdue.collect())
}

/// Records the reminders of overdue orders for the present day, and returns those that are new.
pub(crate) async fn remind(
    tx: &mut Tx,
    overdue: Vec<Overdue>,
    now: DateTime<Utc>,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let (ids, days): (Vec<_>, Vec<_>) = overdue.iter().map(|it| (it.order.uuid(), it.days)).unzip();
    let new = sqlx::query_scalar!(
        r#"
        insert into overdue_reminders (order_id, days, recorded_at)
        select id, days, $3 from unnest($1::uuid[], $2::integer[]) as it(id, days)
        on conflict on constraint overdue_reminders_pkey do nothing
        returning order_id
        "#,
        &ids,
        &days,
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    let is_new = |it: &Overdue| new.contains(&it.order.uuid());
    Ok(overdue.into_iter().filter(is_new).collect())
}

fn interval(delta: TimeDelta) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: delta.num_microseconds().unwrap_or(i64::MAX),
    }
}
