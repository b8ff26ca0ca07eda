//! A partner's webhook endpoint: its URL, its event types, its state and its test event. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::target::Target;
use crate::{events::model::EventType, values::string_enum::string_enum};

/// The maximum length of an endpoint's description, in characters.
pub(crate) const DESCRIPTION_CHARACTERS_MAX: usize = 256;

string_enum! {
    /// The reason why LMN disabled an endpoint.
    DisabledReason {
        /// The endpoint responded 410.
        Gone = "endpoint_gone",
        /// Every attempt within five days failed.
        Failing = "failing_for_five_days",
    }
}

/// An endpoint as its partner requests it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointRequest {
    /// The URL to send events to.
    pub target: Target,
    /// Whether events are sent.
    pub enabled: bool,
    /// The event types to send; `None` for all.
    pub event_types: Option<Vec<EventType>>,
    /// A description by the partner.
    pub description: Option<String>,
}

/// An endpoint. Its secrets are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The URL to send events to.
    pub url: String,
    /// Whether events are sent.
    pub enabled: bool,
    /// The event types to send; `None` for all.
    pub event_types: Option<Vec<EventType>>,
    /// A description by the partner.
    pub description: Option<String>,
    /// The reason why LMN disabled it; `None` if LMN did not.
    pub disabled_reason: Option<DisabledReason>,
    /// The time since which every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// The time of its creation.
    pub created_at: DateTime<Utc>,
    /// The time of its last change.
    pub updated_at: DateTime<Utc>,
}

impl Endpoint {
    /// Creates an endpoint.
    pub(crate) fn made(wish: &EndpointRequest, now: DateTime<Utc>) -> Self {
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

    /// Changes the endpoint as requested. Returns whether all pending events become due at once.
    ///
    /// They do if the endpoint was enabled or got another URL. If nothing changes, `updated_at` stays as well.
    pub(crate) fn change(&mut self, wish: &EndpointRequest, now: DateTime<Utc>) -> bool {
        let before = self.clone();
        let has_new_url = self.url != wish.target.as_str();
        let is_restarted = wish.enabled && (has_new_url || !self.enabled);
        wish.target.as_str().clone_into(&mut self.url);
        self.enabled = wish.enabled;
        self.event_types.clone_from(&wish.event_types);
        self.description.clone_from(&wish.description);
        if is_restarted || has_new_url {
            self.failing_since = None;
        }
        // The reason is kept only while the endpoint stays disabled at the same URL.
        if wish.enabled || has_new_url {
            self.disabled_reason = None;
        }
        if *self != before {
            self.updated_at = now;
        }
        is_restarted
    }
}

/// The `data` of `webhook.test`, in which `order` is null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WebhookTest {
    order: (),
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn wish(url: &str, enabled: bool) -> EndpointRequest {
        EndpointRequest {
            target: Target::parse(url).unwrap(),
            enabled,
            event_types: None,
            description: None,
        }
    }

    #[test]
    fn identical_change_leaves_the_endpoint_as_it_is() {
        let then = DateTime::UNIX_EPOCH;
        let later = then + TimeDelta::hours(1);
        let same = wish("https://example.com/hook", true);
        let mut endpoint = Endpoint::made(&same, then);
        assert!(!endpoint.change(&same, later), "nothing becomes due");
        assert_eq!(endpoint.updated_at, then);
        let moved = wish("https://example.com/other", true);
        assert!(endpoint.change(&moved, later));
        assert_eq!(endpoint.updated_at, later);
    }

    #[test]
    fn enabling_clears_failures_and_makes_pending_events_due() {
        let then = DateTime::UNIX_EPOCH;
        let enabled = wish("https://example.com/hook", true);
        let mut endpoint = Endpoint::made(&enabled, then);
        endpoint.failing_since = Some(then);
        endpoint.enabled = false;
        endpoint.disabled_reason = Some(DisabledReason::Failing);
        assert!(!endpoint.change(&wish("https://example.com/hook", false), then));
        assert_eq!(endpoint.disabled_reason, Some(DisabledReason::Failing));
        assert!(endpoint.change(&enabled, then));
        assert_eq!(
            (endpoint.disabled_reason, endpoint.failing_since),
            (None, None)
        );
        assert!(endpoint.enabled);
    }
}
