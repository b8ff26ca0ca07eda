//! The components of the service and their status. Pure.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    operator::probes::Missing,
    values::{
        string_enum::{StringEnum, string_enum},
        timestamp::Timestamp,
    },
};

/// The age from which the oldest due delivery that no worker has leased means that deliveries are degraded.
const OLDEST_DUE_MAX: Duration = Duration::from_secs(60);

string_enum! {
    /// A component of the service.
    ServiceComponent {
        /// Reading orders, placing them and changing them, and every other write.
        Orders = "orders",
        /// The vehicles: lists, facets and single ones.
        Catalogue = "catalogue",
        /// The deliveries to webhook endpoints.
        Webhooks = "webhooks",
    }
}

string_enum! {
    /// The status of the service or of a component.
    ServiceCondition {
        /// It works.
        Operational = "operational",
        /// Requests are refused with 503 `service_unavailable`, or deliveries are late.
        Degraded = "degraded",
    }
}

/// The status of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ServiceStatus {
    /// `degraded` if any component is.
    pub status: ServiceCondition,
    /// Every component.
    pub components: Vec<ComponentStatus>,
    /// When the status was assessed.
    pub as_of: Timestamp,
}

/// The status of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ComponentStatus {
    pub name: ServiceComponent,
    pub status: ServiceCondition,
    /// When the server that responds saw the component enter this status, or when that server started.
    pub since: Timestamp,
}

/// The state of a replica at the time of an assessment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// The conditions of readiness that are not met.
    pub missing: &'a [Missing],
    /// Whether the catalogue is too old to be used.
    pub is_catalogue_stale: bool,
    /// Age of the oldest due delivery that no worker had leased when the deliveries were last counted.
    pub oldest_due: Duration,
    /// Time since that count.
    pub counted_ago: Duration,
    /// Time between two counts.
    pub count_every: Duration,
}

impl ServiceStatus {
    /// Assesses the service. A component that has kept its status since the assessment `before` keeps its `since`.
    pub(crate) fn assess(before: Option<&Self>, observed: &Observed<'_>, now: Timestamp) -> Self {
        let assess_component = |name: &ServiceComponent| {
            let status = match is_degraded(*name, observed) {
                true => ServiceCondition::Degraded,
                false => ServiceCondition::Operational,
            };
            let mut known = before.into_iter().flat_map(|it| &it.components);
            let same = known.find(|it| it.name == *name && it.status == status);
            ComponentStatus {
                name: *name,
                status,
                since: same.map_or(now, |it| it.since),
            }
        };
        let all = ServiceComponent::ALL.iter();
        let components: Vec<_> = all.map(assess_component).collect();
        let degraded = |it: &ComponentStatus| it.status == ServiceCondition::Degraded;
        let status = match components.iter().any(degraded) {
            true => ServiceCondition::Degraded,
            false => ServiceCondition::Operational,
        };
        Self {
            status,
            components,
            as_of: now,
        }
    }
}

fn is_degraded(component: ServiceComponent, observed: &Observed<'_>) -> bool {
    let mut missing = observed.missing.iter();
    match component {
        ServiceComponent::Orders => {
            missing.any(|it| matches!(it, Missing::Database { .. } | Missing::Migrations { .. }))
        }
        ServiceComponent::Catalogue => {
            observed.is_catalogue_stale || missing.any(|it| *it == Missing::Catalogue)
        }
        ServiceComponent::Webhooks => {
            observed.oldest_due >= OLDEST_DUE_MAX
                || observed.counted_ago >= OLDEST_DUE_MAX + observed.count_every
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Observed<'static> = Observed {
        missing: &[],
        is_catalogue_stale: false,
        oldest_due: Duration::from_millis(59_999),
        counted_ago: Duration::from_millis(74_999),
        count_every: Duration::from_secs(15),
    };

    fn at(second: u32) -> Timestamp {
        Timestamp::parse(&format!("2026-04-20T13:00:{second:02}+09:00")).unwrap()
    }

    /// Returns the names of the degraded components.
    fn degraded(observed: &Observed<'_>) -> Vec<&'static str> {
        let status = ServiceStatus::assess(None, observed, at(0));
        let degraded = status.components.iter();
        let degraded = degraded.filter(|it| it.status == ServiceCondition::Degraded);
        let degraded: Vec<_> = degraded.map(|it| it.name.as_str()).collect();
        let is_degraded = status.status == ServiceCondition::Degraded;
        assert_eq!(is_degraded, !degraded.is_empty());
        degraded
    }

    #[test]
    fn each_component_is_degraded_for_its_own_reasons() {
        assert_eq!(degraded(&WELL), [""; 0]);
        let silence = Duration::from_secs(2);
        for (missing, component) in [
            (Missing::Database { silence }, "orders"),
            (Missing::Migrations { pending: 1 }, "orders"),
            (Missing::Catalogue, "catalogue"),
        ] {
            let missing = &[missing];
            assert_eq!(degraded(&Observed { missing, ..WELL }), [component]);
        }
        let missing = &[Missing::Stopping];
        assert_eq!(degraded(&Observed { missing, ..WELL }), [""; 0]);
        let stale = Observed {
            is_catalogue_stale: true,
            ..WELL
        };
        assert_eq!(degraded(&stale), ["catalogue"]);
        let late = Observed {
            oldest_due: OLDEST_DUE_MAX,
            ..WELL
        };
        assert_eq!(degraded(&late), ["webhooks"]);
        let uncounted = Observed {
            counted_ago: OLDEST_DUE_MAX + WELL.count_every,
            ..WELL
        };
        assert_eq!(degraded(&uncounted), ["webhooks"]);
    }

    #[test]
    fn component_keeps_the_time_at_which_it_entered_its_status() {
        let stale = Observed {
            is_catalogue_stale: true,
            ..WELL
        };
        let mut status = ServiceStatus::assess(None, &WELL, at(0));
        let mut seen = Vec::new();
        for (second, observed) in [(1, &WELL), (2, &stale), (3, &stale), (4, &WELL)] {
            status = ServiceStatus::assess(Some(&status), observed, at(second));
            assert_eq!(status.as_of, at(second));
            let since: Vec<_> = status.components.iter().map(|it| it.since).collect();
            assert_eq!((since[0], since[2]), (at(0), at(0)), "the others stay");
            seen.push(since[1]);
        }
        assert_eq!(seen, [at(0), at(2), at(2), at(4)]);
    }
}
