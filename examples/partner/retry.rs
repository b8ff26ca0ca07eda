//! When to ask again: what LMN says of it comes first, then full jitter, and an end to it all.

use std::time::Duration;

use serde_json::Value;

/// How many attempts `internal_error` is worth in all: one, and three more.
const INTERNAL_ERRORS_MAX: u32 = 3;

/// Why there is no answer that is a success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error: LMN's, or that of something in between, which has no code.
    Refused(Refusal),
    /// No whole answer. Whether it was done is not known, only that the same key makes it safe to ask again.
    Lost(String),
}

/// An error that was answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// What to branch on; empty if the answer is not LMN's.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Value,
    /// What `LMN-Should-Retry` says.
    pub(crate) should_retry: Option<bool>,
    /// What `Retry-After` says.
    pub(crate) retry_after: Option<Duration>,
}

/// How long to go on.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// One attempt.
    pub(crate) attempt: Duration,
    /// All of them, pauses included.
    pub(crate) total: Duration,
    /// The bound of the first pause; it doubles from there.
    pub(crate) first_pause: Duration,
    /// The bound that it does not pass.
    pub(crate) longest_pause: Duration,
}

impl Failure {
    /// Says whether the same request, under the same key, can end otherwise.
    ///
    /// LMN says it on every error. An error without that word is not LMN's, and so says nothing of the request.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused(it) => it.should_retry.unwrap_or(true),
        }
    }

    /// Returns the code; none if the answer is not LMN's.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Lost(_) => "",
            Self::Refused(it) => &it.code,
        }
    }

    /// Says whether it is an error of the catalogue with this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code() == code
    }

    /// Says whether the API key or the address is refused, and so whatever is asked with it: the class
    /// `fix_credentials`.
    pub(crate) fn is_of_credentials(&self) -> bool {
        let codes = ["missing_api_key", "invalid_api_key", "ip_not_allowed"];
        codes.iter().any(|it| self.is(it))
    }
}

impl Patience {
    /// Returns how long to wait after the `nth` failure, if another attempt is worth it; `chance` is from 0 to 1.
    pub(crate) fn pause(
        &self,
        failure: &Failure,
        nth: u32,
        spent: Duration,
        chance: f64,
    ) -> Option<Duration> {
        let is_hopeless = failure.is("internal_error") && nth > INTERNAL_ERRORS_MAX;
        if !failure.may_pass() || is_hopeless {
            return None;
        }
        let told = match failure {
            Failure::Refused(it) => it.retry_after,
            Failure::Lost(_) => None,
        };
        let doubled = self.first_pause * 2_u32.saturating_pow(nth.saturating_sub(1).min(16));
        let pause = match told {
            // Not all who were told the same time come back in the same moment.
            Some(told) => told + self.first_pause.mul_f64(chance),
            None => doubled.min(self.longest_pause).mul_f64(chance),
        };
        (spent + pause < self.total).then_some(pause)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(why) => write!(f, "no answer: {why}"),
            Self::Refused(it) => write!(
                f,
                "{} {}: {} {}",
                it.status, it.code, it.message, it.details
            ),
        }
    }
}

impl std::error::Error for Failure {}
