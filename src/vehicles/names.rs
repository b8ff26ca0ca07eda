//! Normalization of names for comparison, without regard to case, width or composition, in every script.

use unicode_normalization::UnicodeNormalization;

/// Maximum length of a folded name, in bytes; the rest is not compared.
const NAME_BYTES_MAX: usize = 256;

/// Returns the form in which a name is compared: trimmed, in lower case and Unicode normalization form KC.
pub fn fold(name: &str) -> String {
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
pub fn words(text: &str) -> Vec<String> {
    let folded = composed(text);
    let runs = folded.split(|it: char| !it.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).map(fold).collect()
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
