//! A snapshot: a file that lists all vehicles of some sources. The vehicles that it omits are withdrawn, unless there
//! are too many of them.

use chrono::{DateTime, Utc};

use super::{batch::BATCH_VEHICLES, store};
use crate::{
    audit::Actor,
    database::Tx,
    orders::{
        model::AuctionOutcome,
        transitions::{self, TransitionFailed},
    },
    values::id::VehicleId,
    vehicles::{
        self,
        model::{Source, WithdrawnBy},
    },
};

/// The part of a source's listed vehicles that a snapshot may withdraw, in percent. A file that omits more was probably
/// truncated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithdrawalLimit(u8);

/// A source of which a snapshot omits more vehicles than it may withdraw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Excess {
    /// The source.
    pub source: Source,
    /// The number of its vehicles that the snapshot omits.
    pub unlisted: u64,
    /// The number of its vehicles that the catalogue listed before the import.
    pub listed_before: u64,
}

impl WithdrawalLimit {
    /// Creates a limit of `percent` percent.
    pub(crate) fn percent(percent: u8) -> Self {
        Self(percent)
    }

    /// Returns whether `withdrawn` of `listed_before` vehicles of a source may be withdrawn.
    fn allows(self, withdrawn: u64, listed_before: u64) -> bool {
        let is_within =
            u128::from(withdrawn) * 100 <= u128::from(listed_before) * u128::from(self.0);
        // 100 percent allows any number, because another import may have added vehicles after they were counted.
        is_within || self.0 >= 100
    }
}

/// Collects the vehicles that the file omits, and returns the sources of which it omits too many.
pub(crate) async fn find_unlisted(
    tx: &mut Tx,
    sources: &[Source],
    limit: WithdrawalLimit,
    begun_at: DateTime<Utc>,
) -> Result<Vec<Excess>, sqlx::Error> {
    let unlisted = store::find_unlisted(tx, sources, begun_at).await?;
    let too_many = unlisted
        .iter()
        .filter(|it| !limit.allows(it.vehicles, it.listed_before));
    let excess = too_many.map(|it| Excess {
        source: it.source,
        unlisted: it.vehicles,
        listed_before: it.listed_before,
    });
    Ok(excess.collect())
}

/// Withdraws the next batch of vehicles that the file omits, and returns their number and the last id of the batch.
///
/// The open orders of these vehicles end. Orders with a bid on a lot whose auction was held stay open until LMN records
/// the result, because a source no longer lists a lot after its auction.
pub(crate) async fn withdraw_next(
    tx: &mut Tx,
    actor: &Actor,
    after: &str,
    begun_at: DateTime<Utc>,
) -> Result<Option<(u64, VehicleId)>, TransitionFailed> {
    let now = store::lock_listing(tx).await?;
    let limit = i64::try_from(BATCH_VEHICLES).unwrap_or(i64::MAX);
    let ids = store::next_unlisted(tx, after, limit).await?;
    let Some(last) = ids.last().cloned() else {
        return Ok(None);
    };
    let mut listed = vehicles::store::lock(tx, &ids).await?;
    // Other transactions may have changed or withdrawn the vehicles since they were collected.
    listed.retain(|it| it.withdrawn_at.is_none() && it.updated_at < begun_at);
    let ids: Vec<_> = listed.iter().map(|it| it.id.clone()).collect();
    let auctioned = listed.iter().filter(|it| it.was_auctioned(now));
    let auctioned: Vec<_> = auctioned.map(|it| &it.id).collect();
    let mut locked = transitions::lock_open_orders(tx, &ids).await?;
    locked.retain(|it| !it.is_bidding() || auctioned.binary_search(&&it.order.vehicle_id).is_err());
    for locked in &mut locked {
        locked.end(AuctionOutcome::Withdrawn, false)?;
    }
    vehicles::store::set_withdrawn(tx, &ids, WithdrawnBy::Source, now).await?;
    if !locked.is_empty() {
        transitions::record(tx, actor, &locked).await?;
    }
    Ok(Some((ids.len() as u64, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn withdrawals_up_to_the_limit_are_allowed() {
        for (percent, withdrawn, listed_before, is_allowed) in [
            (10, 0, 0, true),
            (10, 0, 9, true),
            (10, 1, 9, false),
            (10, 1, 10, true),
            (10, 2, 19, false),
            (10, 2, 20, true),
            (0, 0, 10, true),
            (0, 1, u64::MAX, false),
            (33, 1, 3, false),
            (34, 1, 3, true),
            (100, 3, 3, true),
            (100, u64::MAX, u64::MAX, true),
            (100, 1, 0, true),
        ] {
            let limit = WithdrawalLimit::percent(percent);
            assert_eq!(
                limit.allows(withdrawn, listed_before),
                is_allowed,
                "{withdrawn} of {listed_before}, {percent} %"
            );
        }
    }
}
