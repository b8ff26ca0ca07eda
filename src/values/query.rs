//! The parameters of a query string, decoded byte by byte: partners' systems also send bytes that are not UTF-8.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;

/// The name or the value of a parameter.
#[derive(Clone)]
pub(crate) struct Text<'a> {
    /// The text as it was sent.
    pub(crate) sent: &'a str,
    decoded: Cow<'a, [u8]>,
}

impl<'a> Text<'a> {
    fn new(sent: &'a str) -> Self {
        let decoded: Cow<'a, [u8]> = match sent.contains('+') {
            true => {
                let spaced = sent.replace('+', " ");
                let decoded: Cow<'_, [u8]> = percent_decode_str(&spaced).into();
                Cow::Owned(decoded.into_owned())
            }
            false => percent_decode_str(sent).into(),
        };
        Self { sent, decoded }
    }

    /// Returns the decoded bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.decoded
    }

    /// Returns the decoded text; `None` if its bytes are not UTF-8.
    pub(crate) fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.decoded).ok()
    }
}

/// Writes the decoded text in quotes; bytes that are not UTF-8 as a list of numbers. So different bytes are written
/// differently.
impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_utf8() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => fmt::Debug::fmt(self.bytes(), f),
        }
    }
}

/// Returns the names and values of a query string's parameters, in the form of HTML forms: `&` between parameters, `+` or
/// `%20` for a space.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (Text<'_>, Text<'_>)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (Text::new(name), Text::new(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(query: &str) -> String {
        format!("{:?}", parameters(query).collect::<Vec<_>>())
    }

    #[test]
    fn texts_are_decoded_and_bytes_that_are_not_utf8_stay_distinct() {
        for (query, expected) in [
            ("", "[]"),
            ("&&", "[]"),
            ("a", r#"[("a", "")]"#),
            ("a=b=c&a=+%20%2B", r#"[("a", "b=c"), ("a", "  +")]"#),
            ("=%E6%B0%91&%ea%b0%80=%", r#"[("", "民"), ("가", "%")]"#),
            ("a=%C7%F6", r#"[("a", [199, 246])]"#),
            ("a=%EF%BF%BD", "[(\"a\", \"\u{fffd}\")]"),
            ("%ff=+%fe", "[([255], [32, 254])]"),
        ] {
            assert_eq!(written(query), expected, "{query}");
        }
        assert_ne!(written("a=%C7"), written("a=%C8"));
        assert_ne!(written("a=%FF"), written("a=%25FF"));
    }

    proptest::proptest! {
        #[test]
        fn utf8_is_decoded_like_the_query_of_a_form(query in "[a&=+%0-9A-F가]{0,40}") {
            let ours: Vec<_> = parameters(&query).collect();
            let theirs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            proptest::prop_assert_eq!(ours.len(), theirs.len());
            for ((name, value), (their_name, their_value)) in ours.iter().zip(&theirs) {
                for (text, expected) in [(name, their_name), (value, their_value)] {
                    if let Some(text) = text.as_utf8() {
                        proptest::prop_assert_eq!(text, expected);
                    }
                }
            }
        }
    }
}
