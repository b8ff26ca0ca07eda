//! Locks under which orders change, the reads of locked orders, and what is due for the scheduled jobs.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, postgres::types::PgInterval};
use uuid::Uuid;

use super::{
    super::{locked_order::LockedOrder, model::Overdue},
    OrderRow, order_columns,
};
use crate::{
    database::{Connection, Tx, column::vehicle_id},
    values::{
        id::{OrderId, PartnerId, VehicleId},
        timestamp::Timestamp,
    },
};

/// Locks the vehicle of an order and then the order. Later statements read the current state of both.
///
/// Returns `false` if there is no such order. Without a partner, it may belong to any partner.
pub(crate) async fn lock(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    id: OrderId,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        r#"
        with vehicle as materialized (
            select vehicles.id from vehicles
            join orders on orders.vehicle_id = vehicles.id
            where orders.id = $2 and ($1::uuid is null or orders.partner_id = $1)
            for no key update of vehicles
        )
        select orders.id from vehicle
        join orders on orders.vehicle_id = vehicle.id
        where orders.id = $2
        for update of orders
        "#,
        partner.map(PartnerId::uuid),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(locked.is_some())
}

/// Locks the orders on locked vehicles that are `proceed` or `acquiring`, in the order of their ids.
pub(crate) async fn lock_open(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<OrderId>, sqlx::Error> {
    let vehicles: Vec<&str> = vehicles.iter().map(VehicleId::as_str).collect();
    let ids = sqlx::query_scalar!(
        r#"
        select id from orders
        where vehicle_id = any($1::text[]) and status in ('proceed', 'acquiring')
        order by id
        for update
        "#,
        &vehicles as &[&str],
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(OrderId::from).collect())
}

/// Finds the vehicles, of locked ones, that LMN has bought.
pub(crate) async fn find_bought(
    conn: &mut Connection,
    vehicles: &[&str],
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"
        select vehicle_id from orders
        where vehicle_id = any($1::text[]) and status in ('secured', 'shipping', 'delivered')
        "#,
        vehicles as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let ids = ids.iter().map(|id| Ok(vehicle_id(id)?));
    ids.collect()
}

/// Locks the recording of re-listings to one transaction at a time, so that none is recorded twice.
pub(crate) async fn lock_relisting(tx: &mut Tx) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('lmn: re-listings'))")
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Locks orders without their vehicles, in the order of their ids.
pub(crate) async fn lock_alone(tx: &mut Tx, ids: &[OrderId]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query_scalar!(
        "select id from orders where id = any($1) order by id for update",
        &ids,
    )
    .fetch_all(&mut **tx)
    .await
    .map(drop)
}

/// An order and the facts that its steps depend on, as one row.
#[derive(Debug, FromRow)]
struct LockedOrderRow {
    #[sqlx(flatten)]
    order: OrderRow,
    partner_id: Uuid,
    now: DateTime<Utc>,
    accepted_no: i64,
    is_secured_by_another: bool,
    last_sequence: i32,
}

impl LockedOrderRow {
    fn into_model(self) -> Result<LockedOrder, sqlx::Error> {
        let order = self.order.into_model()?;
        Ok(LockedOrder {
            partner: self.partner_id.into(),
            now: self.now,
            accepted_no: self.accepted_no,
            is_secured_by_another: self.is_secured_by_another,
            last_sequence: self.last_sequence,
            before: order.state,
            steps: Vec::new(),
            events: Vec::new(),
            order,
        })
    }
}

/// Reads locked orders, in the order of their acceptance.
pub(crate) async fn read_locked(
    tx: &mut Tx,
    ids: &[OrderId],
) -> Result<Vec<LockedOrder>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows: Vec<LockedOrderRow> = sqlx::query_as(concat!(
        "select ",
        order_columns!(),
        ", partner_id, accepted_no, last_sequence, lmn_now(clock_offset_seconds) as now,
           exists (select from orders as other
                   where other.vehicle_id = orders_with_standing.vehicle_id
                     and other.status in ('secured', 'shipping', 'delivered')
                     and other.id <> orders_with_standing.id) as is_secured_by_another
         from orders_with_standing join partners on partners.id = partner_id
         where orders_with_standing.id = any($1)
         order by accepted_no"
    ))
    .bind(&ids)
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(LockedOrderRow::into_model).collect()
}

/// Finds the former orders of vehicles that are listed again: the latest one of each partner that has no event for the
/// listing yet.
pub(crate) async fn find_former(
    conn: &mut Connection,
    relisted: &[VehicleId],
) -> Result<Vec<(OrderId, VehicleId)>, sqlx::Error> {
    let relisted: Vec<&str> = relisted.iter().map(VehicleId::as_str).collect();
    let rows = sqlx::query!(
        r#"
        with relisted as (
            select id, vin, license_plate from vehicles where id = any($1::text[])
        ), former as (
            select orders.id, orders.partner_id, orders.accepted_no, relisted.id as new_id
            from relisted join orders on orders.vin = relisted.vin
            where status in ('delivered', 'cancelled', 'failed')
            union
            select orders.id, orders.partner_id, orders.accepted_no, relisted.id as new_id
            from relisted join orders on orders.license_plate = relisted.license_plate
            where status in ('delivered', 'cancelled', 'failed')
        )
        select distinct on (partner_id, new_id) id as "id!", new_id as "new_id!"
        from former
        where not exists (select from events
                          where events.partner_id = former.partner_id and events.new_vehicle_id = former.new_id)
        order by partner_id, new_id, accepted_no desc
        "#,
        &relisted as &[&str],
    )
    .fetch_all(conn)
    .await?;
    let known = rows.into_iter().filter_map(|row| {
        let new = VehicleId::parse(&row.new_id)?;
        Some((OrderId::from(row.id), new))
    });
    Ok(known.collect())
}

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

/// Counts what is due for the scheduled jobs: a partner's orders whose auction passed, and its overdue deliveries without a
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
        select orders.id, vehicle_id, vin, partner_id, partners.name as partner_name, contact,
               shipping_since as "shipping_since!", days as "days!"
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
    let overdue = rows.into_iter().map(|row| {
        Ok(Overdue {
            order: row.id.into(),
            vehicle: vehicle_id(&row.vehicle_id).map_err(|error| error.in_row("orders", row.id))?,
            vin: row.vin,
            partner: row.partner_id.into(),
            partner_name: row.partner_name,
            contact: row.contact,
            shipping_since: Timestamp::kst(row.shipping_since),
            days: row.days,
        })
    });
    overdue.collect()
}

/// Returns a duration as a parameter.
pub(super) fn interval(delta: TimeDelta) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: delta.num_microseconds().unwrap_or(i64::MAX),
    }
}
