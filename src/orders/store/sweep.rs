//! What time has made of orders: lots whose auction passed, and deliveries that are long overdue.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, postgres::types::PgInterval};

use super::super::model::Overdue;
use crate::{
    db::{Tx, column::vehicle_id},
    id::{PartnerId, VehicleId},
    stamp::Stamp,
};

/// Locks up to `limit` cars with an order on which nobody acted until `grace` after the auction.
///
/// Without a partner they are anybody's. Partners live in their own times: the index finds what is past for the one
/// that is furthest ahead, and each order is judged by its own partner's.
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
            select vehicle_id from orders join partners on partners.id = partner_id
            where status = 'proceed' and max_bid_usd is not null
              and auction_date <= lmn_now((select max(clock_offset_seconds) from partners)) - $2::interval
              and auction_date <= lmn_now(clock_offset_seconds) - $2::interval
              and ($1::uuid is null or partner_id = $1)
            order by auction_date
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

/// Counts the orders of a partner that wait for a sweep.
pub(crate) async fn count_passed(
    conn: &mut PgConnection,
    partner: PartnerId,
    grace: TimeDelta,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from orders join partners on partners.id = partner_id
        where status = 'proceed' and max_bid_usd is not null and partner_id = $1
          and auction_date <= lmn_now(clock_offset_seconds) - $2::interval
        "#,
        partner.uuid(),
        interval(grace),
    )
    .fetch_one(conn)
    .await
}

/// Lists the orders that have been shipping for `days_min` days and more, the longest first; all of them, or those
/// without a reminder of today.
pub(crate) async fn list_overdue(
    conn: &mut PgConnection,
    partner: Option<PartnerId>,
    days_min: i32,
    is_unreminded: bool,
    limit: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select orders.id, partner_id, partners.name as partner_name, contact,
               shipping_since as "shipping_since!", days as "days!"
        from orders
        join partners on partners.id = partner_id
        cross join lateral (
            select min(recorded_at) as shipping_since from order_history
            where order_id = orders.id and order_history.status = 'shipping'
        ) as shipped
        cross join lateral (
            select floor(extract(epoch from lmn_now(clock_offset_seconds) - shipping_since) / 86400)::integer as days
        ) as waited
        where orders.status = 'shipping' and days >= $2 and ($1::uuid is null or partner_id = $1)
          and not ($3 and exists (select from overdue_reminders as it where it.order_id = orders.id and it.days = waited.days))
        order by shipping_since, orders.id
        limit $4
        "#,
        partner.map(PartnerId::uuid),
        days_min,
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
        shipping_since: Stamp::kst(row.shipping_since),
        days: row.days,
    });
    Ok(overdue.collect())
}

/// Records today's reminders of overdue orders, and returns those that were not there yet.
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
