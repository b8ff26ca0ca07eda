//! A batch of vehicles from a file, which is written in one transaction together with its effects on orders.
//!
//! New vehicles are inserted by `copy`. Existing vehicles are locked only if they are withdrawn or their listing
//! differs from the last one, in the order of their ids and late in the transaction. So an order waits only for
//! vehicles that may change, and only briefly.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{
    change::{Change, Known, RewrittenListing},
    draft::{Digest, Draft},
    effects::{self, PriceChange},
    store,
};
use crate::{
    audit::Actor,
    database::Tx,
    orders::{
        self,
        transitions::{self, TransitionFailed},
    },
    values::id::VehicleId,
    vehicles::{model::Listing, render::render},
};

/// The largest number of vehicles that are written in one transaction.
///
/// It bounds the time for which other transactions wait for the locks of the vehicles, and the part of the log, about a
/// mebibyte, that the commit of an order may have to write with its own.
pub(crate) const BATCH_VEHICLES: usize = 250;
/// The largest total length of the lines of a batch, in bytes, in addition to the limit of [`BATCH_VEHICLES`].
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A vehicle of a file.
#[derive(Debug)]
pub(crate) struct Vehicle {
    /// Its listing in the file.
    pub listing: Listing,
    /// Its row, which is inserted or replaces the existing one.
    pub draft: Draft,
}

/// Vehicles that are written together, sorted by id. A second listing of a vehicle goes into the next batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    vehicles: BTreeMap<VehicleId, Vehicle>,
    /// Vehicles that are listed by lines that are not valid otherwise.
    listed_only: Vec<VehicleId>,
    bytes: usize,
}

/// The numbers of vehicles of a batch by their result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Vehicles that were not in the catalogue.
    pub inserted: u64,
    /// Vehicles that changed or were listed again.
    pub updated: u64,
    /// Vehicles that did not change.
    pub unchanged: u64,
    /// Vehicles that stay withdrawn although the file lists them.
    pub held_back: u64,
}

impl Batch {
    /// Returns whether a vehicle can be added whose line has `bytes` bytes.
    pub(crate) fn has_room(&self, id: &VehicleId, bytes: usize) -> bool {
        self.vehicles.len() < BATCH_VEHICLES
            && self.listed_only.len() < BATCH_VEHICLES
            && self.bytes + bytes <= BATCH_BYTES_MAX
            && !self.vehicles.contains_key(id)
    }

    /// Adds a vehicle.
    pub(crate) fn add(&mut self, vehicle: Vehicle, bytes: usize) {
        self.bytes += bytes;
        self.vehicles.insert(vehicle.listing.id.clone(), vehicle);
    }

    /// Adds the id of a vehicle that the file lists in a line that is not valid.
    pub(crate) fn add_name(&mut self, id: VehicleId) {
        self.listed_only.push(id);
    }

    /// Returns whether the batch has no vehicles and no ids.
    pub(crate) fn is_empty(&self) -> bool {
        self.vehicles.is_empty() && self.listed_only.is_empty()
    }

    /// Writes the batch; for a snapshot, also records which vehicles the file lists.
    pub(crate) async fn write(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        is_snapshot: bool,
    ) -> Result<Written, TransitionFailed> {
        let now = store::lock_listing(tx).await?;
        let ids: Vec<_> = self.vehicles.keys().map(VehicleId::as_str).collect();
        if is_snapshot {
            let listed_only = self.listed_only.iter().map(VehicleId::as_str);
            let listed: Vec<_> = ids.iter().copied().chain(listed_only).collect();
            store::note_listed(tx, &listed).await?;
        }
        let vehicles: Vec<_> = self.vehicles.values().collect();
        let digests: Vec<_> = vehicles.iter().map(|it| it.draft.digest).collect();
        let found = store::look(tx, &ids, &digests).await?;
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for it in &found {
            let group = if it.is_new { &mut new } else { &mut known };
            group.extend(vehicles.get(it.place).copied());
        }
        let drafts: Vec<_> = new.iter().map(|it| &it.draft).collect();
        store::insert(tx, &drafts, now).await?;
        let changed = Changed::find(tx, &known, now).await?;
        changed.write(tx, now).await?;
        changed.follow(tx, actor, &new).await?;
        let mut written = changed.count();
        written.inserted = new.len() as u64;
        written.unchanged += (vehicles.len() - found.len()) as u64;
        Ok(written)
    }
}

/// The changes to existing vehicles, with the digests of their listings in the file.
#[derive(Debug, Default)]
struct Changed {
    rewritten: Vec<(RewrittenListing, Digest)>,
    unchanged: Vec<(VehicleId, Digest)>,
    held_back: u64,
}

