//! Steps of an order: the lock under which they are decided, and what is recorded.

use super::{
    super::{
        model::Order,
        state::{CancellationReason, Owner},
    },
    Author,
};
use crate::{
    db::Tx,
    id::{OrderId, PartnerId},
    stamp::Stamp,
    word::Word,
};

/// Locks an order and, before it, its car: what is read of either afterwards is fresh. `false` if there is none.
pub(crate) async fn lock(
    tx: &mut Tx,
    partner: PartnerId,
    id: OrderId,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        r#"
        with car as materialized (
            select vehicles.id from vehicles
            join orders on orders.vehicle_id = vehicles.id
            where orders.partner_id = $1 and orders.id = $2
            for no key update of vehicles
        )
        select orders.id from car
        join orders on orders.vehicle_id = car.id
        where orders.partner_id = $1 and orders.id = $2
        for update of orders
        "#,
        partner.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(locked.is_some())
}

/// Records that the partner cancelled a locked order, with its standing as it was, and the audit row.
pub(crate) async fn record_cancelled(
    tx: &mut Tx,
    author: &Author,
    order: &Order,
    reason: CancellationReason,
) -> Result<(), sqlx::Error> {
    let now = Stamp::kst(order.updated_at);
    sqlx::query!(
        r#"
        with cancelled as (
            update orders
            set status = $3, cancellation_reason = $4, final_is_highest = $5, final_highest_bid_usd = $6,
                updated_at = $7
            where id = $1 and partner_id = $2
        ), step as (
            insert into order_history (order_id, n, status, by, occurred_at, occurred_offset_minutes, recorded_at)
            select $1, max(n) + 1, $3, $8, $7, $9, $7 from order_history where order_id = $1
        )
        insert into audit_log (recorded_at, actor, partner_id, action, subject, request_id)
        values ($7, $10, $2, 'order.cancelled', $11, $12)
        "#,
        order.id.uuid(),
        author.partner.uuid(),
        order.state.status.as_str(),
        reason.as_str(),
        order.bid.map(|it| it.standing.is_highest),
        order.bid.map(|it| it.standing.highest_bid.dollars()),
        order.updated_at,
        Owner::Partner.as_str(),
        now.offset_minutes(),
        author.actor,
        order.id.to_string(),
        author.request_id.to_string(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
