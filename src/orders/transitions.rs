//! Transitions of existing orders: locking orders, and recording their steps and events.
//!
//! Steps of partners, operators and scheduled jobs are all recorded here. Locks are taken in a fixed order: vehicles
//! before orders, each in the order of their ids, and event feeds last.

use super::{
    state::Owner,
    store,
    transition::{LockedOrder, Transition, TransitionError},
};
use crate::{
    audit::model::Actor,
    database::Tx,
    events,
    values::id::{OrderId, PartnerId},
};

/// The error of a failed transition.
#[derive(Debug, thiserror::Error)]
pub enum TransitionFailed {
    /// The step cannot be made.
    #[error(transparent)]
    Step(#[from] TransitionError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Locks an order and reads it. Without a partner, the order may belong to any partner.
pub(crate) async fn hold(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    id: OrderId,
) -> Result<Option<LockedOrder>, sqlx::Error> {
    if !store::lock(tx, partner, id).await? {
        return Ok(None);
    }
    Ok(store::hold(tx, &[id]).await?.pop())
}

/// Makes one step of one locked order, and records it with its event.
pub(crate) async fn advance(
    tx: &mut Tx,
    actor: &Actor,
    held: &mut LockedOrder,
    advance: &Transition,
    by: Owner,
) -> Result<(), TransitionFailed> {
    held.advance(advance, by)?;
    Ok(record(tx, actor, std::slice::from_ref(held)).await?)
}

/// Records the steps and events of locked orders. Orders without any are left unchanged.
pub(crate) async fn record(
    tx: &mut Tx,
    actor: &Actor,
    held: &[LockedOrder],
) -> Result<(), sqlx::Error> {
    let touched: Vec<_> = held.iter().filter(|it| it.is_touched()).collect();
    if touched.is_empty() {
        return Ok(());
    }
    store::record_steps(tx, actor, &touched).await?;
    let new_events: Vec<_> = touched.iter().flat_map(|it| &it.events).collect();
    events::store::append(tx, &new_events).await
}
