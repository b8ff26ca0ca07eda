//! [`Offers`]: vehicles as orders were last placed on them, cached so that the next order needs no look-up.
//!
//! An entry may be stale. The statement that places an order verifies the version of the vehicle's row, so a stale entry
//! costs time and never decides anything.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::store;
use crate::{
    error::ApiError,
    id::VehicleId,
    vehicles::{model::Vehicle, view::VehicleView},
};

/// Bytes of all entries.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of an entry beside its snapshot, roughly.
const ENTRY_BYTES: usize = 2048;
/// Time after which an entry is read again.
const AGE_MAX: Duration = Duration::from_secs(60);

/// Vehicles by their ids.
#[derive(Debug, Clone)]
pub(crate) struct Offers(Cache<VehicleId, Arc<Offer>>);

/// A vehicle that an order may be placed on.
#[derive(Debug)]
pub(super) struct Offer {
    /// The vehicle.
    pub(super) vehicle: Vehicle,
    /// The version of its row.
    pub(super) row_version: String,
    /// The vehicle as partners read it, which is kept with the order.
    pub(super) snapshot: String,
}

impl Offers {
    /// Begins without entries.
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(BYTES_MAX)
            .weigher(|_, offer: &Arc<Offer>| {
                u32::try_from(offer.snapshot.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
            })
            .time_to_live(AGE_MAX);
        Self(cache.build())
    }

    /// Returns a vehicle that is cached.
    pub(super) fn get(&self, id: &VehicleId) -> Option<Arc<Offer>> {
        self.0.get(id)
    }

    /// Caches a vehicle that was just read.
    pub(super) fn insert(&self, found: store::Offer) -> Result<Arc<Offer>, ApiError> {
        let id = found.vehicle.listing.id.clone();
        let view = VehicleView::new(found.vehicle.clone(), found.prices);
        let offer = Arc::new(Offer {
            vehicle: found.vehicle,
            row_version: found.row_version,
            snapshot: serde_json::to_string(&view).map_err(ApiError::internal)?,
        });
        self.0.insert(id, offer.clone());
        Ok(offer)
    }

    /// Forgets a vehicle that was found to have changed.
    pub(super) fn forget(&self, id: &VehicleId) {
        self.0.invalidate(id);
    }
}
