//! Content negotiation: chooses the representation of a response from `Accept` (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::errors::Representation;

/// A representation that a response can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The media type, in lower case.
    pub(crate) media_type: &'static str,
    /// Whether only the exact media type selects it, and no wildcard.
    pub(crate) by_name_only: bool,
}

/// A quality value (`q`), in thousandths.
type Quality = u16;

/// The highest quality value.
const QUALITY_MAX: Quality = 1_000;

/// Returns the index of the offer with the highest quality; of several, the first one.
///
/// The first offer is also the result if none is acceptable, or if the header is absent or malformed: there is no 406.
pub(crate) fn choose<'a>(
    accept: impl IntoIterator<Item = &'a HeaderValue>,
    offers: &[Offer],
) -> usize {
    let ranges: Vec<_> = accept
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| split(line, ','))
        .filter_map(read)
        .collect();
    let quality_of = |offer: &Offer| quality(&ranges, offer);
    let best = offers.iter().map(quality_of).max().unwrap_or_default();
    let chosen = offers.iter().position(|offer| quality_of(offer) == best);
    chosen.filter(|_| best > 0).unwrap_or_default()
}

/// Returns the value of `Accept`, its lines joined, for the time when the request is gone.
pub(crate) fn joined_accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::ACCEPT).iter();
    let first = lines.next()?.clone();
    let more: Vec<_> = lines.map(HeaderValue::as_bytes).collect();
    if more.is_empty() {
        return Some(first);
    }
    let lines = [&[first.as_bytes()], more.as_slice()].concat();
    HeaderValue::from_bytes(&lines.join(&b","[..])).ok()
}

/// Returns the representation of errors that an `Accept` header asks for.
pub(crate) fn error_representation(accept: Option<&HeaderValue>) -> Representation {
    let offers = Representation::ALL.map(|it| Offer {
        media_type: it.media_type(),
        by_name_only: it == Representation::LendFoundry,
    });
    let chosen = Representation::ALL.get(choose(accept, &offers)).copied();
    chosen.unwrap_or(Representation::Envelope)
}

/// Returns the quality of an offer: that of the most specific media range that matches it.
fn quality(ranges: &[(&str, Quality)], offer: &Offer) -> Quality {
    let main_type = offer
        .media_type
        .split_once('/')
        .map_or("", |(main_type, _)| main_type);
    let specificity = |range: &str| {
        let is_main_type = |it: &str| it.eq_ignore_ascii_case(main_type);
        if range.eq_ignore_ascii_case(offer.media_type) {
            Some(2)
        } else if offer.by_name_only {
            None
        } else if range.strip_suffix("/*").is_some_and(is_main_type) {
            Some(1)
        } else {
            (range == "*/*").then_some(0)
        }
    };
    let matching = ranges
        .iter()
        .filter_map(|(range, quality)| Some((specificity(range)?, *quality)));
    matching.max().map_or(0, |(_, quality)| quality)
}

/// Parses a media range with its weight; parameters other than `q` are ignored.
fn read(text: &str) -> Option<(&str, Quality)> {
    let mut parts = split(text, ';').map(str::trim);
    let range = parts.next().filter(|it| it.contains('/'))?;
    let is_weight = |it: &(&str, &str)| it.0.trim().eq_ignore_ascii_case("q");
    let weight = parts.filter_map(|it| it.split_once('=')).find(is_weight);
    let quality = weight.map_or(Some(QUALITY_MAX), |(_, text)| read_weight(text.trim()))?;
    Some((range, quality))
}

/// Parses a weight from `0` to `1` with at most three decimal digits.
fn read_weight(text: &str) -> Option<Quality> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_number = digits.len() <= 3 && digits.bytes().all(|it| it.is_ascii_digit());
    let thousandths = format!("{digits:0<3}").parse().ok().filter(|_| is_number)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(QUALITY_MAX),
        _ => None,
    }
}

