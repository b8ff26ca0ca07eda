//! Metrics of requests: in progress, by route, by partner, and by what the catalogue's cache contributed.
//!
//! A series by route or partner is registered when it is first needed, and its handle is cached: finding it in the
//! recorder would build its labels for each request. Partners are labels, by their public id. The first partners of a
//! process have a label of their own and all others share `other`, so the number of series is bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram};

use super::{
    declarations::{self, label_values},
    metrics::{Metrics, Registry},
};
use crate::values::id::PartnerId;

/// The label of a path that matches no route.
pub(crate) const UNMATCHED: &str = "unmatched";
/// The number of partners with a label of their own.
const PARTNERS_MAX: usize = 500;
/// The label of all other partners.
const OTHER: &str = "other";
/// The label of requests without a valid key.
const NONE: &str = "none";

label_values! {
    /// The outcome of a partner's request.
    Outcome {
        /// The status is below 400.
        Served = "served",
        /// The status is 4xx, but not 429.
        Refused = "refused",
        /// The status is 429.
        Limited = "limited",
        /// The status is 5xx.
        Failed = "failed",
    }
}

label_values! {
    /// A cached form of vehicles.
    Kind {
        /// The form in lists.
        Summaries = "summary",
        /// The form of a single vehicle.
        Details = "detail",
    }
}

label_values! {
    /// Whether a vehicle was cached.
    Cached {
        /// It was cached.
        Hit = "hit",
        /// It was read from the database.
        Miss = "miss",
    }
}

/// A response, as the metrics count it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// The template of the route, if a route matched.
    pub(crate) route: Option<&'a str>,
    /// The method of the request.
    pub(crate) method: &'a Method,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The error code of the response, if it is an error.
    pub(crate) code: Option<&'static str>,
    /// Whether the response is caused by a bug.
    pub(crate) by_our_fault: bool,
    /// The partner, if the request had a valid key.
    pub(crate) partner: Option<PartnerId>,
    /// The id of the operation, if it is deprecated.
    pub(crate) deprecated: Option<&'a str>,
    /// Time to the response.
    pub(crate) took: Duration,
}

/// Handles of these metrics.
pub(super) struct Requests {
    in_flight: Gauge,
    abandoned: Counter,
    internal_errors: Counter,
    /// The series of all routes. Their number is bounded by the routes, methods, statuses and codes that exist.
    routes: Mutex<HashMap<String, Route>>,
    partners: Mutex<HashMap<PartnerId, Outcomes>>,
    other_partners: Outcomes,
    summaries: [Counter; 2],
    details: [Counter; 2],
}

impl Requests {
    /// Registers the metrics that depend on no route and no partner.
    pub(super) fn new(registry: &Registry) -> Self {
        let cached = |kind: Kind| {
            [Cached::Hit, Cached::Miss].map(|result| {
                let values = [kind.as_str().into(), result.as_str().into()];
                registry.counter(&declarations::CATALOGUE_CACHE, values)
            })
        };
        Self {
            in_flight: registry.gauge(&declarations::HTTP_REQUESTS_IN_FLIGHT, []),
            abandoned: registry.counter(&declarations::HTTP_REQUESTS_ABANDONED, []),
            internal_errors: registry.counter(&declarations::INTERNAL_ERRORS, []),
            routes: Mutex::default(),
            partners: Mutex::default(),
            other_partners: Outcomes::new(registry, OTHER),
            summaries: cached(Kind::Summaries),
            details: cached(Kind::Details),
        }
    }

