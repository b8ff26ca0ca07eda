//! Search tokens: the values by which vehicles are found, each with the bitmap of the slots that have it.
//!
//! Names are compared without regard to case, width or composition, in every script.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;
use unicode_normalization::UnicodeNormalization;

use crate::vehicles::store::Entry;

/// Maximum length of a folded name, in bytes; the rest is not compared.
const NAME_BYTES_MAX: usize = 256;

/// The field of a vehicle that a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The brand.
    Make,
    /// The model; its tokens include the make.
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

/// Returns the form in which a name is compared: trimmed, in lower case and Unicode normalization form KC.
pub(crate) fn fold(name: &str) -> String {
    let mut folded = composed(name.trim());
    folded.truncate(folded.floor_char_boundary(NAME_BYTES_MAX));
    folded
}

/// Normalizes a text to lower case and form KC. Most names are ASCII, which needs no composition.
fn composed(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.nfkc().collect::<String>().to_lowercase(),
    }
}

/// Returns the folded words of a text: runs of letters and digits, of any script.
pub(crate) fn words(text: &str) -> Vec<String> {
    let folded = composed(text);
    let runs = folded.split(|it: char| !it.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).map(fold).collect()
}

/// A value in the form in which it is compared, and in the spelling that vehicles show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token {
    kind: Kind,
    /// The value, folded to ignore case, width and composition.
    folded: Box<str>,
    /// The value as vehicles show it; empty for words and options.
    shown: Box<str>,
    /// The make of a model as vehicles show it; empty for all other kinds.
    make: Box<str>,
}

impl Token {
    /// Creates the token of a value that vehicles show.
    fn shown(kind: Kind, value: &str) -> Self {
        Self {
            shown: value.into(),
            ..Self::first(kind, &fold(value))
        }
    }

    /// Creates the token that sorts before all other tokens of a value.
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

/// All tokens with their slots, sorted by kind and value.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens(Arc<BTreeMap<Arc<Token>, Arc<RoaringBitmap>>>);

impl Tokens {
    /// Returns the slots that have a value: a set for each of its spellings.
    pub(super) fn of<'a>(
        &'a self,
        kind: Kind,
        folded: &'a str,
    ) -> impl Iterator<Item = &'a RoaringBitmap> {
        self.from(kind, folded)
            .take_while(move |(token, _)| *token.folded == *folded)
            .map(|(_, slots)| slots)
    }

    /// Returns the slots that have a value with this beginning: a set for each token.
    pub(super) fn beginning_with<'a>(
        &'a self,
        kind: Kind,
        folded: &'a str,
    ) -> impl Iterator<Item = &'a RoaringBitmap> {
        self.from(kind, folded)
            .take_while(move |(token, _)| token.folded.starts_with(folded))
            .map(|(_, slots)| slots)
    }

    /// Returns every value of a kind as vehicles show it, with its slots.
    pub(super) fn shown(&self, kind: Kind) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.from(kind, "")
            .map(|(token, slots)| (&*token.shown, slots))
    }

    /// Returns every model as vehicles show it.
    pub(super) fn models(&self) -> impl Iterator<Item = ShownModel<'_>> {
        self.from(Kind::Model, "").map(|(token, slots)| ShownModel {
            make: &token.make,
            model: &token.shown,
            slots,
        })
    }

    fn from(&self, kind: Kind, folded: &str) -> impl Iterator<Item = (&Token, &RoaringBitmap)> {
        self.0
            .range(Token::first(kind, folded)..)
            .take_while(move |(token, _)| token.kind == kind)
            .map(|(token, slots)| (&**token, &**slots))
    }

    /// Merges the tokens of changed vehicles: `touched` are all changed slots, `fresh` are their current tokens.
    pub(super) fn merge(&mut self, touched: &RoaringBitmap, fresh: TokensBuilder) {
        let mut fresh: HashMap<Token, RoaringBitmap> = fresh.tokens.into_iter().collect();
        let tokens = Arc::make_mut(&mut self.0);
        let mut emptied = Vec::new();
        for (token, slots) in tokens.iter_mut() {
            let now = fresh.remove(&**token);
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
                emptied.push(token.clone());
            }
        }
        for token in emptied {
            tokens.remove(&token);
        }
        let fresh = fresh.into_iter();
        tokens.extend(fresh.map(|(token, slots)| (Arc::new(token), Arc::new(slots))));
    }
}

/// Collects the tokens of vehicles, slot by slot.
#[derive(Debug, Default)]
pub(super) struct TokensBuilder {
    tokens: Vec<(Token, RoaringBitmap)>,
    /// Positions in `tokens` by token.
    by_token: HashMap<Token, usize>,
    /// Positions in `tokens` by the texts that the tokens are made from, most of which recur.
    by_texts: BTreeMap<Group, HashMap<String, Vec<usize>, RandomState>>,
    /// A buffer for the texts whose tokens are looked up.
    texts: String,
}

