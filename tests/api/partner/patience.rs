//! When the integration in Rust asks again: as the catalogue says, and not for ever.

use std::time::Duration;

use lmn_partner_api::error::{catalogue::Code, entry::RetryClass};

#[path = "../../../examples/partner/retry.rs"]
mod retry;
use retry::{Failure, Patience, Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn patience() -> Patience {
    Patience {
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
fn every_code_is_repeated_as_its_class_says() {
    for code in Code::ALL {
        let is_worth_it = code.entry().retry.should_retry();
        let failure = refused(code.as_str(), Some(is_worth_it), None);
        assert_eq!(failure.may_pass(), is_worth_it);
        let is_of_credentials = code.entry().retry == RetryClass::FixCredentials;
        assert_eq!(failure.is_of_credentials(), is_of_credentials);
        for nth in 1..=10 {
            let pause = patience().pause(&failure, nth, Duration::ZERO, 0.5);
            // Three tries more, and no other.
            let expected = is_worth_it && (code != Code::InternalError || nth <= 3);
            assert_eq!(pause.is_some(), expected, "{code:?} {nth}");
        }
    }
}

#[test]
fn pauses_are_drawn_below_a_bound_that_doubles() {
    let lost = Failure::Lost(String::new());
    let bound = |nth| patience().pause(&lost, nth, Duration::ZERO, 1.0).unwrap();
    for (nth, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 20), (99, 20)] {
        assert_eq!(bound(nth), seconds * SECOND);
        let least = patience().pause(&lost, nth, Duration::ZERO, 0.0);
        assert_eq!(least, Some(Duration::ZERO));
    }
}

#[test]
fn what_is_told_comes_first_and_time_ends() {
    let told = refused("rate_limited", Some(true), Some(30 * SECOND));
    let pause = |spent, chance| patience().pause(&told, 1, spent, chance);
    assert_eq!(pause(Duration::ZERO, 0.0), Some(30 * SECOND));
    assert_eq!(pause(Duration::ZERO, 1.0), Some(31 * SECOND));
    assert_eq!(pause(29 * SECOND, 0.0), Some(30 * SECOND));
    assert_eq!(pause(30 * SECOND, 0.0), None);
    // What is not LMN's says nothing of the request.
    assert!(refused("", None, None).may_pass());
}
