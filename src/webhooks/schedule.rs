//! The decisions after a delivery attempt: when to retry, when to give up, when to disable the endpoint. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::DisabledReason;

/// The delays between attempts: 0, 1 m, 5 m, 30 m, 2 h, 6 h, 12 h, 24 h, 48 h and 72 h after the first one.
const GAPS: [TimeDelta; 9] = [
    TimeDelta::minutes(1),
    TimeDelta::minutes(4),
    TimeDelta::minutes(25),
    TimeDelta::minutes(90),
    TimeDelta::hours(4),
    TimeDelta::hours(6),
    TimeDelta::hours(12),
    TimeDelta::hours(24),
    TimeDelta::hours(24),
];
/// The jitter of a delay, in thousandths of it either way: events that failed together are not retried together.
const JITTER: i32 = 100;
/// The duration of failure after which an endpoint is disabled.
const PATIENCE: TimeDelta = TimeDelta::days(5);
/// The time without a failure that ends a failure period. No two consecutive attempts of an event are further apart.
const QUIET: TimeDelta = TimeDelta::hours(72);

/// The response of an endpoint, if there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code; `None` if there was no response in time.
    pub status: Option<u16>,
    /// The delay that `Retry-After` asks for.
    pub retry_after: Option<TimeDelta>,
}

impl Answer {
    /// No response.
    pub(crate) const NONE: Self = Self {
        status: None,
        retry_after: None,
    };

    /// Returns whether the endpoint accepted the event.
    pub(crate) fn is_success(self) -> bool {
        self.status.is_some_and(|it| (200..300).contains(&it))
    }
}

/// An attempt to send an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The time at which it began, by the partner's clock as it is when the attempt ends.
    pub at: DateTime<Utc>,
    /// The number of attempts before it, since the event became pending or its attempts were reset.
    pub before: usize,
    /// Whether the attempts were reset in the meantime, so that a failure does not count.
    pub is_superseded: bool,
    /// Whether a redelivery was requested in the meantime, so that the next attempt does not wait.
    pub is_redelivery_requested: bool,
    /// A random number that determines the jitter.
    pub chance: u32,
}

/// A failure period of an endpoint: failures without a success in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failures {
    /// The time of the first failed attempt.
    pub since: DateTime<Utc>,
    /// The time of the last failed attempt.
    pub last: DateTime<Utc>,
}

/// The decision on an event after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The event is delivered.
    Delivered,
    /// The event is sent again at this time.
    Again(DateTime<Utc>),
    /// The event is given up, and the next event of its order is sent.
    GivenUp,
}

impl Attempt {
    /// Decides what happens to the event.
    pub(crate) fn judge(self, answer: Answer) -> Verdict {
        if answer.is_success() {
            return Verdict::Delivered;
        }
        if self.is_superseded {
            return Verdict::Again(self.at);
        }
        let Some(gap) = GAPS.get(self.before).copied() else {
            return Verdict::GivenUp;
        };
        if self.is_redelivery_requested {
            return Verdict::Again(self.at);
        }
        let thousandths = i32::try_from(self.chance % (2 * JITTER as u32 + 1)).unwrap_or(JITTER);
        let wait = gap / 1000 * (1000 - JITTER + thousandths);
        // `Retry-After` is honored between the scheduled delay and twice the gap.
        let wait = answer
            .retry_after
            .map_or(wait, |it| it.clamp(wait, gap * 2));
        Verdict::Again(self.at + wait)
    }

    /// Adds this failure to the failure period before it, or starts a new one if `QUIET` has passed since the last.
    pub(crate) fn join(self, before: Option<Failures>) -> Failures {
        let joined = before.filter(|it| self.at - it.last <= QUIET);
        Failures {
            since: joined.map_or(self.at, |it| it.since),
            last: self.at,
        }
    }

    /// Returns the reason to disable the endpoint, if there is one. `failures` includes this attempt.
    pub(crate) fn judge_endpoint(
        self,
        answer: Answer,
        failures: Failures,
    ) -> Option<DisabledReason> {
        const GONE: u16 = 410;
        if answer.status == Some(GONE) {
            return Some(DisabledReason::Gone);
        }
        (failures.last - failures.since >= PATIENCE).then_some(DisabledReason::Failing)
    }
}