/// Texts of a vehicle whose tokens are looked up together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Names,
    Words,
    Color,
    Option,
}

/// Terminates each of several texts: no text of the database contains a NUL.
const END: char = '\0';

impl TokensBuilder {
    /// Adds the tokens of a vehicle.
    pub(super) fn add(&mut self, slot: u32, entry: &Entry) {
        let names = [Some(&entry.make), Some(&entry.model), entry.trim.as_ref()];
        self.add_group(slot, Group::Names, names, || tokens_of_names(entry));
        let words = [
            Some(&entry.source),
            entry.fuel.as_ref(),
            entry.transmission.as_ref(),
            entry.accident_grade.as_ref(),
            entry.exterior_grade.as_ref(),
            entry.auction_result.as_ref(),
        ];
        self.add_group(slot, Group::Words, words, || tokens_of_words(words));
        if let Some(color) = &entry.color {
            self.add_group(slot, Group::Color, [Some(color)], || {
                vec![Token::shown(Kind::Color, color)]
            });
        }
        for option in &entry.options {
            self.add_group(slot, Group::Option, [Some(option)], || {
                vec![Token::first(Kind::Option, &fold(option))]
            });
        }
    }

    /// Returns the tokens.
    pub(super) fn build(self) -> Tokens {
        let tokens = self.tokens.into_iter();
        Tokens(Arc::new(
            tokens
                .map(|(token, slots)| (Arc::new(token), Arc::new(slots)))
                .collect(),
        ))
    }

    fn add_group<const N: usize>(
        &mut self,
        slot: u32,
        group: Group,
        texts: [Option<&String>; N],
        tokens: impl Fn() -> Vec<Token>,
    ) {
        self.texts.clear();
        for text in texts {
            // An absent text differs from an empty one.
            self.texts.push_str(text.map_or("\0", String::as_str));
            self.texts.push(END);
        }
        let known = self.by_texts.entry(group).or_default();
        if let Some(places) = known.get(&self.texts) {
            add_slot(&mut self.tokens, places, slot);
            return;
        }
        let mut places = Vec::new();
        for token in tokens() {
            let next = self.tokens.len();
            let place = *self.by_token.entry(token.clone()).or_insert(next);
            if place == next {
                self.tokens.push((token, RoaringBitmap::new()));
            }
            places.push(place);
        }
        add_slot(&mut self.tokens, &places, slot);
        known.insert(self.texts.clone(), places);
    }
}

fn add_slot(tokens: &mut [(Token, RoaringBitmap)], places: &[usize], slot: u32) {
    for place in places {
        if let Some((_, slots)) = tokens.get_mut(*place) {
            // Slots mostly come in ascending order.
            if slots.try_push(slot).is_err() {
                slots.insert(slot);
            }
        }
    }
}

fn tokens_of_names(entry: &Entry) -> Vec<Token> {
    let (make, model) = (&entry.make, &entry.model);
    let of_make = Token {
        make: make.as_str().into(),
        ..Token::shown(Kind::Model, model)
    };
    let mut tokens = vec![Token::shown(Kind::Make, make), of_make];
    for name in [Some(make), Some(model), entry.trim.as_ref()] {
        let words = name.into_iter().flat_map(|it| words(it));
        tokens.extend(words.map(|it| Token::first(Kind::Word, &it)));
    }
    tokens
}

fn tokens_of_words(words: [Option<&String>; 6]) -> Vec<Token> {
    let kinds = [
        Kind::Source,
        Kind::Fuel,
        Kind::Transmission,
        Kind::AccidentGrade,
        Kind::ExteriorGrade,
        Kind::AuctionStatus,
    ];
    let known = kinds.into_iter().zip(words);
    let token = |(kind, word): (Kind, Option<&String>)| {
        // Values of fixed lists are compared without folding.
        let shown = word?.as_str().into();
        Some(Token {
            shown,
            ..Token::first(kind, word?)
        })
    };
    known.filter_map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_width_or_composition() {
        assert_eq!(fold(" Citroën "), fold("CITROE\u{308}N"));
        assert_eq!(fold("ＫＩＡ"), "kia");
        // The same syllables, composed and decomposed.
        assert_eq!(fold("기아"), fold("\u{1100}\u{1175}\u{110b}\u{1161}"));
        assert_eq!(fold(&"가".repeat(200)).len(), 255);
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(
            words("E-Class  (W213) 3시리즈"),
            ["e", "class", "w213", "3시리즈"]
        );
        assert_eq!(words(" -!- "), [""; 0]);
    }
}
