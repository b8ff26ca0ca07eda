//! How orders go on: hold them under their locks, make steps of them, record it all at once.
//!
//! Every step of an order that is there comes by here, whoever makes it. Locks are taken in one order, cars before
//! orders, each by id; feeds of events come last.

use super::{
    advance::{Advance, AdvanceError, Held},
    state::Owner,
    store,
};
use crate::{
    audit::model::Author,
    database::Tx,
    events,
    id::{OrderId, PartnerId},
};

/// Why an order does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The step is not made.
    #[error(transparent)]
    Step(#[from] AdvanceError),
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Locks an order and reads it; without a partner it is anybody's.
pub(crate) async fn hold(
    tx: &mut Tx,
    partner: Option<PartnerId>,
    id: OrderId,
) -> Result<Option<Held>, sqlx::Error> {
    if !store::lock(tx, partner, id).await? {
        return Ok(None);
    }
    Ok(store::hold(tx, &[id]).await?.pop())
}

/// Makes one step of one held order, and records it with its event.
pub(crate) async fn advance(
    tx: &mut Tx,
    author: &Author,
    held: &mut Held,
    advance: &Advance,
    by: Owner,
) -> Result<(), ProgressError> {
    held.advance(advance, by)?;
    Ok(record(tx, author, std::slice::from_ref(held)).await?)
}

/// Records what happened to held orders; one to which nothing happened is left as it is.
pub(crate) async fn record(tx: &mut Tx, author: &Author, held: &[Held]) -> Result<(), sqlx::Error> {
    let touched: Vec<_> = held.iter().filter(|it| it.is_touched()).collect();
    if touched.is_empty() {
        return Ok(());
    }
    store::record_steps(tx, author, &touched).await?;
    let told: Vec<_> = touched.iter().flat_map(|it| &it.events).collect();
    events::store::append(tx, &told).await
}