    fn count_by_route(&self, registry: &Registry, answered: &Answered<'_>) {
        let route = answered.route.unwrap_or(UNMATCHED);
        let labels = Labels {
            method: method_name(answered.method),
            status: answered.status.as_u16(),
            code: answered.code.unwrap_or("none"),
        };
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Route::default());
        }
        let Some(series) = routes.get_mut(route) else {
            return;
        };
        series
            .duration(registry, route, labels.method)
            .record(answered.took);
        series.counter(registry, route, labels).increment(1);
    }

    fn count_by_partner(&self, registry: &Registry, partner: PartnerId, status: StatusCode) {
        let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = partners.len() >= PARTNERS_MAX;
        match partners.get(&partner) {
            Some(outcomes) => outcomes.of(status).increment(1),
            None if is_full => self.other_partners.of(status).increment(1),
            None => {
                let outcomes = Outcomes::new(registry, &partner.to_string());
                outcomes.of(status).increment(1);
                partners.insert(partner, outcomes);
            }
        }
    }

    /// Counts a request for a deprecated operation. They are few, so the handles of these series are not cached.
    fn count_deprecated(&self, registry: &Registry, operation: &str, partner: Option<PartnerId>) {
        let partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
        let partner = match partner {
            Some(partner) if partners.contains_key(&partner) => partner.to_string(),
            Some(_) => OTHER.to_owned(),
            None => NONE.to_owned(),
        };
        let values = [operation.to_owned().into(), partner.into()];
        let counter = registry.counter(&declarations::DEPRECATED_REQUESTS, values);
        counter.increment(1);
    }
}

/// The series of one route.
#[derive(Default)]
struct Route {
    durations: Vec<(&'static str, Histogram)>,
    counters: Vec<(Labels, Counter)>,
}

/// The labels of a request in addition to its route.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Labels {
    method: &'static str,
    status: u16,
    code: &'static str,
}

impl Route {
    fn duration(&mut self, registry: &Registry, route: &str, method: &'static str) -> Histogram {
        if let Some((_, known)) = self.durations.iter().find(|(it, _)| *it == method) {
            return known.clone();
        }
        let values = [route.to_owned().into(), method.into()];
        let new = registry.histogram(&declarations::HTTP_REQUEST_DURATION, values);
        self.durations.push((method, new.clone()));
        new
    }

    fn counter(&mut self, registry: &Registry, route: &str, labels: Labels) -> Counter {
        if let Some((_, known)) = self.counters.iter().find(|(it, _)| *it == labels) {
            return known.clone();
        }
        let values = [
            route.to_owned().into(),
            labels.method.into(),
            labels.status.to_string().into(),
            labels.code.into(),
        ];
        let new = registry.counter(&declarations::HTTP_REQUESTS, values);
        self.counters.push((labels, new.clone()));
        new
    }
}

/// The counters of a partner.
struct Outcomes {
    served: Counter,
    refused: Counter,
    limited: Counter,
    failed: Counter,
}

impl Outcomes {
    fn new(registry: &Registry, partner: &str) -> Self {
        let of = |outcome: Outcome| {
            let values = [partner.to_owned().into(), outcome.as_str().into()];
            registry.counter(&declarations::PARTNER_REQUESTS, values)
        };
        Self {
            served: of(Outcome::Served),
            refused: of(Outcome::Refused),
            limited: of(Outcome::Limited),
            failed: of(Outcome::Failed),
        }
    }

    fn of(&self, status: StatusCode) -> &Counter {
        match status.as_u16() {
            429 => &self.limited,
            500.. => &self.failed,
            400.. => &self.refused,
            _ => &self.served,
        }
    }
}

impl Metrics {
    /// Counts a request as in progress until the returned guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.requests().in_flight.increment(1.0);
        InFlight {
            metrics: self.clone(),
            answered: false,
        }
    }

    /// Counts vehicles in a response by whether they were cached.
    pub(crate) fn count_cached(&self, kind: Kind, cached: Cached, vehicles: usize) {
        let [hit, miss] = match kind {
            Kind::Summaries => &self.requests().summaries,
            Kind::Details => &self.requests().details,
        };
        let counter = match cached {
            Cached::Hit => hit,
            Cached::Miss => miss,
        };
        counter.increment(vehicles as u64);
    }

    fn count(&self, answered: &Answered<'_>) {
        let (requests, registry) = (self.requests(), self.registry());
        requests.count_by_route(registry, answered);
        if let Some(partner) = answered.partner {
            requests.count_by_partner(registry, partner, answered.status);
        }
        if let Some(operation) = answered.deprecated {
            requests.count_deprecated(registry, operation, answered.partner);
        }
        if answered.by_our_fault {
            requests.internal_errors.increment(1);
        }
    }
}

