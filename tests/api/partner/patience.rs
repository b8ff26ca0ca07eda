//! The retry policy of the example integration in Rust: it follows the error catalogue and ends in time.

use std::time::Duration;

use lmn_partner_api::errors::{catalogue::Code, entry::RetryClass};

#[path = "../../../examples/partner/retry.rs"]
mod retry;
use retry::{Failure, Refusal, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempt: SECOND,
        total: 60 * SECOND,
        first_pause: SECOND,
        longest_pause: 20 * SECOND,
    }
}

fn refused(code: &str, should_retry: Option<bool>, retry_after: Option<Duration>) -> Failure {
    Failure::Refused(Refusal {
        status: 500,
        code: code.to_owned(),
        message: String::new(),
        details: serde_json::Value::Null,
        should_retry,
        retry_after,
    })
}

#[test]
fn codes_are_retried_according_to_their_retry_class() {
    for code in Code::ALL {
        let is_worth_it = code.entry().retry.should_retry();
        let failure = refused(code.as_str(), Some(is_worth_it), None);
        assert_eq!(failure.is_retryable(), is_worth_it);
        let is_credentials_error = code.entry().retry == RetryClass::FixCredentials;
        assert_eq!(failure.is_credentials_error(), is_credentials_error);
        for nth in 1..=10 {
            let pause = policy().pause(&failure, nth, Duration::ZERO, 0.5);
            // An internal error is retried three times.
            let expected = is_worth_it && (code != Code::InternalError || nth <= 3);
            assert_eq!(pause.is_some(), expected, "{code:?} {nth}");
        }
    }
}

#[test]
fn pauses_are_random_below_a_bound_that_doubles() {
    let lost = Failure::Lost(String::new());
    let bound = |nth| policy().pause(&lost, nth, Duration::ZERO, 1.0).unwrap();
    for (nth, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 20), (99, 20)] {
        assert_eq!(bound(nth), seconds * SECOND);
        let least = policy().pause(&lost, nth, Duration::ZERO, 0.0);
        assert_eq!(least, Some(Duration::ZERO));
    }
}

#[test]
fn retry_after_takes_precedence_and_total_time_is_bounded() {
    let limited = refused("rate_limited", Some(true), Some(30 * SECOND));
    let pause = |spent, chance| policy().pause(&limited, 1, spent, chance);
    assert_eq!(pause(Duration::ZERO, 0.0), Some(30 * SECOND));
    assert_eq!(pause(Duration::ZERO, 1.0), Some(31 * SECOND));
    assert_eq!(pause(29 * SECOND, 0.0), Some(30 * SECOND));
    assert_eq!(pause(30 * SECOND, 0.0), None);
    // A response that is not LMN's does not show that the request has failed for good.
    assert!(refused("", None, None).is_retryable());
}
