//! [`Index`]: the searchable fields of every listed vehicle, at one version of the catalogue.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use roaring::RoaringBitmap;

use super::{
    column::{Chunks, Column, Number, Texts},
    tokens::{Kind, ShownModel, Tokens, TokensBuilder},
};
use crate::{
    values::{id::VehicleId, money::Usd},
    vehicles::{
        model::{AuctionResult, AuctionState, Offer},
        store::{Entry, IndexedRow},
    },
};

/// The numbers of a vehicle, as the columns hold them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) price: u32,
    pub(super) mileage: u32,
    pub(super) year: u32,
    pub(super) auction: i64,
    pub(super) count: u32,
}

impl From<&Entry> for Numbers {
    fn from(entry: &Entry) -> Self {
        let number = |it: i64| u32::nearest(it);
        Self {
            price: number(entry.listing_usd.into()),
            mileage: number(entry.mileage_km.into()),
            year: number(entry.year.into()),
            auction: entry
                .auction_date
                .map_or(i64::NONE, |it| it.timestamp_millis()),
            count: entry
                .auction_count
                .map_or(u32::NONE, |it| number(it.into())),
        }
    }
}

/// The listed vehicles, each in its own slot; a vehicle keeps its slot while it is listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// The number of the full load that it is based on. Another load may assign other slots, and after a failover the
    /// same version or row version may stand for other content.
    pub(crate) generation: u64,
    /// The version of the catalogue.
    pub(crate) version: i64,
    /// The time at which that version was made.
    pub(crate) changed_at: DateTime<Utc>,
    pub(super) ids: Texts,
    pub(super) vins: Texts,
    pub(super) plates: Texts,
    /// The slots of listed vehicles, sorted by id.
    pub(super) by_id: Arc<Vec<u32>>,
    /// The position of each slot in `by_id`.
    pub(super) ranks: Arc<Vec<u32>>,
    pub(super) listed: Arc<RoaringBitmap>,
    pub(super) rows: Chunks<IndexedRow>,
    pub(super) price: Column<u32>,
    pub(super) mileage: Column<u32>,
    pub(super) year: Column<u32>,
    pub(super) auction: Column<i64>,
    pub(super) count: Column<u32>,
    pub(super) tokens: Tokens,
}

impl Index {
    /// Returns the number of listed vehicles.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns whether so many slots are unused that the index should be rebuilt.
    pub(crate) fn is_worn(&self) -> bool {
        self.ids.len() as usize > 2 * self.len() + 10_000
    }

    /// Returns the id of a slot.
    pub(crate) fn id(&self, slot: u32) -> &str {
        self.ids.get(slot)
    }

    /// Returns the row of a slot.
    pub(crate) fn row(&self, slot: u32) -> IndexedRow {
        self.rows.get(slot)
    }

    /// Returns the version of a slot's row.
    pub(crate) fn row_version(&self, slot: u32) -> u32 {
        self.row(slot).version
    }

    /// Returns the slot of a listed vehicle.
    pub(crate) fn slot(&self, id: &str) -> Option<u32> {
        let found = self
            .by_id
            .binary_search_by(|slot| self.ids.get(*slot).cmp(id));
        found.ok().and_then(|place| self.by_id.get(place)).copied()
    }

    /// Returns the state of a listed vehicle that an order depends on, and the version of its row.
    ///
    /// Returns `None` also if the vehicle can neither be bid on nor bought.
    pub(crate) fn offer(&self, id: &VehicleId) -> Option<(u32, Offer)> {
        let slot = self.slot(id.as_str())?;
        let has = |kind, value| self.tokens.of(kind, value).any(|it| it.contains(slot));
        let result = match () {
            () if has(Kind::AuctionStatus, "upcoming") => Some(AuctionResult::Upcoming),
            () if has(Kind::AuctionStatus, "no_bid") => Some(AuctionResult::NoBid),
            () if has(Kind::Source, "dealer") => None,
            () => return None,
        };
        let date = DateTime::from_timestamp_millis(self.auction.get(slot));
        let auction = result.zip(date).map(|(result, date)| AuctionState {
            date,
            result,
            result_at: None,
        });
        let offer = Offer {
            vehicle_id: id.clone(),
            vin: self.vins.get_optional(slot).map(str::to_owned),
            license_plate: self.plates.get_optional(slot).map(str::to_owned),
            listing_usd: Usd::new(self.price.get(slot).into())?,
            auction,
            is_listed: true,
        };
        Some((self.row_version(slot), offer))
    }

    /// Returns the position of the first id that is not before this one.
    pub(super) fn rank(&self, id: &str) -> u32 {
        let place = self.by_id.partition_point(|slot| self.ids.get(*slot) < id);
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Returns the values of a kind as vehicles show them, each with its slots.
    pub(crate) fn shown(&self, kind: Kind) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.tokens.shown(kind)
    }

    /// Returns the models as vehicles show them, each with its slots.
    pub(crate) fn models(&self) -> impl Iterator<Item = ShownModel<'_>> {
        self.tokens.models()
    }
}

/// Builds an index from vehicles in any order.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    ids: Texts,
    vins: Texts,
    plates: Texts,
    rows: Vec<IndexedRow>,
    price: Vec<u32>,
    mileage: Vec<u32>,
    year: Vec<u32>,
    auction: Vec<i64>,
    count: Vec<u32>,
    tokens: TokensBuilder,
}

impl Builder {
    /// Adds a vehicle.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let slot = self.ids.len();
        self.ids.push(&entry.id);
        self.vins.push_optional(entry.vin.as_deref());
        self.plates.push_optional(entry.license_plate.as_deref());
        self.rows.push(entry.row);
        let numbers = Numbers::from(entry);
        self.price.push(numbers.price);
        self.mileage.push(numbers.mileage);
        self.year.push(numbers.year);
        self.auction.push(numbers.auction);
        self.count.push(numbers.count);
        self.tokens.add(slot, entry);
    }

    /// Sorts the vehicles, and returns the index.
    pub(crate) fn build(self, version: i64) -> Index {
        let ids = self.ids;
        let mut by_id: Vec<u32> = (0..ids.len()).collect();
        by_id.sort_by(|one, other| ids.get(*one).cmp(ids.get(*other)));
        let ranks = ranks(&by_id, ids.len());
        let mut rows = Chunks::default();
        rows.merge(ids.len(), (0..).zip(self.rows));
        Index {
            generation: 0,
            version,
            changed_at: DateTime::UNIX_EPOCH,
            price: Column::new(self.price, &by_id, &ranks),
            mileage: Column::new(self.mileage, &by_id, &ranks),
            year: Column::new(self.year, &by_id, &ranks),
            auction: Column::new(self.auction, &by_id, &ranks),
            count: Column::new(self.count, &by_id, &ranks),
            listed: Arc::new((0..ids.len()).collect()),
            rows,
            tokens: self.tokens.build(),
            by_id: Arc::new(by_id),
            ranks: Arc::new(ranks),
            vins: self.vins,
            plates: self.plates,
            ids,
        }
    }
}

/// Returns the position of each slot in the order of ids.
pub(super) fn ranks(by_id: &[u32], slots: u32) -> Vec<u32> {
    let mut ranks = vec![0; slots as usize];
    for (rank, slot) in (0..).zip(by_id) {
        if let Some(it) = ranks.get_mut(*slot as usize) {
            *it = rank;
        }
    }
    ranks
}
