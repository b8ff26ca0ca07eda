//! The retry policy: `Retry-After` takes precedence, then exponential backoff with full jitter, and the total time is
//! bounded.

use std::time::Duration;

use serde_json::Value;

/// Number of retries after `internal_error`.
const INTERNAL_ERRORS_MAX: u32 = 3;

/// The reason why a request has not succeeded.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error response, of LMN or of a proxy in between; the latter has no code.
    Refused(Refusal),
    /// No complete response. The request may have been executed; with the same key it is safe to send it again.
    Lost(String),
}

/// An error response.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The error code, on which to branch; empty if the response is not LMN's.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Value,
    /// The header `LMN-Should-Retry`.
    pub(crate) should_retry: Option<bool>,
    /// The header `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
}

/// The times of a retry policy.
#[derive(Debug, Clone)]
pub(crate) struct RetryPolicy {
    /// Timeout of one attempt.
    pub(crate) attempt: Duration,
    /// Timeout of all attempts together, including pauses.
    pub(crate) total: Duration,
    /// Upper bound of the first pause; it doubles with every further pause.
    pub(crate) first_pause: Duration,
    /// Largest upper bound of a pause.
    pub(crate) longest_pause: Duration,
}

impl Failure {
    /// Returns whether the same request with the same key can succeed later.
    ///
    /// Every error of LMN carries this in `LMN-Should-Retry`. An error without that header is not LMN's, and does not
    /// show that the request has failed for good.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused(it) => it.should_retry.unwrap_or(true),
        }
    }

    /// Returns the error code, which is empty if the response is not LMN's.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Lost(_) => "",
            Self::Refused(it) => &it.code,
        }
    }

    /// Returns whether the failure is an error with this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code() == code
    }

    /// Returns whether the API key or the client's address is refused, which every request would be: the class
    /// `fix_credentials`.
    pub(crate) fn is_credentials_error(&self) -> bool {
        let codes = ["missing_api_key", "invalid_api_key", "ip_not_allowed"];
        codes.iter().any(|it| self.is(it))
    }
}

impl RetryPolicy {
    /// Returns the pause after the `nth` failure, or `None` if there must be no further attempt. `random` is from 0 to
    /// 1.
    pub(crate) fn pause(
        &self,
        failure: &Failure,
        nth: u32,
        spent: Duration,
        random: f64,
    ) -> Option<Duration> {
        let is_exhausted = failure.is("internal_error") && nth > INTERNAL_ERRORS_MAX;
        if !failure.is_retryable() || is_exhausted {
            return None;
        }
        let retry_after = match failure {
            Failure::Refused(it) => it.retry_after,
            Failure::Lost(_) => None,
        };
        let doubled = self.first_pause * 2_u32.saturating_pow(nth.saturating_sub(1).min(16));
        let pause = match retry_after {
            // Adds jitter, so that clients with the same `Retry-After` do not return at the same moment.
            Some(retry_after) => retry_after + self.first_pause.mul_f64(random),
            None => doubled.min(self.longest_pause).mul_f64(random),
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
