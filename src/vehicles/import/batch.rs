//! A batch of a file's vehicles, and how it is written: in one transaction, with everything that follows from it.
//!
//! New vehicles are copied straight into the catalogue. Of the others only those are locked that differ from what was last
//! said of them, in the order of their ids and late in the transaction, so that an order waits for one of these vehicles as
//! shortly as can be, and for no other.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::change::{Change, Known, RewrittenListing};
use crate::{
    audit::model::Actor,
    database::Tx,
    orders::{
        self,
        effects::{self, PriceChange},
        progress::{self, ProgressError},
    },
    values::id::VehicleId,
    vehicles::{
        model::Listing,
        render::render,
        store::{self, BATCH_VEHICLES, Digest, Draft},
    },
};

/// Bytes of lines that are held at once, beside the number of their vehicles.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A vehicle of a file.
#[derive(Debug)]
pub(crate) struct Vehicle {
    /// What the file says of it.
    pub listing: Listing,
    /// Its row, if it is new.
    pub draft: Draft,
}

/// Vehicles that are written together, sorted by id; one that comes again goes into the next batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    vehicles: BTreeMap<VehicleId, Vehicle>,
    /// Vehicles that are listed by lines that are not right otherwise.
    named: Vec<VehicleId>,
    bytes: usize,
}

/// What became of the vehicles of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Vehicles that were not there.
    pub inserted: u64,
    /// Vehicles that changed, or were listed again.
    pub updated: u64,
    /// Vehicles that are as they were.
    pub unchanged: u64,
    /// Vehicles that are not brought back.
    pub held_back: u64,
}

impl Batch {
    /// Says whether a vehicle whose line is so long can be added.
    pub(crate) fn has_room(&self, id: &VehicleId, bytes: usize) -> bool {
        self.vehicles.len() < BATCH_VEHICLES
            && self.named.len() < BATCH_VEHICLES
            && self.bytes + bytes <= BATCH_BYTES_MAX
            && !self.vehicles.contains_key(id)
    }

    /// Adds a vehicle.
    pub(crate) fn add(&mut self, vehicle: Vehicle, bytes: usize) {
        self.bytes += bytes;
        self.vehicles.insert(vehicle.listing.id.clone(), vehicle);
    }

    /// Adds a vehicle of which nothing is known but that it is listed.
    pub(crate) fn add_name(&mut self, id: VehicleId) {
        self.named.push(id);
    }

    /// Says whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.vehicles.is_empty() && self.named.is_empty()
    }

    /// Writes it within a transaction; a snapshot remembers what it lists.
    pub(crate) async fn write(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        is_snapshot: bool,
    ) -> Result<Written, ProgressError> {
        let now = store::lock_listing(tx).await?;
        let ids: Vec<_> = self.vehicles.keys().map(VehicleId::as_str).collect();
        if is_snapshot {
            let named = self.named.iter().map(VehicleId::as_str);
            let listed: Vec<_> = ids.iter().copied().chain(named).collect();
            store::note_listed(tx, &listed).await?;
        }
        let vehicles: Vec<_> = self.vehicles.values().collect();
        let digests: Vec<_> = vehicles.iter().map(|it| it.draft.digest).collect();
        let found = store::look(tx, &ids, &digests).await?;
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for it in &found {
            let among = if it.is_new { &mut new } else { &mut known };
            among.extend(vehicles.get(it.place).copied());
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

/// What becomes of vehicles that are there, each with what was said of it.
#[derive(Debug, Default)]
struct Changed {
    anew: Vec<(RewrittenListing, Digest)>,
    same: Vec<(VehicleId, Digest)>,
    held_back: u64,
}

impl Changed {
    /// Locks vehicles that may change, and decides what becomes of them.
    async fn find(
        tx: &mut Tx,
        vehicles: &[&Vehicle],
        now: DateTime<Utc>,
    ) -> Result<Self, ProgressError> {
        let mut changed = Self::default();
        if vehicles.is_empty() {
            return Ok(changed);
        }
        let ids: Vec<_> = vehicles.iter().map(|it| it.listing.id.as_str()).collect();
        let known = store::hold_known(tx, &ids).await?;
        // What the locks were waited for may have been an order of one of them.
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
            Change::Nothing => self.same.push((known.listing.id, vehicle.draft.digest)),
            Change::HeldBack => self.held_back += 1,
            Change::RewrittenListing(anew) => self.anew.push((*anew, vehicle.draft.digest)),
        }
    }

    /// Changes the rows.
    async fn write(&self, tx: &mut Tx, now: DateTime<Utc>) -> Result<(), ProgressError> {
        let drafts = self.anew.iter().map(|(anew, said)| {
            let mut draft = Draft::of(&anew.listing)?;
            // What the catalogue knows better was not said.
            draft.digest = *said;
            Ok(draft)
        });
        let drafts: Vec<Draft> = drafts
            .collect::<serde_json::Result<_>>()
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        store::change(tx, &drafts.iter().collect::<Vec<_>>(), now).await?;
        render(tx, self.anew.iter().map(|(it, _)| &it.listing.id)).await?;
        let same: Vec<_> = self.same.iter().map(|(id, said)| (id, *said)).collect();
        Ok(store::set_digests(tx, &same).await?)
    }

    /// Lets the orders of the vehicles go on, and tells whoever once ordered those that can be ordered again.
    async fn follow(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        new: &[&Vehicle],
    ) -> Result<(), ProgressError> {
        let mut prices = HashMap::new();
        let mut dates = HashMap::new();
        let mut relisted = Vec::new();
        for (anew, _) in &self.anew {
            let (id, now) = (&anew.listing.id, anew.listing.listing_usd);
            prices.extend(
                anew.former_price
                    .map(|before| (id.clone(), PriceChange { before, now })),
            );
            dates.extend(anew.new_date.map(|date| (id.clone(), date)));
            relisted.extend(anew.is_relisted.then(|| id.clone()));
        }
        let new = new.iter().filter(|it| it.listing.is_on_offer());
        relisted.extend(new.map(|it| it.listing.id.clone()));
        let moved: HashSet<_> = prices.keys().chain(dates.keys()).cloned().collect();
        let moved: Vec<_> = moved.into_iter().collect();
        let mut held = Vec::new();
        if !moved.is_empty() {
            held = effects::lock_open_orders(tx, &moved).await?;
            effects::move_auctions(&mut held, &dates)?;
            effects::add_price_events(&mut held, &prices)?;
        }
        if !relisted.is_empty() {
            held.extend(effects::relist(tx, &relisted).await?);
        }
        if held.iter().any(|it| it.is_touched()) {
            progress::record(tx, actor, &held).await?;
        }
        Ok(())
    }

    fn count(&self) -> Written {
        Written {
            inserted: 0,
            updated: self.anew.len() as u64,
            unchanged: self.same.len() as u64,
            held_back: self.held_back,
        }
    }
}
