//! Merging of changed vehicles into a new index, which shares the unchanged parts with the old one.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use roaring::RoaringBitmap;

use super::{
    index::{Index, Numbers, ranks},
    tokens::TokensBuilder,
};
use crate::vehicles::store::{Change, Entry};

/// Changed vehicles, by the effect on their slots.
#[derive(Debug, Default)]
struct Changes {
    /// Slots with their current vehicles, new slots last.
    present: Vec<(u32, Entry)>,
    /// Slots of vehicles that are no longer listed.
    gone: RoaringBitmap,
    /// All changed slots.
    touched: RoaringBitmap,
}

impl Index {
    /// Returns the index at a later version; `changes` must contain each vehicle only once.
    pub(crate) fn merge(
        &self,
        version: i64,
        changed_at: DateTime<Utc>,
        changes: Vec<Change>,
    ) -> Self {
        let mut index = Self {
            version,
            changed_at,
            ..self.clone()
        };
        let changes = index.assign_slots(changes);
        if changes.touched.is_empty() {
            return index;
        }
        let mut tokens = TokensBuilder::default();
        let mut numbers = Vec::with_capacity(changes.present.len());
        for (slot, entry) in &changes.present {
            index.set_vin_and_plate(*slot, entry);
            tokens.add(*slot, entry);
            numbers.push((*slot, Numbers::from(entry)));
        }
        let rows = changes.present.iter().map(|(slot, it)| (*slot, it.row));
        index.rows.merge(index.ids.len(), rows);
        index.tokens.merge(&changes.touched, tokens);
        let (gone, ranks) = (&changes.gone, &index.ranks);
        index
            .price
            .merge(&each(&numbers, |it| it.price), gone, ranks);
        index
            .mileage
            .merge(&each(&numbers, |it| it.mileage), gone, ranks);
        index.year.merge(&each(&numbers, |it| it.year), gone, ranks);
        index
            .auction
            .merge(&each(&numbers, |it| it.auction), gone, ranks);
        index
            .count
            .merge(&each(&numbers, |it| it.count), gone, ranks);
        index
    }

    fn set_vin_and_plate(&mut self, slot: u32, entry: &Entry) {
        let (vin, plate) = (entry.vin.as_deref(), entry.license_plate.as_deref());
        match slot < self.vins.len() {
            true => {
                self.vins.set_optional(slot, vin);
                self.plates.set_optional(slot, plate);
            }
            false => {
                self.vins.push_optional(vin);
                self.plates.push_optional(plate);
            }
        }
    }

    /// Finds or allocates the slots of changed vehicles, and updates the order of ids for added and removed vehicles.
    fn assign_slots(&mut self, changes: Vec<Change>) -> Changes {
        let mut assigned = Changes::default();
        let mut new = Vec::new();
        for Change { id, entry } in changes {
            match (self.slot(&id), entry) {
                (Some(slot), Some(entry)) => assigned.present.push((slot, entry)),
                (Some(slot), None) => {
                    assigned.gone.insert(slot);
                }
                (None, Some(entry)) => new.push(entry),
                (None, None) => {}
            }
        }
        new.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let mut added = Vec::with_capacity(new.len());
        for entry in new {
            let slot = self.ids.len();
            self.ids.push(&entry.id);
            added.push(slot);
            assigned.present.push((slot, entry));
        }
        assigned.touched = assigned.gone.clone();
        assigned
            .touched
            .extend(assigned.present.iter().map(|it| it.0));
        if !added.is_empty() || !assigned.gone.is_empty() {
            self.reorder_ids(&added, &assigned.gone);
        }
        assigned
    }

    fn reorder_ids(&mut self, added: &[u32], gone: &RoaringBitmap) {
        let mut by_id = Vec::with_capacity(self.by_id.len() + added.len());
        let mut added = added.iter().copied().peekable();
        let listed = Arc::make_mut(&mut self.listed);
        *listed -= gone;
        listed.extend(added.clone());
        for slot in self.by_id.iter().copied().filter(|it| !gone.contains(*it)) {
            let id = self.ids.get(slot);
            while let Some(before) = added.next_if(|it| self.ids.get(*it) < id) {
                by_id.push(before);
            }
            by_id.push(slot);
        }
        by_id.extend(added);
        self.ranks = Arc::new(ranks(&by_id, self.ids.len()));
        self.by_id = Arc::new(by_id);
    }
}