/// A request in progress, until its response is taken or it is dropped.
pub(crate) struct InFlight {
    metrics: Metrics,
    answered: bool,
}

impl InFlight {
    /// Counts the response. The request stays in progress until the returned guard is dropped.
    pub(crate) fn answer(mut self, answered: &Answered<'_>) -> Self {
        self.answered = true;
        self.metrics.count(answered);
        self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let requests = self.metrics.requests();
        requests.in_flight.decrement(1.0);
        if !self.answered {
            requests.abandoned.increment(1);
        }
    }
}

/// Returns the name of a method, or `other`: callers may send unknown methods.
pub(crate) fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn answered<'a>(route: Option<&'a str>, method: &'a Method) -> Answered<'a> {
        Answered {
            route,
            method,
            status: StatusCode::OK,
            code: None,
            by_our_fault: false,
            partner: None,
            deprecated: None,
            took: Duration::from_millis(3),
        }
    }

    fn assert_line(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(
            text.lines().any(|it| it == line),
            "`{line}` is missing in {text}"
        );
    }

    #[test]
    fn response_is_counted_by_route_method_status_and_code() {
        let metrics = Metrics::new();
        assert_line(&metrics, "lmn_internal_errors_total 0");
        let route = Some("/v1/orders/{id}");
        metrics.begin().answer(&answered(route, &Method::GET));
        let bug = Answered {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: Some("internal_error"),
            by_our_fault: true,
            ..answered(route, &Method::GET)
        };
        metrics.begin().answer(&bug);
        for line in [
            "lmn_http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"200\",code=\"none\"} 1",
            "lmn_http_requests_total{route=\"/v1/orders/{id}\",method=\"GET\",status=\"500\",code=\"internal_error\"} 1",
            "lmn_http_request_duration_seconds_bucket{route=\"/v1/orders/{id}\",method=\"GET\",le=\"0.0025\"} 0",
            "lmn_http_request_duration_seconds_bucket{route=\"/v1/orders/{id}\",method=\"GET\",le=\"0.005\"} 2",
            "lmn_internal_errors_total 1",
            "lmn_http_requests_in_flight 0",
            "lmn_http_requests_abandoned_total 0",
        ] {
            assert_line(&metrics, line);
        }
    }

    #[test]
    fn unknown_methods_and_paths_share_one_label() {
        let metrics = Metrics::new();
        for name in ["PROPFIND", "get", "X-1"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            metrics.begin().answer(&answered(None, &method));
        }
        assert_line(
            &metrics,
            "lmn_http_requests_total{route=\"unmatched\",method=\"other\",status=\"200\",code=\"none\"} 3",
        );
    }

    #[test]
    fn dropped_request_is_no_longer_in_flight() {
        let metrics = Metrics::new();
        let request = metrics.begin();
        assert_line(&metrics, "lmn_http_requests_in_flight 1");
        drop(request);
        assert_line(&metrics, "lmn_http_requests_in_flight 0");
        assert_line(&metrics, "lmn_http_requests_abandoned_total 1");
    }

    #[test]
    fn partners_beyond_the_first_share_a_label() {
        let metrics = Metrics::new();
        for _ in 0..PARTNERS_MAX + 7 {
            let partner = Some(PartnerId::from(Uuid::new_v4()));
            for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
                metrics.begin().answer(&Answered {
                    status,
                    partner,
                    ..answered(None, &Method::GET)
                });
            }
        }
        let text = metrics.render();
        let served = |it: &&str| {
            it.starts_with("lmn_partner_requests_total{") && it.contains("outcome=\"served\"")
        };
        assert_eq!(text.lines().filter(served).count(), PARTNERS_MAX + 1);
        for outcome in ["served", "limited"] {
            let line =
                format!("lmn_partner_requests_total{{partner=\"other\",outcome=\"{outcome}\"}} 7");
            assert!(text.lines().any(|it| it == line), "{line}");
        }
    }
}
