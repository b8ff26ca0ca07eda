//! Rendering of an [`ApiError`] in the representation that the client accepts.

use axum::http::HeaderValue;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ApiError, envelope::Envelope, lendfoundry::LendFoundryError, problem::Problem};
use crate::{
    http::accept::{self, Offer},
    values::id::RequestId,
};

/// A representation of errors. Status and headers are the same in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    /// LMN's envelope, the default.
    Envelope,
    /// Problem Details (RFC 9457).
    Problem,
    /// LendFoundry's representation, for partners whose systems support it.
    LendFoundry,
}

impl Representation {
    /// All representations; of several with the same quality, the first one is chosen.
    pub(crate) const ALL: [Self; 3] = [Self::Envelope, Self::Problem, Self::LendFoundry];

    /// Returns the media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Envelope => "application/json",
            Self::Problem => "application/problem+json",
            Self::LendFoundry => "application/vnd.lendfoundry.error+json",
        }
    }

    /// Returns the representation that an `Accept` header asks for.
    pub(crate) fn accepted(accept: Option<&HeaderValue>) -> Self {
        let offers = Self::ALL.map(|it| Offer {
            media_type: it.media_type(),
            by_name_only: it == Self::LendFoundry,
        });
        let chosen = Self::ALL.get(accept::choose(accept, &offers)).copied();
        chosen.unwrap_or(Self::Envelope)
    }
}

/// An error with everything that its representations contain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorContext<'a> {
    pub(crate) error: &'a ApiError,
    pub(crate) request_id: RequestId,
    /// The value of `Allow` in a 405.
    pub(crate) allow: Option<&'a str>,
    /// The time of the response.
    pub(crate) now: DateTime<Utc>,
    /// The base URL of this API for partners.
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

    /// Returns the methods in `Allow`.
    pub(super) fn methods(&self) -> impl Iterator<Item = &'a str> {
        self.allow
            .into_iter()
            .flat_map(|it| it.split(','))
            .map(str::trim)
    }
}

/// Renders an error.
pub(crate) fn render(context: &ErrorContext<'_>, representation: Representation) -> Bytes {
    match representation {
        Representation::Envelope => bytes(&Envelope::of(context)),
        Representation::Problem => bytes(&Problem::of(context)),
        Representation::LendFoundry => bytes(&LendFoundryError::of(context)),
    }
}

fn bytes(body: &impl Serialize) -> Bytes {
    // Strings and numbers always serialize.
    serde_json::to_vec(body).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{errors::catalogue::Code, values::timestamp::Timestamp};

    /// Returns every code under each of its statuses in a representation.
    fn all(representation: Representation) -> BTreeMap<String, Value> {
        let happened_at = Timestamp::parse("2026-04-19T09:30:00+09:00").unwrap();
        let now = "2026-04-19T00:30:00.250Z".parse().unwrap();
        let pairs = Code::ALL
            .into_iter()
            .flat_map(|code| code.entry().statuses.iter().map(move |it| (code, *it)));
        let rendered = pairs.map(|(code, status)| {
            let error = ApiError::example(code, status, happened_at).unwrap();
            let context = ErrorContext {
                error: &error,
                request_id: RequestId::from([0x5f; 12]),
                allow: (status == 405).then_some("GET,HEAD"),
                now,
                public_url: "https://api.example.com",
            };
            let body = serde_json::from_slice(&render(&context, representation)).unwrap();
            (format!("{} {status}", code.as_str()), body)
        });
        rendered.collect()
    }

    #[test]
    fn every_code_renders_as_in_the_snapshots() {
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
    fn detail_names_differ_from_standard_problem_members() {
        let standard = ["type", "title", "status", "detail", "instance", "code"];
        for entry in Code::ALL.map(Code::entry) {
            let clash = standard.iter().find(|name| entry.has_detail(name));
            assert_eq!(clash, None, "{}", entry.code);
        }
    }

    #[test]
    fn forced_error_renders_like_the_real_one() {
        let now = DateTime::UNIX_EPOCH;
        for code in Code::ALL {
            for status in code.entry().statuses {
                let error = || ApiError::example(code, *status, Timestamp::kst(now)).unwrap();
                let forced = ApiError::Forced(Box::new(error()));
                let bytes = |error: &ApiError, representation| {
                    let context = ErrorContext {
                        error,
                        request_id: RequestId::from([7; 12]),
                        allow: None,
                        now,
                        public_url: "",
                    };
                    render(&context, representation)
                };
                for it in Representation::ALL {
                    assert_eq!(bytes(&forced, it), bytes(&error(), it), "{code:?}");
                }
            }
        }
    }

    #[test]
    fn wildcard_never_selects_the_lendfoundry_representation() {
        let accepted = |accept: &str| {
            let accept = HeaderValue::from_str(accept).unwrap();
            Representation::accepted(Some(&accept))
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
