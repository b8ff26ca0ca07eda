//! A file that lists all cars of some sources: what it leaves out is taken off the catalogue.

use chrono::{DateTime, Utc};

use crate::{
    audit::model::Author,
    database::Tx,
    id::VehicleId,
    orders::{
        effects,
        outcome::AuctionOutcome,
        progress::{self, ProgressError},
    },
    vehicles::{
        model::WithdrawnBy,
        store::{self, BATCH_CARS},
    },
};

/// Takes the next cars off that the file has left out, and returns how many they are and the place of the last.
///
/// A source stops listing a lot once its auction was held. The orders that bid on it wait for LMN to tell the result.
pub(crate) async fn withdraw_next(
    tx: &mut Tx,
    author: &Author,
    after: &str,
    begun_at: DateTime<Utc>,
) -> Result<Option<(u64, VehicleId)>, ProgressError> {
    let now = store::lock_listing(tx).await?;
    let limit = i64::try_from(BATCH_CARS).unwrap_or(i64::MAX);
    let ids = store::next_unlisted(tx, after, limit).await?;
    let Some(last) = ids.last().cloned() else {
        return Ok(None);
    };
    let mut cars = store::hold(tx, &ids).await?;
    // Since they were found, somebody may have been there.
    cars.retain(|it| it.withdrawn_at.is_none() && it.updated_at < begun_at);
    let ids: Vec<_> = cars.iter().map(|it| it.id.clone()).collect();
    let auctioned = cars.iter().filter(|it| it.was_auctioned(now));
    let auctioned: Vec<_> = auctioned.map(|it| &it.id).collect();
    let mut held = effects::hold_open(tx, &ids).await?;
    held.retain(|it| !it.is_bidding() || auctioned.binary_search(&&it.order.vehicle_id).is_err());
    for held in &mut held {
        effects::end(held, AuctionOutcome::Withdrawn, false)?;
    }
    store::set_withdrawn(tx, &ids, WithdrawnBy::Source, now).await?;
    if !held.is_empty() {
        progress::record(tx, author, &held).await?;
        store::commit_on_disk(tx).await?;
    }
    Ok(Some((ids.len() as u64, last)))
}