fn each<N>(numbers: &[(u32, Numbers)], of: impl Fn(&Numbers) -> N) -> Vec<(u32, N)> {
    numbers.iter().map(|(slot, it)| (*slot, of(it))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

    use super::*;
    use crate::vehicles::{
        search::{Builder, Condition, Field, Filter, Kind, Query, Sort, Used},
        store::IndexedRow,
    };

    fn entry(rng: &mut StdRng, id: &str) -> Entry {
        let mut one = |values: &[&str]| values.choose(rng).unwrap().to_string();
        let (make, model, source) = (
            one(&["Kia", "KIA", "BMW"]),
            one(&["K5", "X5"]),
            one(&["dealer", "sk"]),
        );
        let (trim, status) = (
            Some(one(&["Red Line", "sport"])),
            one(&["upcoming", "no_bid", "sold"]),
        );
        let mut number = |max| rng.random_range(0..max);
        let date = DateTime::UNIX_EPOCH + TimeDelta::days(number(5));
        let is_lot = source != "dealer";
        Entry {
            id: id.to_owned(),
            make,
            model,
            source,
            trim,
            row: IndexedRow {
                version: u32::try_from(number(1_000_000)).unwrap(),
                ..IndexedRow::default()
            },
            year: 2000 + i16::try_from(number(4)).unwrap(),
            mileage_km: i32::try_from(number(4)).unwrap() * 1_000,
            listing_usd: 1 + i32::try_from(number(5)).unwrap(),
            auction_count: Some(i16::try_from(number(3)).unwrap()).filter(|_| is_lot),
            auction_date: Some(date).filter(|_| is_lot),
            auction_result: Some(status).filter(|_| is_lot),
            vin: Some(number(9).to_string()).filter(|it| it != "0"),
            options: vec![number(3).to_string()],
            ..Entry::default()
        }
    }

    fn conditions(rng: &mut StdRng) -> Vec<Condition> {
        let texts = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let all = [
            Condition::AnyOf(Kind::Make, texts(&["kia"])),
            Condition::AnyOf(Kind::Model, texts(&["x5", "nothing"])),
            Condition::AnyOf(Kind::Source, texts(&["sk"])),
            Condition::AllOf(Kind::Option, texts(&["1"])),
            Condition::Beginnings(texts(&["r", "li"])),
            Condition::Ids(texts(&["v3", "v14", "v77", "unknown"])),
            Condition::Within(Field::Price, Some(2), Some(4)),
            Condition::Within(Field::Mileage, None, Some(1_000)),
            Condition::Within(Field::Year, Some(2_002), None),
            Condition::Within(Field::AuctionCount, Some(1), None),
            Condition::Days(DateTime::UNIX_EPOCH.date_naive().succ_opt(), None),
            Condition::Orderable,
        ];
        let count = rng.random_range(0..3);
        all.sample(rng, count).cloned().collect()
    }

    /// Returns the ids on all pages.
    fn ids_of_pages(index: &Index, filter: &Filter, sort: Sort, limit: usize) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        let mut after = None;
        loop {
            let query = Query {
                filter,
                sort,
                after: after.as_ref(),
                limit,
                now: DateTime::UNIX_EPOCH,
            };
            let page = index.page(&query);
            ids.extend(page.iter().map(|slot| index.id(*slot).to_owned()));
            match page.last() {
                Some(last) if page.len() == limit => after = Some(index.place(sort, *last)),
                _ => return ids,
            }
        }
    }

    #[test]
    fn merged_index_gives_the_same_results_as_a_rebuilt_index() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut index = Builder::default().build(0);
        let mut listed = BTreeMap::new();
        for version in 1..200 {
            let mut changes = BTreeMap::new();
            for _ in 0..rng.random_range(1..9) {
                let id = format!("v{}", rng.random_range(0..80));
                let change = rng.random_ratio(3, 4).then(|| entry(&mut rng, &id));
                changes.insert(id, change);
            }
            for (id, change) in &changes {
                match change {
                    Some(entry) => listed.insert(id.clone(), entry.clone()),
                    None => listed.remove(id),
                };
            }
            let changes = changes.into_iter().map(|(id, entry)| Change { id, entry });
            index = index.merge(version, DateTime::UNIX_EPOCH, changes.collect());
            let mut builder = Builder::default();
            listed.values().for_each(|it| builder.add(it));
            let rebuilt = builder.build(version);
            assert_eq!(index.len(), listed.len());
            for it in listed.values() {
                let slot = index.slot(&it.id).unwrap();
                assert_eq!(index.row(slot), it.row);
                assert_eq!(index.vins.get_optional(slot), it.vin.as_deref());
            }
            let used = conditions(&mut rng).into_iter().map(|condition| Used {
                name: "",
                drops_dealers: false,
                condition,
            });
            let filter = Filter::new(used.collect());
            for (_, sort) in Sort::ALL {
                let found = ids_of_pages(&index, &filter, *sort, 3);
                assert_eq!(
                    found,
                    ids_of_pages(&rebuilt, &filter, *sort, 100),
                    "{filter:?} {sort:?}"
                );
                let count = index.count(&filter, DateTime::UNIX_EPOCH);
                assert_eq!(found.len() as u64, count, "{filter:?}");
            }
            let models = |it: &Index| -> Vec<_> {
                let models = it
                    .models()
                    .map(|it| (it.make.to_owned(), it.model.to_owned()));
                models.collect()
            };
            assert_eq!(models(&index), models(&rebuilt));
        }
        let slots = index.ids.len() as usize;
        assert!(slots > index.len(), "slots are not reused");
    }
}