/// Splits at a separator outside quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |it: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        is_escaped = is_quoted && it == '\\';
        is_quoted ^= it == '"';
        it == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: [Offer; 3] = [
        Offer {
            media_type: "application/json",
            by_name_only: false,
        },
        Offer {
            media_type: "application/problem+json",
            by_name_only: false,
        },
        Offer {
            media_type: "application/vnd.own+json",
            by_name_only: true,
        },
    ];

    fn chosen(lines: &[&str]) -> usize {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| line.parse().unwrap()).collect();
        choose(&lines, &OFFERS)
    }

    #[test]
    fn offer_with_the_highest_quality_is_chosen_else_the_first() {
        let cases: [(&[&str], usize); 34] = [
            (&[], 0),
            (&[""], 0),
            (&["*/*"], 0),
            (&["application/*"], 0),
            (&["application/json"], 0),
            (&["application/problem+json"], 1),
            (&["APPLICATION/Problem+JSON ; Charset=utf-8"], 1),
            (&["application/vnd.own+json"], 2),
            (&["application/vnd.own+json;charset=utf-8"], 2),
            (&["application/json, application/problem+json"], 0),
            (&["application/problem+json, application/json"], 0),
            (&["application/problem+json", "application/json"], 0),
            (&["application/problem+json, application/json;q=0.9"], 1),
            (
                &["application/problem+json;q=0.8, application/json;q=0.9"],
                0,
            ),
            (&["application/problem+json, */*;q=0.1"], 1),
            (&["application/vnd.own+json, application/problem+json"], 1),
            (&["application/vnd.own+json;q=0.1"], 2),
            (&["application/vnd.own+json, */*"], 0),
            (&["application/vnd.own+json, */*;q=0.5"], 2),
            // A wildcard is less specific than a media type, in any position.
            (&["application/json;q=0, */*"], 1),
            (&["application/json;q=0, application/*;q=0.2"], 1),
            (&["*/*;q=0, application/problem+json;q=0.001"], 1),
            (&["application/json;q=0, application/problem+json;q=0"], 0),
            (&["application/problem+json;q=0"], 0),
            // No offer is acceptable: the first one is chosen.
            (&["text/html"], 0),
            (&["text/*, image/webp"], 0),
            (&["*/*;q=0"], 0),
            // Malformed elements are ignored.
            (&["application/problem+json;q=2"], 0),
            (&["application/problem+json;q=0.1234"], 0),
            (&["application/problem+json;q=0.+1"], 0),
            (&["application/problem+json;q="], 0),
            (&["problem+json, ;;;, /, application"], 0),
            (
                &["text/x;a=\"application/problem+json,application/vnd.own+json\""],
                0,
            ),
            (
                &["text/x;a=\"\\\",\", application/problem+json;a=\";q=0\""],
                1,
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(chosen(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn header_line_that_is_not_text_is_ignored() {
        let bytes = HeaderValue::from_bytes(b"\xff/\xfe").unwrap();
        assert_eq!(choose([&bytes], &OFFERS), 0);
        let own = HeaderValue::from_static("application/vnd.own+json");
        assert_eq!(choose([&bytes, &own], &OFFERS), 2);
    }

    #[test]
    fn wildcard_never_selects_the_lendfoundry_representation() {
        let accepted = |accept: &str| {
            let accept = HeaderValue::from_str(accept).unwrap();
            error_representation(Some(&accept))
        };
        assert_eq!(
            accepted("application/problem+json"),
            Representation::Problem
        );
        let exact = "application/vnd.lendfoundry.error+json";
        assert_eq!(accepted(exact), Representation::LendFoundry);
        for other in [
            "application/vnd.lendfoundry.error",
            "application/vnd.lendfoundry.error+xml",
            "application/vnd.lendfoundry.*",
            "application/json;q=0, application/problem+json;q=0, */*",
        ] {
            assert_eq!(accepted(other), Representation::Envelope, "{other}");
        }
    }
}
