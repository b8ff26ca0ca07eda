//! `Accept`: which of the forms that an answer can have the caller wants (RFC 9110, section 12.5.1).

use axum::http::HeaderValue;

/// A form that an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its media type, in lower case.
    pub(crate) media_type: &'static str,
    /// Whether only its own name asks for it, and no wildcard does.
    pub(crate) by_name_only: bool,
}

/// How much a form is wanted, in thousandths.
type Quality = u16;

/// Wanted as much as can be.
const WHOLE: Quality = 1_000;

/// Chooses one of `offers` by its place: the one that is wanted most, of several the first one.
///
/// Where none is wanted, nothing is said, or what is said makes no sense, it is the first one too: there is no 406.
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
    let wanted = |offer: &Offer| quality(&ranges, offer);
    let best = offers.iter().map(wanted).max().unwrap_or_default();
    let chosen = offers.iter().position(|offer| wanted(offer) == best);
    chosen.filter(|_| best > 0).unwrap_or_default()
}

/// Returns how much a form is wanted: the most exact range that has it decides.
fn quality(ranges: &[(&str, Quality)], offer: &Offer) -> Quality {
    let kind = offer
        .media_type
        .split_once('/')
        .map_or("", |(kind, _)| kind);
    let exactness = |range: &str| {
        let is_kind = |it: &str| it.eq_ignore_ascii_case(kind);
        if range.eq_ignore_ascii_case(offer.media_type) {
            Some(2)
        } else if offer.by_name_only {
            None
        } else if range.strip_suffix("/*").is_some_and(is_kind) {
            Some(1)
        } else {
            (range == "*/*").then_some(0)
        }
    };
    let matching = ranges
        .iter()
        .filter_map(|(range, quality)| Some((exactness(range)?, *quality)));
    matching.max().map_or(0, |(_, quality)| quality)
}

/// Reads a media range with its weight; parameters other than `q` do not matter here.
fn read(text: &str) -> Option<(&str, Quality)> {
    let mut parts = split(text, ';').map(str::trim);
    let range = parts.next().filter(|it| it.contains('/'))?;
    let is_weight = |it: &(&str, &str)| it.0.trim().eq_ignore_ascii_case("q");
    let weight = parts.filter_map(|it| it.split_once('=')).find(is_weight);
    let quality = weight.map_or(Some(WHOLE), |(_, text)| read_weight(text.trim()))?;
    Some((range, quality))
}

/// Reads `0` to `1` with at most three digits behind the point.
fn read_weight(text: &str) -> Option<Quality> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_number = digits.len() <= 3 && digits.bytes().all(|it| it.is_ascii_digit());
    let thousandths = format!("{digits:0<3}").parse().ok().filter(|_| is_number)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(WHOLE),
        _ => None,
    }
}

/// Splits at a separator that is not within quotes.
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
    fn what_is_wanted_most_is_chosen_and_else_the_first() {
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
            // A wildcard is less exact than a name, wherever it stands.
            (&["application/json;q=0, */*"], 1),
            (&["application/json;q=0, application/*;q=0.2"], 1),
            (&["*/*;q=0, application/problem+json;q=0.001"], 1),
            (&["application/json;q=0, application/problem+json;q=0"], 0),
            (&["application/problem+json;q=0"], 0),
            // Nothing that there is: the first all the same.
            (&["text/html"], 0),
            (&["text/*, image/webp"], 0),
            (&["*/*;q=0"], 0),
            // What makes no sense says nothing.
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
    fn a_line_that_is_no_text_says_nothing() {
        let bytes = HeaderValue::from_bytes(b"\xff/\xfe").unwrap();
        assert_eq!(choose([&bytes], &OFFERS), 0);
        let own = HeaderValue::from_static("application/vnd.own+json");
        assert_eq!(choose([&bytes, &own], &OFFERS), 2);
    }
}
