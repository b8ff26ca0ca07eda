//! The statements that record the changes of locked orders, many at once, and reminders of overdue deliveries.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{
    locked_order::LockedOrder,
    model::Overdue,
    state_machine::{CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner},
    view::Rendered,
};
use crate::{audit::Actor, database::Tx, values::timestamp::Timestamp};

/// The new values of an order's row, and of its audit row.
#[derive(Debug, Serialize)]
struct OrderChange<'a> {
    id: Uuid,
    partner_id: Uuid,
    before: OrderStatus,
    status: OrderStatus,
    fulfillment_detail: Option<FulfillmentDetail>,
    final_is_highest: Option<bool>,
    final_highest_bid_usd: Option<i32>,
    purchase_price_usd: Option<i32>,
    auction_fee_usd: Option<i32>,
    auction_date: Option<DateTime<Utc>>,
    order_cutoff_at: Option<DateTime<Utc>>,
    failure_reason: Option<FailureReason>,
    cancellation_reason: Option<CancellationReason>,
    vessel_name: Option<&'a str>,
    bl_number: Option<&'a str>,
    port_of_loading: Option<&'a str>,
    port_of_discharge: Option<&'a str>,
    etd: Option<DateTime<Utc>>,
    etd_offset_minutes: Option<i16>,
    eta: Option<DateTime<Utc>>,
    eta_offset_minutes: Option<i16>,
    shipping_since: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    last_sequence: i32,
    rendered: Rendered,
    subject: String,
    /// Details of the audit entry. Only a change without a step has one: a step is audited by its own row.
    details: Option<Value>,
}

impl<'a> OrderChange<'a> {
    /// Converts a locked order. The standing of its bid is stored only once the bid is no longer active.
    fn of(locked: &'a LockedOrder) -> serde_json::Result<Self> {
        let order = &locked.order;
        let final_standing = order
            .bid
            .map(|bid| bid.standing)
            .filter(|_| !locked.is_bidding());
        let shipment = &order.shipment;
        Ok(Self {
            id: order.id.uuid(),
            partner_id: locked.partner.uuid(),
            before: locked.before.status,
            status: order.state.status,
            fulfillment_detail: order.state.fulfillment,
            final_is_highest: final_standing.map(|it| it.is_highest),
            final_highest_bid_usd: final_standing.map(|it| it.highest_bid.dollars()),
            purchase_price_usd: order.purchase_price_usd.map(|it| it.dollars()),
            auction_fee_usd: order.auction_fee_usd,
            auction_date: order.bid.map(|it| it.auction_date.instant()),
            order_cutoff_at: order.bid.map(|it| it.order_cutoff_at.instant()),
            failure_reason: order.failure_reason,
            cancellation_reason: order.cancellation_reason,
            vessel_name: shipment.vessel_name.as_deref(),
            bl_number: shipment.bl_number.as_deref(),
            port_of_loading: shipment.port_of_loading.as_deref(),
            port_of_discharge: shipment.port_of_discharge.as_deref(),
            etd: shipment.etd.map(Timestamp::instant),
            etd_offset_minutes: shipment.etd.map(Timestamp::offset_minutes),
            eta: shipment.eta.map(Timestamp::instant),
            eta_offset_minutes: shipment.eta.map(Timestamp::offset_minutes),
            shipping_since: begins_to_ship(locked).then_some(locked.now),
            updated_at: order.updated_at,
            last_sequence: locked.last_sequence,
            subject: order.id.to_string(),
            rendered: Rendered::of(order)?,
            details: details(locked),
        })
    }
}

/// Returns whether the order has begun to ship since it was locked.
fn begins_to_ship(locked: &LockedOrder) -> bool {
    let is_shipping = |status| status == OrderStatus::Shipping;
    !is_shipping(locked.before.status) && is_shipping(locked.order.state.status)
}

/// Returns the details of the audit entry of a change without a step, which lists the events.
fn details(locked: &LockedOrder) -> Option<Value> {
    let events: Vec<_> = locked.events.iter().map(|it| it.event_type).collect();
    let is_step = !locked.steps.is_empty();
    (!is_step).then(|| {
        json!({
            "from": locked.before.status,
            "fulfillment_detail": locked.order.state.fulfillment,
            "events": events,
        })
    })
}

/// A new step of an order's history. `n` counts from 1 after the last recorded step.
#[derive(Debug, Serialize)]
struct StepChange<'a> {
    order_id: Uuid,
    n: usize,
    status: OrderStatus,
    fulfillment_detail: Option<FulfillmentDetail>,
    by: Owner,
    occurred_at: DateTime<Utc>,
    occurred_offset_minutes: i16,
    recorded_at: DateTime<Utc>,
    notes: Option<&'a str>,
}

impl<'a> StepChange<'a> {
    /// Converts every new step of a locked order.
    fn all_of(locked: &'a LockedOrder) -> impl Iterator<Item = Self> {
        locked.steps.iter().zip(1..).map(|(step, n)| Self {
            order_id: locked.order.id.uuid(),
            n,
            status: step.state.status,
            fulfillment_detail: step.state.fulfillment,
            by: step.by,
            occurred_at: step.report.occurred_at.instant(),
            occurred_offset_minutes: step.report.occurred_at.offset_minutes(),
            recorded_at: locked.now,
            notes: step.report.notes.as_deref(),
        })
    }
}

/// Records the changes of locked orders: their rows, their steps and the audit rows, but not their events.
///
/// A row is changed only if the order still has the status that it had when it was locked. Any other status is a bug,
/// and fails with [`sqlx::Error::RowNotFound`].
pub(crate) async fn record_steps(
    tx: &mut Tx,
    actor: &Actor,
    orders: &[&LockedOrder],
) -> Result<(), sqlx::Error> {
    let changes = orders.iter().copied().map(OrderChange::of);
    let changes: Vec<_> = changes
        .collect::<Result<_, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let steps: Vec<_> = orders
        .iter()
        .copied()
        .flat_map(StepChange::all_of)
        .collect();
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
            insert into audit_entries (recorded_at, actor, partner_id, action, subject, request_id, details, order_id)
            select lmn_now(0), $3, partner_id, 'order.told', subject, $4, details, id from changes
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
        Json(&changes) as _,
        Json(&steps) as _,
        actor.actor,
        actor.request_id.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    match changed.rows_affected() == changes.len() as u64 {
        true => Ok(()),
        false => Err(sqlx::Error::RowNotFound),
    }
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
