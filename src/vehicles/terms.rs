//! Terms: what a car is found by, and how names are compared.
//!
//! A term is a value with a letter for its kind, `m:kia` or `o:sunroof`. Those of a car stand in one column with one
//! index; those of a question are joined to one expression over it (`tsquery`). Both are made here, so that they agree.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

use super::model::Listing;
use crate::word::Word;

/// Bytes of a folded name that are compared; what the indexes of the database hold of it.
const NAME_BYTES_MAX: usize = 256;

/// What a term says about a car.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The brand.
    Make,
    /// The model.
    Model,
    /// A word of brand, model or trim.
    Word,
    /// Who lists it.
    Source,
    /// What it runs on.
    Fuel,
    /// How its gears change.
    Transmission,
    /// The body's color.
    Color,
    /// The grade of frame and body.
    AccidentGrade,
    /// The grade of the outside.
    ExteriorGrade,
    /// A piece of equipment.
    Option,
}

impl Kind {
    /// Makes a term of a value that is folded already, or a word.
    fn term(self, value: &str) -> String {
        let letter = match self {
            Self::Make => 'm',
            Self::Model => 'n',
            Self::Word => 'w',
            Self::Source => 's',
            Self::Fuel => 'f',
            Self::Transmission => 't',
            Self::Color => 'c',
            Self::AccidentGrade => 'a',
            Self::ExteriorGrade => 'e',
            Self::Option => 'o',
        };
        format!("{letter}:{value}")
    }
}

/// Returns a name as it is compared: without regard to case, width or the way in which its letters are composed.
pub fn fold(name: &str) -> String {
    let mut folded = composed(name.trim());
    folded.truncate(folded.floor_char_boundary(NAME_BYTES_MAX));
    folded
}

/// Composes letters in one way, in lower case. Most names are of letters of which there is one way only.
fn composed(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.nfkc().collect::<String>().to_lowercase(),
    }
}

/// Returns the words of a text as they are compared: runs of letters and digits, of any script.
pub fn words(text: &str) -> Vec<String> {
    let folded = composed(text);
    let runs = folded.split(|it: char| !it.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).map(fold).collect()
}

/// Returns every term of a car.
pub fn of<D>(car: &Listing<D>) -> Vec<String> {
    let auction = car.auction.as_ref();
    let grade =
        |kind: Kind, grade: Option<super::model::Grade>| grade.map(|it| kind.term(it.as_str()));
    let mut terms = vec![
        Kind::Make.term(&fold(&car.make)),
        Kind::Model.term(&fold(&car.model)),
        Kind::Source.term(car.source.as_str()),
    ];
    terms.extend(car.fuel.map(|it| Kind::Fuel.term(it.as_str())));
    terms.extend(
        car.transmission
            .map(|it| Kind::Transmission.term(it.as_str())),
    );
    terms.extend(car.color.as_deref().map(|it| Kind::Color.term(&fold(it))));
    terms.extend(grade(
        Kind::AccidentGrade,
        auction.and_then(|it| it.accident_grade),
    ));
    terms.extend(grade(
        Kind::ExteriorGrade,
        auction.and_then(|it| it.exterior_grade),
    ));
    terms.extend(car.options.iter().map(|it| Kind::Option.term(&fold(it))));
    let named = [
        Some(car.make.as_str()),
        Some(&car.model),
        car.trim.as_deref(),
    ];
    let spoken = named.into_iter().flatten().flat_map(words);
    terms.extend(spoken.map(|it| Kind::Word.term(&it)));
    terms
}

/// A question about terms: an expression in the database's own language for it.
#[derive(Debug, Default)]
pub(crate) struct Question(String);

impl Question {
    /// Demands one of these values; without any, nothing.
    pub(crate) fn any_of(&mut self, kind: Kind, values: impl IntoIterator<Item: AsRef<str>>) {
        let terms: Vec<_> = values
            .into_iter()
            .map(|value| quoted(&kind.term(value.as_ref())))
            .collect();
        if !terms.is_empty() {
            self.and(&format!("({})", terms.join("|")));
        }
    }

    /// Demands all of these values.
    pub(crate) fn all_of(&mut self, kind: Kind, values: &[String]) {
        for value in values {
            self.and(&quoted(&kind.term(value)));
        }
    }

    /// Demands words that begin like all of these.
    pub(crate) fn beginning_with(&mut self, words: &[String]) {
        for word in words {
            self.and(&format!("{}:*", quoted(&Kind::Word.term(word))));
        }
    }

    /// Returns the expression, if anything is demanded.
    pub(crate) fn into_expression(self) -> Option<String> {
        Some(self.0).filter(|it| !it.is_empty())
    }

    fn and(&mut self, part: &str) {
        let joint = if self.0.is_empty() { "" } else { "&" };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{joint}{part}");
    }
}

/// Writes a term as the database reads it, whatever is in it.
fn quoted(term: &str) -> String {
    format!("'{}'", term.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_width_or_composition() {
        assert_eq!(fold(" Citroën "), fold("CITROE\u{308}N"));
        assert_eq!(fold("ＫＩＡ"), "kia");
        // The same syllables, whole and taken apart.
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

    #[test]
    fn a_question_is_an_expression_in_which_values_are_only_values() {
        let mut question = Question::default();
        question.any_of(Kind::Make, [fold("Kia"), fold("O'Hara\\ | x")]);
        question.any_of(Kind::Color, [""; 0]);
        question.all_of(Kind::Option, &["a".into(), "b&c".into()]);
        question.beginning_with(&["k".into()]);
        assert_eq!(
            question.into_expression().as_deref(),
            Some(r"('m:kia'|'m:o''hara\\ | x')&'o:a'&'o:b&c'&'w:k':*")
        );
        assert_eq!(Question::default().into_expression(), None);
    }
}
