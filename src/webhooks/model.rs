//! A partner's endpoint: where its events go, which of them, and whether they do. Pure.

use chrono::{DateTime, Utc};

use super::address::Target;
use crate::{events::model::EventType, word::words};

/// The longest description of an endpoint, in characters.
pub(crate) const DESCRIPTION_CHARACTERS_MAX: usize = 256;

words! {
    /// Why LMN disabled an endpoint.
    DisabledReason {
        /// It answered 410.
        Gone = "endpoint_gone",
        /// Every attempt of five days failed.
        Failing = "failing_for_five_days",
    }
}

/// What a partner wants of its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Where events go.
    pub target: Target,
    /// Whether they do.
    pub enabled: bool,
    /// Which; `None` for all.
    pub event_types: Option<Vec<EventType>>,
    /// The partner's own words.
    pub description: Option<String>,
}

/// An endpoint. Its secrets are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where events go.
    pub url: String,
    /// Whether they do.
    pub enabled: bool,
    /// Which; `None` for all.
    pub event_types: Option<Vec<EventType>>,
    /// The partner's own words.
    pub description: Option<String>,
    /// Why LMN disabled it.
    pub disabled_reason: Option<DisabledReason>,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Endpoint {
    /// Makes a new one.
    pub(crate) fn made(wish: &Wish, now: DateTime<Utc>) -> Self {
        Self {
            url: wish.target.as_str().to_owned(),
            enabled: wish.enabled,
            event_types: wish.event_types.clone(),
            description: wish.description.clone(),
            disabled_reason: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Changes it as wished, and says whether that gives it a new start: what waits is sent at once.
    ///
    /// What is the same already is not touched.
    pub(crate) fn change(&mut self, wish: &Wish, now: DateTime<Utc>) -> bool {
        let before = self.clone();
        let is_elsewhere = self.url != wish.target.as_str();
        let begins_anew = wish.enabled && (is_elsewhere || !self.enabled);
        wish.target.as_str().clone_into(&mut self.url);
        self.enabled = wish.enabled;
        self.event_types.clone_from(&wish.event_types);
        self.description.clone_from(&wish.description);
        if begins_anew || is_elsewhere {
            self.failing_since = None;
        }
        // Who changes its endpoint knows of the reason; while it stays disabled where it is, the reason stays too.
        if wish.enabled || is_elsewhere {
            self.disabled_reason = None;
        }
        if *self != before {
            self.updated_at = now;
        }
        begins_anew
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn wish(url: &str, enabled: bool) -> Wish {
        Wish {
            target: Target::parse(url).unwrap(),
            enabled,
            event_types: None,
            description: None,
        }
    }

    #[test]
    fn what_is_wished_twice_is_changed_once() {
        let then = DateTime::UNIX_EPOCH;
        let later = then + TimeDelta::hours(1);
        let same = wish("https://example.com/hook", true);
        let mut endpoint = Endpoint::made(&same, then);
        assert!(!endpoint.change(&same, later), "nothing begins anew");
        assert_eq!(endpoint.updated_at, then);
        let elsewhere = wish("https://example.com/other", true);
        assert!(endpoint.change(&elsewhere, later));
        assert_eq!(endpoint.updated_at, later);
    }

    #[test]
    fn enabling_forgives_and_begins_anew() {
        let then = DateTime::UNIX_EPOCH;
        let on = wish("https://example.com/hook", true);
        let mut endpoint = Endpoint::made(&on, then);
        endpoint.failing_since = Some(then);
        endpoint.enabled = false;
        endpoint.disabled_reason = Some(DisabledReason::Failing);
        assert!(!endpoint.change(&wish("https://example.com/hook", false), then));
        assert_eq!(endpoint.disabled_reason, Some(DisabledReason::Failing));
        assert!(endpoint.change(&on, then));
        assert_eq!(
            (endpoint.disabled_reason, endpoint.failing_since),
            (None, None)
        );
        assert!(endpoint.enabled);
    }
}
