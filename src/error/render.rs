//! Rendering: an [`ApiError`] as the bytes that a partner reads, in the form that it asks for.

use axum::http::HeaderValue;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ApiError, envelope::Envelope, lendfoundry::LendFoundryError, problem::Problem};
use crate::{
    http::accept::{self, Offer},
    id::RequestId,
};

/// A form in which errors can be had. Status and headers are the same in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// LMN's own: what everybody gets who does not ask for another.
    Envelope,
    /// RFC 9457.
    Problem,
    /// LendFoundry's, for partners whose systems know it.
    LendFoundry,
}

impl Representation {
    /// All of them; of those that are wanted alike the first one is given.
    pub(crate) const ALL: [Self; 3] = [Self::Envelope, Self::Problem, Self::LendFoundry];

    /// Returns the media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Envelope => "application/json",
            Self::Problem => "application/problem+json",
            Self::LendFoundry => "application/vnd.lendfoundry.error+json",
        }
    }

    /// Chooses the one that a caller accepts.
    pub(crate) fn accepted(accept: Option<&HeaderValue>) -> Self {
        let offers = Self::ALL.map(|it| Offer {
            media_type: it.media_type(),
            by_name_only: it == Self::LendFoundry,
        });
        let chosen = Self::ALL.get(accept::choose(accept, &offers)).copied();
        chosen.unwrap_or(Self::Envelope)
    }
}

/// An error with all that its answer tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorContext<'a> {
    pub(crate) error: &'a ApiError,
    pub(crate) request_id: RequestId,
    /// The methods of a 405, as `Allow` has them.
    pub(crate) allow: Option<&'a str>,
    /// When it is told.
    pub(crate) now: DateTime<Utc>,
    /// Where partners reach this API.
    pub(crate) public_url: &'a str,
}

impl<'a> ErrorContext<'a> {
    /// Returns the members of `error.details`.
    pub(super) fn details(&self) -> Map<String, Value> {
        let mut details = self.error.details();
        let methods: Vec<&str> = self.methods().collect();
        if !methods.is_empty() {
            details.insert("allow".into(), methods.into());
        }
        details
    }

    /// Returns the methods of a 405.
    pub(super) fn methods(&self) -> impl Iterator<Item = &'a str> {
        self.allow
            .into_iter()
            .flat_map(|it| it.split(','))
            .map(str::trim)
    }
}

/// Renders an error.
pub(crate) fn render(told: &ErrorContext<'_>, representation: Representation) -> Bytes {
    match representation {
        Representation::Envelope => bytes(&Envelope::of(told)),
        Representation::Problem => bytes(&Problem::of(told)),
        Representation::LendFoundry => bytes(&LendFoundryError::of(told)),
    }
}

fn bytes(body: &impl Serialize) -> Bytes {
    // Text and numbers always serialize.
    serde_json::to_vec(body).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{error::catalogue::Code, stamp::Stamp};

    /// Every code under each of its statuses, as it looks in a form.
    fn all(representation: Representation) -> BTreeMap<String, Value> {
        let happened = Stamp::parse("2026-04-19T09:30:00+09:00").unwrap();
        let now = "2026-04-19T00:30:00.250Z".parse().unwrap();
        let pairs = Code::ALL
            .into_iter()
            .flat_map(|code| code.entry().statuses.iter().map(move |it| (code, *it)));
        let rendered = pairs.map(|(code, status)| {
            let error = ApiError::example(code, status, happened).unwrap();
            let told = ErrorContext {
                error: &error,
                request_id: RequestId::from([0x5f; 12]),
                allow: (status == 405).then_some("GET,HEAD"),
                now,
                public_url: "https://api.example.com",
            };
            let body = serde_json::from_slice(&render(&told, representation)).unwrap();
            (format!("{} {status}", code.as_str()), body)
        });
        rendered.collect()
    }

    #[test]
    fn every_code_looks_in_every_form_as_it_did() {
        insta::with_settings!({
            snapshot_path => "../../tests/snapshots",
            prepend_module_to_snapshot => false,
        }, {
            insta::assert_json_snapshot!("errors_envelope", all(Representation::Envelope));
            insta::assert_json_snapshot!("errors_problem", all(Representation::Problem));
            insta::assert_json_snapshot!("errors_lendfoundry", all(Representation::LendFoundry));
        });
    }

    #[test]
    fn no_detail_is_called_like_a_member_of_a_problem() {
        let standard = ["type", "title", "status", "detail", "instance", "code"];
        for entry in Code::ALL.map(Code::entry) {
            let clash = standard.iter().find(|name| entry.tells(name));
            assert_eq!(clash, None, "{}", entry.code);
        }
    }

    #[test]
    fn an_error_that_was_asked_for_looks_like_the_real_one() {
        let now = DateTime::UNIX_EPOCH;
        for code in Code::ALL {
            for status in code.entry().statuses {
                let error = || ApiError::example(code, *status, Stamp::kst(now)).unwrap();
                let forced = ApiError::Forced(Box::new(error()));
                let bytes = |error: &ApiError, representation| {
                    let told = ErrorContext {
                        error,
                        request_id: RequestId::from([7; 12]),
                        allow: None,
                        now,
                        public_url: "",
                    };
                    render(&told, representation)
                };
                for it in Representation::ALL {
                    assert_eq!(bytes(&forced, it), bytes(&error(), it), "{code:?}");
                }
            }
        }
    }

    #[test]
    fn a_wildcard_never_asks_for_lendfoundrys_form() {
        let asked = |accept: &str| {
            let accept = HeaderValue::from_str(accept).unwrap();
            Representation::accepted(Some(&accept))
        };
        assert_eq!(asked("application/problem+json"), Representation::Problem);
        let exact = "application/vnd.lendfoundry.error+json";
        assert_eq!(asked(exact), Representation::LendFoundry);
        for other in [
            "application/vnd.lendfoundry.error",
            "application/vnd.lendfoundry.error+xml",
            "application/vnd.lendfoundry.*",
            "application/json;q=0, application/problem+json;q=0, */*",
        ] {
            assert_eq!(asked(other), Representation::Envelope, "{other}");
        }
    }
}
