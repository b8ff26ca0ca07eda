//! Metrics of requests: counts and durations.
//!
//! A series is registered when it is first needed, and its handle is cached: finding it in the recorder would build
//! its labels for each request.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use metrics::{Counter, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{Answered, HERE, method};

/// Responses, by route, method, status and code.
const REQUESTS: &str = "lmn_http_requests_total";
/// Durations, by route and method.
const DURATION: &str = "lmn_http_request_duration_seconds";
/// The label of a path that matches no route.
const UNMATCHED: &str = "unmatched";

/// The series of all routes. Their number is bounded by the routes, methods, statuses and codes that exist.
#[derive(Default)]
pub(super) struct Requests(Mutex<HashMap<String, Route>>);

/// The series of one route.
#[derive(Default)]
struct Route {
    durations: Vec<(&'static str, Histogram)>,
    counters: Vec<(Kind, Counter)>,
}

/// The labels of a request in addition to its route.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    method: &'static str,
    status: u16,
    code: &'static str,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Requests {
    /// Counts a response.
    pub(super) fn count(&self, recorder: &PrometheusRecorder, answered: &Answered<'_>) {
        let route = answered.route.unwrap_or(UNMATCHED);
        let kind = Kind {
            method: method(answered.method),
            status: answered.status.as_u16(),
            code: answered.code.unwrap_or("none"),
        };
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Route::default());
        }
        let Some(series) = routes.get_mut(route) else {
            return;
        };
        series
            .duration(recorder, route, kind.method)
            .record(answered.took);
        series.counter(recorder, route, kind).increment(1);
    }
}

impl Route {
    fn duration(
        &mut self,
        recorder: &PrometheusRecorder,
        route: &str,
        method: &'static str,
    ) -> Histogram {
        if let Some((_, known)) = self.durations.iter().find(|(it, _)| *it == method) {
            return known.clone();
        }
        let labels = vec![
            Label::new("route", route.to_owned()),
            Label::from_static_parts("method", method),
        ];
        let new = recorder.register_histogram(&Key::from_parts(DURATION, labels), &HERE);
        self.durations.push((method, new.clone()));
        new
    }

    fn counter(&mut self, recorder: &PrometheusRecorder, route: &str, kind: Kind) -> Counter {
        if let Some((_, known)) = self.counters.iter().find(|(it, _)| *it == kind) {
            return known.clone();
        }
        let labels = vec![
            Label::new("route", route.to_owned()),
            Label::from_static_parts("method", kind.method),
            Label::new("status", kind.status.to_string()),
            Label::from_static_parts("code", kind.code),
        ];
        let new = recorder.register_counter(&Key::from_parts(REQUESTS, labels), &HERE);
        self.counters.push((kind, new.clone()));
        new
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let words = "Requests that got a response.";
    recorder.describe_counter(REQUESTS.into(), None, words.into());
    let words = "Seconds from the head of a request to its response.";
    recorder.describe_histogram(DURATION.into(), None, words.into());
}
