//! The language of the pages: chosen by a cookie, or by `Accept-Language`.

use axum::http::{HeaderMap, header};

use super::{
    session::cookie,
    texts::{ENGLISH, KOREAN, Texts},
};
use crate::values::string_enum::{StringEnum, string_enum};

/// The cookie of the chosen language.
pub(crate) const LANGUAGE_COOKIE: &str = "lmn_language";

string_enum! {
    /// A language of the pages.
    Language {
        /// English.
        English = "en",
        /// Korean.
        Korean = "ko",
    }
}

impl Language {
    /// Returns the language that a request asks for; English if it asks for neither.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(Self::parse);
        chosen
            .or_else(|| {
                let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
                // Browsers send the languages in the order of preference.
                let mut tags = accepted.split(',').map(str::trim);
                tags.find_map(|tag| Self::parse(tag.get(..2)?))
            })
            .unwrap_or(Self::English)
    }

    /// Returns the texts of the pages.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Korean => &KOREAN,
        }
    }

    /// Returns the other language.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::English => Self::Korean,
            Self::Korean => Self::English,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(accepted: &'static str, cookies: &'static str) -> Language {
        let accepted = (header::ACCEPT_LANGUAGE, accepted.parse().unwrap());
        let cookies = (header::COOKIE, cookies.parse().unwrap());
        Language::of(&HeaderMap::from_iter([accepted, cookies]))
    }

    #[test]
    fn cookie_takes_precedence_over_the_preferred_languages() {
        for (accepted, cookies, expected) in [
            ("", "", Language::English),
            ("ko-KR,ko;q=0.9,en;q=0.8", "", Language::Korean),
            ("en-GB, ko", "", Language::English),
            ("fr, ko;q=0.5", "", Language::Korean),
            ("ko", "lmn_language=en", Language::English),
            ("en", "a=b; lmn_language=ko", Language::Korean),
            ("ko", "lmn_language=xx", Language::Korean),
        ] {
            assert_eq!(
                language(accepted, cookies),
                expected,
                "{accepted} {cookies}"
            );
        }
    }
}