/// Parses a `Retry-After` header: a number of seconds or a date.
pub(crate) fn read_retry_after(text: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(TimeDelta::seconds(seconds.into()));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.to_utc() - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<i64>) -> Answer {
        Answer {
            status: Some(status),
            retry_after: retry_after.map(TimeDelta::seconds),
        }
    }

    fn attempt(before: usize, chance: u32) -> Attempt {
        Attempt {
            at: DateTime::UNIX_EPOCH,
            before,
            is_superseded: false,
            is_redelivery_requested: false,
            chance,
        }
    }

    /// Returns the delay until the next attempt, in seconds.
    fn wait(before: usize, chance: u32, answer: Answer) -> Option<i64> {
        match attempt(before, chance).judge(answer) {
            Verdict::Again(at) => Some((at - DateTime::UNIX_EPOCH).num_seconds()),
            Verdict::Delivered | Verdict::GivenUp => None,
        }
    }

    #[test]
    fn ten_attempts_are_made_at_the_scheduled_times() {
        let middle = JITTER as u32;
        let (mut at, mut times) = (0, vec![0]);
        while let Some(wait) = wait(times.len() - 1, middle, Answer::NONE) {
            at += wait;
            times.push(at);
        }
        let hour = 3600;
        let hours = [2, 6, 12, 24, 48, 72].map(|it| it * hour);
        assert_eq!(times, [&[0, 60, 300, 1800], hours.as_slice()].concat());
        assert_eq!(attempt(9, 0).judge(answer(500, None)), Verdict::GivenUp);
    }

    #[test]
    fn jitter_is_at_most_a_tenth_of_the_delay() {
        let waits: Vec<_> = (0..=200)
            .map(|it| wait(0, it, Answer::NONE).unwrap())
            .collect();
        assert_eq!((waits[0], waits[200]), (54, 66));
        assert_eq!(
            wait(0, u32::MAX, Answer::NONE).map(|it| (54..=66).contains(&it)),
            Some(true)
        );
    }

    #[test]
    fn retry_after_is_honored_between_the_delay_and_twice_the_gap() {
        let middle = JITTER as u32;
        for (asked, expected) in [
            (0, 60),
            (30, 60),
            (90, 90),
            (120, 120),
            (9_999, 120),
            (-5, 60),
        ] {
            assert_eq!(
                wait(0, middle, answer(503, Some(asked))),
                Some(expected),
                "{asked}"
            );
        }
    }

    #[test]
    fn success_is_a_2xx_status_only() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(
                attempt(0, 0).judge(answer(status, None)),
                Verdict::Delivered
            );
        }
        for status in [100, 199, 301, 302, 304, 400, 404, 410, 429, 500, 503] {
            assert!(wait(0, 0, answer(status, None)).is_some(), "{status}");
        }
    }

    #[test]
    fn endpoint_is_disabled_when_it_is_gone_or_fails_for_five_days() {
        let failures = |days: i64| Failures {
            since: DateTime::UNIX_EPOCH - TimeDelta::days(days),
            last: DateTime::UNIX_EPOCH,
        };
        let judge =
            |status, days| attempt(0, 0).judge_endpoint(answer(status, None), failures(days));
        assert_eq!(judge(410, 0), Some(DisabledReason::Gone));
        assert_eq!(judge(500, 4), None);
        assert_eq!(judge(500, 5), Some(DisabledReason::Failing));
    }

    #[test]
    fn failure_period_ends_after_72_hours_without_a_failure() {
        let ago = |hours: i64| DateTime::UNIX_EPOCH - TimeDelta::hours(hours);
        let since = |last: i64| {
            let (since, last) = (ago(100), ago(last));
            attempt(0, 0).join(Some(Failures { since, last })).since
        };
        assert_eq!(since(72), ago(100));
        assert_eq!(since(73), ago(0));
        assert_eq!(attempt(0, 0).join(None).since, ago(0));
        let longest = GAPS.into_iter().max().unwrap() * 2;
        assert!(longest < QUIET, "the longest delay does not end a period");
    }

    #[test]
    fn failure_does_not_count_after_attempts_were_reset() {
        let superseded = Attempt {
            is_superseded: true,
            ..attempt(9, 0)
        };
        let failed = superseded.judge(answer(500, Some(60)));
        assert_eq!(failed, Verdict::Again(superseded.at));
        let accepted = superseded.judge(answer(200, None));
        assert_eq!(accepted, Verdict::Delivered);
    }

    #[test]
    fn requested_redelivery_does_not_wait_and_is_not_an_extra_attempt() {
        let requested = |before| Attempt {
            is_redelivery_requested: true,
            ..attempt(before, 0)
        };
        let at = DateTime::UNIX_EPOCH;
        let failed = answer(503, Some(60));
        assert_eq!(requested(0).judge(failed), Verdict::Again(at));
        assert_eq!(requested(9).judge(failed), Verdict::GivenUp);
        let accepted = requested(0).judge(answer(200, None));
        assert_eq!(accepted, Verdict::Delivered);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::from_timestamp(784_111_777, 0).unwrap();
        let seconds = |text: &str| read_retry_after(text, now).map(|it| it.num_seconds());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        for text in ["", "soon", "-1", "1.5", "99999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
