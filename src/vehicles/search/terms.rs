//! Terms: the values by which vehicles are found, each with the bitmap of the slots that have it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;

use super::index::Entry;
use crate::vehicles::names::{fold, words};

/// The field of a vehicle that a term belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The brand.
    Make,
    /// The model; its terms include the make.
    Model,
    /// A word of make, model or trim.
    Word,
    /// The source that lists it.
    Source,
    /// The fuel.
    Fuel,
    /// The transmission.
    Transmission,
    /// The color of the body.
    Color,
    /// The grade of frame and body.
    AccidentGrade,
    /// The grade of the exterior.
    ExteriorGrade,
    /// A piece of equipment.
    Option,
    /// The state of its auction.
    AuctionStatus,
}

/// A value in the form in which it is compared, and in the spelling that vehicles show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    kind: Kind,
    /// The value, folded to ignore case, width and composition.
    folded: Box<str>,
    /// The value as vehicles show it; empty for words and options.
    shown: Box<str>,
    /// The make of a model as vehicles show it; empty for all other kinds.
    make: Box<str>,
}

impl Term {
    /// Creates the term of a value that vehicles show.
    fn shown(kind: Kind, value: &str) -> Self {
        Self {
            shown: value.into(),
            ..Self::first(kind, &fold(value))
        }
    }

    /// Creates the term that sorts before all other terms of a value.
    fn first(kind: Kind, folded: &str) -> Self {
        let (shown, make) = Default::default();
        let folded = folded.into();
        Self {
            kind,
            folded,
            shown,
            make,
        }
    }
}

/// A model and its make as vehicles show them, and the slots of its vehicles.
pub(crate) struct ShownModel<'a> {
    pub(crate) make: &'a str,
    pub(crate) model: &'a str,
    pub(crate) slots: &'a RoaringBitmap,
}

/// All terms with their slots, sorted by kind and value.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms(Arc<BTreeMap<Arc<Term>, Arc<RoaringBitmap>>>);

impl Terms {
    /// Returns the slots that have a value: a set for each of its spellings.
    pub(super) fn of<'a>(
        &'a self,
        kind: Kind,
        folded: &'a str,
    ) -> impl Iterator<Item = &'a RoaringBitmap> {
        self.from(kind, folded)
            .take_while(move |(term, _)| *term.folded == *folded)
            .map(|(_, slots)| slots)
    }

    /// Returns the slots that have a value with this beginning: a set for each term.
    pub(super) fn beginning_with<'a>(
        &'a self,
        kind: Kind,
        folded: &'a str,
    ) -> impl Iterator<Item = &'a RoaringBitmap> {
        self.from(kind, folded)
            .take_while(move |(term, _)| term.folded.starts_with(folded))
            .map(|(_, slots)| slots)
    }

    /// Returns every value of a kind as vehicles show it, with its slots.
    pub(super) fn shown(&self, kind: Kind) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.from(kind, "")
            .map(|(term, slots)| (&*term.shown, slots))
    }

    /// Returns every model as vehicles show it.
    pub(super) fn models(&self) -> impl Iterator<Item = ShownModel<'_>> {
        self.from(Kind::Model, "").map(|(term, slots)| ShownModel {
            make: &term.make,
            model: &term.shown,
            slots,
        })
    }

    fn from(&self, kind: Kind, folded: &str) -> impl Iterator<Item = (&Term, &RoaringBitmap)> {
        self.0
            .range(Term::first(kind, folded)..)
            .take_while(move |(term, _)| term.kind == kind)
            .map(|(term, slots)| (&**term, &**slots))
    }

    /// Merges the terms of changed vehicles: `touched` are all changed slots, `fresh` are their current terms.
    pub(super) fn merge(&mut self, touched: &RoaringBitmap, fresh: TermsBuilder) {
        let mut fresh: HashMap<Term, RoaringBitmap> = fresh.terms.into_iter().collect();
        let terms = Arc::make_mut(&mut self.0);
        let mut emptied = Vec::new();
        for (term, slots) in terms.iter_mut() {
            let now = fresh.remove(&**term);
            if now.is_none() && slots.is_disjoint(touched) {
                continue;
            }
            let now = now.unwrap_or_default();
            if &**slots & touched == now {
                continue;
            }
            let slots = Arc::make_mut(slots);
            *slots -= touched;
            *slots |= now;
            if slots.is_empty() {
                emptied.push(term.clone());
            }
        }
        for term in emptied {
            terms.remove(&term);
        }
        let fresh = fresh.into_iter();
        terms.extend(fresh.map(|(term, slots)| (Arc::new(term), Arc::new(slots))));
    }
}