impl Changed {
    /// Locks vehicles that may change, and decides their changes.
    async fn find(
        tx: &mut Tx,
        vehicles: &[&Vehicle],
        now: DateTime<Utc>,
    ) -> Result<Self, TransitionFailed> {
        let mut changed = Self::default();
        if vehicles.is_empty() {
            return Ok(changed);
        }
        let ids: Vec<_> = vehicles.iter().map(|it| it.listing.id.as_str()).collect();
        let known = store::lock_known(tx, &ids).await?;
        // Read after the locks were acquired: an order for one of the vehicles may have been the reason for the wait.
        let bought = orders::store::find_bought(tx, &ids).await?;
        let bought: HashSet<_> = bought.iter().map(VehicleId::as_str).collect();
        let vehicles: HashMap<_, _> = vehicles.iter().map(|it| (&it.listing.id, *it)).collect();
        for mut known in known {
            known.is_bought = bought.contains(known.listing.id.as_str());
            if let Some(vehicle) = vehicles.get(&known.listing.id) {
                changed.add(known, vehicle, now);
            }
        }
        Ok(changed)
    }

    fn add(&mut self, known: Known, vehicle: &Vehicle, now: DateTime<Utc>) {
        match known.change(vehicle.listing.clone(), now) {
            Change::Nothing => self
                .unchanged
                .push((known.listing.id, vehicle.draft.digest)),
            Change::HeldBack => self.held_back += 1,
            Change::RewrittenListing(rewritten) => {
                self.rewritten.push((*rewritten, vehicle.draft.digest));
            }
        }
    }

    /// Updates the rows of the vehicles.
    async fn write(&self, tx: &mut Tx, now: DateTime<Utc>) -> Result<(), TransitionFailed> {
        let drafts = self.rewritten.iter().map(|(rewritten, digest)| {
            let mut draft = Draft::of(&rewritten.listing)?;
            // The digest of the listing in the file, in which no value was replaced by one of the catalogue.
            draft.digest = *digest;
            Ok(draft)
        });
        let drafts = collect_drafts(drafts)?;
        store::change(tx, &drafts.iter().collect::<Vec<_>>(), now).await?;
        render(tx, self.rewritten.iter().map(|(it, _)| &it.listing.id)).await?;
        let unchanged: Vec<_> = self
            .unchanged
            .iter()
            .map(|(id, digest)| (id, *digest))
            .collect();
        Ok(store::set_digests(tx, &unchanged).await?)
    }

    /// Applies new prices and dates to the open orders of the vehicles, and adds events to former orders of vehicles
    /// that can be ordered again.
    async fn follow(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        new: &[&Vehicle],
    ) -> Result<(), TransitionFailed> {
        let mut prices = HashMap::new();
        let mut dates = HashMap::new();
        let mut relisted = Vec::new();
        for (rewritten, _) in &self.rewritten {
            let (id, now) = (&rewritten.listing.id, rewritten.listing.listing_usd);
            prices.extend(
                rewritten
                    .former_price
                    .map(|before| (id.clone(), PriceChange { before, now })),
            );
            dates.extend(rewritten.new_date.map(|date| (id.clone(), date)));
            relisted.extend(rewritten.is_relisted.then(|| id.clone()));
        }
        let new = new.iter().filter(|it| it.listing.is_on_offer());
        relisted.extend(new.map(|it| it.listing.id.clone()));
        let moved: HashSet<_> = prices.keys().chain(dates.keys()).cloned().collect();
        let moved: Vec<_> = moved.into_iter().collect();
        let mut locked = Vec::new();
        if !moved.is_empty() {
            locked = transitions::lock_open_orders(tx, &moved).await?;
            effects::move_auctions(&mut locked, &dates)?;
            effects::add_price_events(&mut locked, &prices)?;
        }
        if !relisted.is_empty() {
            locked.extend(effects::relist(tx, &relisted).await?);
        }
        if locked.iter().any(|it| it.is_touched()) {
            transitions::record(tx, actor, &locked).await?;
        }
        Ok(())
    }

    fn count(&self) -> Written {
        Written {
            inserted: 0,
            updated: self.rewritten.len() as u64,
            unchanged: self.unchanged.len() as u64,
            held_back: self.held_back,
        }
    }
}

/// Inserts the vehicles that are not in the catalogue, and does not change the others.
pub(crate) async fn insert_new(tx: &mut Tx, listings: &[Listing]) -> Result<(), sqlx::Error> {
    let now = store::lock_listing(tx).await?;
    for listings in listings.chunks(BATCH_VEHICLES) {
        let drafts = collect_drafts(listings.iter().map(Draft::of))?;
        let ids: Vec<_> = listings.iter().map(|it| it.id.as_str()).collect();
        let digests: Vec<_> = drafts.iter().map(|it| it.digest).collect();
        let found = store::look(tx, &ids, &digests).await?;
        let new = found.iter().filter(|it| it.is_new);
        let new: Vec<_> = new.filter_map(|it| drafts.get(it.place)).collect();
        store::insert(tx, &new, now).await?;
    }
    Ok(())
}

fn collect_drafts(
    drafts: impl Iterator<Item = serde_json::Result<Draft>>,
) -> Result<Vec<Draft>, sqlx::Error> {
    let drafts: serde_json::Result<_> = drafts.collect();
    drafts.map_err(|error| sqlx::Error::Encode(error.into()))
}
