//! The three representations of an [`ApiError`]: LMN's envelope, Problem Details (RFC 9457), and LendFoundry's envelope.
//!
//! Clients built from LendFoundry's documentation work unchanged: its representation has LendFoundry's codes, and for
//! each code the details that the documentation shows. All its members are always present, and its times are in UTC and
//! end in `Z`, in this representation only.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    api_error::ApiError, entry::LendFoundryCode, payloads::MethodNotAllowed, response::Details,
};
use crate::values::id::RequestId;

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
    fn details(&self) -> Map<String, Value> {
        let mut details = self.error.details();
        let allow: Vec<String> = self.methods().map(str::to_owned).collect();
        if !allow.is_empty() {
            details.extend(MethodNotAllowed { allow }.members());
        }
        details
    }

    /// Returns the methods in `Allow`.
    fn methods(&self) -> impl Iterator<Item = &'a str> {
        self.allow
            .into_iter()
            .flat_map(|it| it.split(','))
            .map(str::trim)
    }
}

/// Renders an error.
pub(crate) fn render(context: &ErrorContext<'_>, representation: Representation) -> Bytes {
    match representation {
        Representation::Envelope => bytes(&envelope(context)),
        Representation::Problem => bytes(&problem(context)),
        Representation::LendFoundry => bytes(&lendfoundry(context)),
    }
}

fn bytes(body: &impl Serialize) -> Bytes {
    // Strings and numbers always serialize.
    serde_json::to_vec(body).unwrap_or_default().into()
}

/// An envelope, LMN's or LendFoundry's.
#[derive(Serialize)]
struct Envelope<T> {
    error: T,
}

/// The members of an error in LMN's envelope.
#[derive(Serialize)]
struct LmnError {
    code: &'static str,
    message: String,
    request_id: String,
    /// Absent if the error has no details.
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
}

fn envelope(context: &ErrorContext<'_>) -> Envelope<LmnError> {
    Envelope {
        error: LmnError {
            code: context.error.code().as_str(),
            message: context.error.to_string(),
            request_id: context.request_id.to_string(),
            details: context.details(),
        },
    }
}

/// A problem. The members of `error.details` are extension members beside the standard ones.
#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    instance: String,
    code: &'static str,
    #[serde(flatten)]
    details: Map<String, Value>,
}

fn problem(context: &ErrorContext<'_>) -> Problem {
    let code = context.error.code();
    Problem {
        kind: format!("{}/v1/errors/{}", context.public_url, code.as_str()),
        title: code.entry().title,
        status: context.error.status().as_u16(),
        detail: context.error.to_string(),
        instance: context.request_id.to_string(),
        code: code.as_str(),
        details: context.details(),
    }
}

/// The members of an error in LendFoundry's envelope.
#[derive(Serialize)]
struct LendFoundryError {
    code: LendFoundryCode,
    message: String,
    details: Value,
    trace_id: String,
    timestamp: String,
    /// The value of `error.code` in LMN's own representation.
    lmn_code: &'static str,
}

fn lendfoundry(context: &ErrorContext<'_>) -> Envelope<LendFoundryError> {
    let error = context.error;
    let code = error.code();
    let methods: Vec<&str> = context.methods().collect();
    let known = code.entry().lendfoundry_code(error.status().as_u16());
    Envelope {
        error: LendFoundryError {
            // The row of a code lists every status that it occurs with.
            code: known.unwrap_or(LendFoundryCode::InternalServerError),
            message: error.to_string(),
            details: error.lendfoundry_details(&methods),
            trace_id: context.request_id.to_string(),
            timestamp: utc(context.now),
            lmn_code: code.as_str(),
        },
    }
}

/// Formats an instant in UTC, in whole seconds.
pub(super) fn utc(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
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
}