/// Collects the terms of vehicles, slot by slot.
#[derive(Debug, Default)]
pub(super) struct TermsBuilder {
    terms: Vec<(Term, RoaringBitmap)>,
    /// Positions in `terms` by term.
    by_term: HashMap<Term, usize>,
    /// Positions in `terms` by the texts that the terms are made from, most of which recur.
    by_texts: BTreeMap<Group, HashMap<String, Vec<usize>, RandomState>>,
    /// A buffer for the texts whose terms are looked up.
    texts: String,
}

/// Texts of a vehicle whose terms are looked up together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Names,
    Words,
    Color,
    Option,
}

/// Terminates each of several texts: no text of the database contains a NUL.
const END: char = '\0';

impl TermsBuilder {
    /// Adds the terms of a vehicle.
    pub(super) fn add(&mut self, slot: u32, entry: &Entry) {
        let names = [Some(&entry.make), Some(&entry.model), entry.trim.as_ref()];
        self.add_group(slot, Group::Names, names, || terms_of_names(entry));
        let words = [
            Some(&entry.source),
            entry.fuel.as_ref(),
            entry.transmission.as_ref(),
            entry.accident_grade.as_ref(),
            entry.exterior_grade.as_ref(),
            entry.auction_result.as_ref(),
        ];
        self.add_group(slot, Group::Words, words, || terms_of_words(words));
        if let Some(color) = &entry.color {
            self.add_group(slot, Group::Color, [Some(color)], || {
                vec![Term::shown(Kind::Color, color)]
            });
        }
        for option in &entry.options {
            self.add_group(slot, Group::Option, [Some(option)], || {
                vec![Term::first(Kind::Option, &fold(option))]
            });
        }
    }

    /// Returns the terms.
    pub(super) fn build(self) -> Terms {
        let terms = self.terms.into_iter();
        Terms(Arc::new(
            terms
                .map(|(term, slots)| (Arc::new(term), Arc::new(slots)))
                .collect(),
        ))
    }

    fn add_group<const N: usize>(
        &mut self,
        slot: u32,
        group: Group,
        texts: [Option<&String>; N],
        terms: impl Fn() -> Vec<Term>,
    ) {
        self.texts.clear();
        for text in texts {
            // An absent text differs from an empty one.
            self.texts.push_str(text.map_or("\0", String::as_str));
            self.texts.push(END);
        }
        let known = self.by_texts.entry(group).or_default();
        if let Some(places) = known.get(&self.texts) {
            add_slot(&mut self.terms, places, slot);
            return;
        }
        let mut places = Vec::new();
        for term in terms() {
            let next = self.terms.len();
            let place = *self.by_term.entry(term.clone()).or_insert(next);
            if place == next {
                self.terms.push((term, RoaringBitmap::new()));
            }
            places.push(place);
        }
        add_slot(&mut self.terms, &places, slot);
        known.insert(self.texts.clone(), places);
    }
}

fn add_slot(terms: &mut [(Term, RoaringBitmap)], places: &[usize], slot: u32) {
    for place in places {
        if let Some((_, slots)) = terms.get_mut(*place) {
            // Slots mostly come in ascending order.
            if slots.try_push(slot).is_err() {
                slots.insert(slot);
            }
        }
    }
}

fn terms_of_names(entry: &Entry) -> Vec<Term> {
    let (make, model) = (&entry.make, &entry.model);
    let of_make = Term {
        make: make.as_str().into(),
        ..Term::shown(Kind::Model, model)
    };
    let mut terms = vec![Term::shown(Kind::Make, make), of_make];
    for name in [Some(make), Some(model), entry.trim.as_ref()] {
        let words = name.into_iter().flat_map(|it| words(it));
        terms.extend(words.map(|it| Term::first(Kind::Word, &it)));
    }
    terms
}

fn terms_of_words(words: [Option<&String>; 6]) -> Vec<Term> {
    let kinds = [
        Kind::Source,
        Kind::Fuel,
        Kind::Transmission,
        Kind::AccidentGrade,
        Kind::ExteriorGrade,
        Kind::AuctionStatus,
    ];
    let known = kinds.into_iter().zip(words);
    let term = |(kind, word): (Kind, Option<&String>)| {
        // Values of fixed lists are compared without folding.
        let shown = word?.as_str().into();
        Some(Term {
            shown,
            ..Term::first(kind, word?)
        })
    };
    known.filter_map(term).collect()
}
