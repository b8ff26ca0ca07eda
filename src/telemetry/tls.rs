//! Metrics of TLS. There are none if this process does not terminate TLS.

use chrono::{DateTime, Utc};
use metrics::{Key, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// When the certificate expires.
const EXPIRY: &str = "lmn_tls_certificate_expiry_timestamp_seconds";
/// Changed certificate files that were not a valid pair.
const BAD: &str = "lmn_tls_bad_certificates_total";
/// Failed handshakes.
const FAILED: &str = "lmn_tls_handshakes_failed_total";

impl Metrics {
    /// Sets when the certificate of new connections expires.
    pub(crate) fn set_certificate_expiry(&self, expires_at: DateTime<Utc>) {
        let seconds = u32::try_from(expires_at.timestamp()).unwrap_or(u32::MAX);
        let expiry = Key::from_static_name(EXPIRY);
        let expiry = self.recorder().register_gauge(&expiry, &HERE);
        expiry.set(seconds);
        for counter in [BAD, FAILED] {
            self.add_to(counter, 0);
        }
    }

    /// Counts files that are not a valid pair of certificate and key.
    pub(crate) fn count_bad_certificate(&self) {
        self.add_to(BAD, 1);
    }

    /// Counts a handshake that failed or timed out.
    pub(crate) fn count_failed_handshake(&self) {
        self.add_to(FAILED, 1);
    }

    fn add_to(&self, counter: &'static str, times: u64) {
        let counter = Key::from_static_name(counter);
        let counter = self.recorder().register_counter(&counter, &HERE);
        counter.increment(times);
    }
}

/// Adds the help text of each metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let words = "Unix time at which the certificate of new connections expires.";
    recorder.describe_gauge(EXPIRY.into(), None, words.into());
    let words = "Changes of the certificate files that were not a valid pair; the last valid one stays in use. Investigate when this grows.";
    recorder.describe_counter(BAD.into(), None, words.into());
    let words = "TLS handshakes that failed or timed out.";
    recorder.describe_counter(FAILED.into(), None, words.into());
}
