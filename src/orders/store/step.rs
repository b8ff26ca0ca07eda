//! Steps of existing orders: the locks under which they are decided, and the statement that records many at once.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, types::Json};
use uuid::Uuid;

use super::{
    super::{
        row::{OrderRow, order_columns},
        transition::LockedOrder,
    },
    change::{OrderChange, StepChange},
};
use crate::{
    audit::model::Actor,
    database::{Connection, Tx, column::vehicle_id},
    values::id::{OrderId, PartnerId, VehicleId},
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
    fn into_held(self) -> Result<LockedOrder, sqlx::Error> {
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
pub(crate) async fn hold(tx: &mut Tx, ids: &[OrderId]) -> Result<Vec<LockedOrder>, sqlx::Error> {
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
    rows.into_iter().map(LockedOrderRow::into_held).collect()
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

/// Records the changes of locked orders: their rows, their steps and the audit rows, but not their events.
///
/// A row is changed only if the order still has the status that it had when it was locked. Any other status is a bug,
/// and fails with [`sqlx::Error::RowNotFound`].
pub(crate) async fn record_steps(
    tx: &mut Tx,
    actor: &Actor,
    held: &[&LockedOrder],
) -> Result<(), sqlx::Error> {
    let orders = held.iter().copied().map(OrderChange::of);
    let orders: Vec<_> = orders
        .collect::<Result<_, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let steps: Vec<_> = held.iter().copied().flat_map(StepChange::all_of).collect();
    let changed = sqlx::query!(
        r#"
        with changes as materialized (
            select * from jsonb_to_recordset($1::jsonb) as it(
                id uuid, partner_id uuid, before text, status text, fulfillment_detail text, final_is_highest boolean,
                final_highest_bid_usd integer, purchase_price_usd integer, auction_fee_usd integer,
                auction_date timestamptz, order_cutoff_at timestamptz, failure_reason text, cancellation_reason text,
                vessel_name text, bl_number text, port_of_loading text, port_of_discharge text,
                etd timestamptz, etd_offset_minutes smallint, eta timestamptz, eta_offset_minutes smallint,
                shipping_since timestamptz, updated_at timestamptz, last_sequence integer, rendered text, subject text,
                details jsonb)
        ), steps as (
            insert into order_steps (order_id, n, status, fulfillment_detail, by, occurred_at,
                                     occurred_offset_minutes, recorded_at, notes, made_by, request_id, made_at)
            select order_id,
                   n + coalesce((select max(former.n) from order_steps as former
                                 where former.order_id = it.order_id), 1),
                   status, fulfillment_detail, by, occurred_at, occurred_offset_minutes, recorded_at, notes, $3, $4,
                   lmn_now(0)
            from jsonb_to_recordset($2::jsonb) as it(
                order_id uuid, n integer, status text, fulfillment_detail text, by text, occurred_at timestamptz,
                occurred_offset_minutes smallint, recorded_at timestamptz, notes text)
        ), audited as (
            insert into audit_entries (recorded_at, actor, partner_id, action, subject, request_id, details)
            select lmn_now(0), $3, partner_id, 'order.told', subject, $4, details from changes
            where details is not null
        )
        update orders
        set status = changes.status, fulfillment_detail = changes.fulfillment_detail,
            final_is_highest = changes.final_is_highest, final_highest_bid_usd = changes.final_highest_bid_usd,
            purchase_price_usd = changes.purchase_price_usd, auction_fee_usd = changes.auction_fee_usd,
            auction_date = changes.auction_date, order_cutoff_at = changes.order_cutoff_at,
            failure_reason = changes.failure_reason, cancellation_reason = changes.cancellation_reason,
            vessel_name = changes.vessel_name, bl_number = changes.bl_number,
            port_of_loading = changes.port_of_loading, port_of_discharge = changes.port_of_discharge,
            etd = changes.etd, etd_offset_minutes = changes.etd_offset_minutes,
            eta = changes.eta, eta_offset_minutes = changes.eta_offset_minutes,
            shipping_since = coalesce(changes.shipping_since, orders.shipping_since),
            updated_at = changes.updated_at, last_sequence = changes.last_sequence, rendered = changes.rendered
        from changes
        where orders.id = changes.id and orders.status = changes.before
        "#,
        Json(&orders) as _,
        Json(&steps) as _,
        actor.actor,
        actor.request_id.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    match changed.rows_affected() == orders.len() as u64 {
        true => Ok(()),
        false => Err(sqlx::Error::RowNotFound),
    }
}
