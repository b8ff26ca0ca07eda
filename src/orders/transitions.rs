//! Transitions of existing orders: locking orders, and recording their steps and events.
//!
//! Transitions by partners, operators and scheduled jobs are all recorded here. Locks are taken in a fixed order:
//! vehicles before orders, each in the order of their ids, and event feeds last.

use super::{
    locked_order::LockedOrder,
    state_machine::{Owner, Transition, TransitionError},
    store,
};
use crate::{
    audit::Actor,
    database::Tx,
    events,
    values::id::{OrderId, PartnerId, VehicleId},
};

/// The error of a failed transition.
#[derive(Debug, thiserror::Error)]
pub enum TransitionFailed {
    /// The transition cannot be made.
    #[error(transparent)]
    Step(#[from] TransitionError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Locks an order and reads it. Without a partner, the order may belong to any partner.
pub(crate) async fn lock(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    id: OrderId,
) -> Result<Option<LockedOrder>, sqlx::Error> {
    if !store::lock(tx, partner, id).await? {
        return Ok(None);
    }
    Ok(store::read_locked(tx, &[id]).await?.pop())
}

/// Locks and reads the orders on locked vehicles that are `proceed` or `acquiring`.
pub(crate) async fn lock_open_orders(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<LockedOrder>, sqlx::Error> {
    let ids = store::lock_open(tx, vehicles).await?;
    store::read_locked(tx, &ids).await
}

/// Makes one transition of one locked order, and records it with its event.
pub(crate) async fn apply(
    tx: &mut Tx,
    actor: &Actor,
    order: &mut LockedOrder,
    transition: &Transition,
    by: Owner,
) -> Result<(), TransitionFailed> {
    order.apply(transition, by)?;
    Ok(record(tx, actor, std::slice::from_ref(order)).await?)
}

/// Records the steps and events of locked orders. Orders without any are left unchanged.
pub(crate) async fn record(
    tx: &mut Tx,
    actor: &Actor,
    orders: &[LockedOrder],
) -> Result<(), sqlx::Error> {
    let touched: Vec<_> = orders.iter().filter(|it| it.is_touched()).collect();
    if touched.is_empty() {
        return Ok(());
    }
    store::record_steps(tx, actor, &touched).await?;
    let new_events: Vec<_> = touched.iter().flat_map(|it| &it.events).collect();
    events::store::append(tx, &new_events).await
}
