//! The metrics of TLS; there are none where it is ended elsewhere.

use chrono::{DateTime, Utc};
use metrics::{Key, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::metrics::{HERE, Metrics};

/// When the certificate expires.
const EXPIRY: &str = "lmn_tls_certificate_expiry_timestamp_seconds";
/// Files that were no pair.
const BAD: &str = "lmn_tls_bad_certificates_total";
/// Handshakes that came to nothing.
const FAILED: &str = "lmn_tls_handshakes_failed_total";

impl Metrics {
    /// Takes when the certificate expires that new connections get.
    pub(crate) fn set_certificate_expiry(&self, expires_at: DateTime<Utc>) {
        let seconds = u32::try_from(expires_at.timestamp()).unwrap_or(u32::MAX);
        let expiry = Key::from_static_name(EXPIRY);
        let expiry = self.recorder().register_gauge(&expiry, &HERE);
        expiry.set(seconds);
        for counter in [BAD, FAILED] {
            self.add_to(counter, 0);
        }
    }

    /// Counts files that are no pair of certificate and key.
    pub(crate) fn count_bad_certificate(&self) {
        self.add_to(BAD, 1);
    }

    /// Counts a handshake that failed or took too long.
    pub(crate) fn count_failed_handshake(&self) {
        self.add_to(FAILED, 1);
    }

    fn add_to(&self, counter: &'static str, times: u64) {
        let counter = Key::from_static_name(counter);
        let counter = self.recorder().register_counter(&counter, &HERE);
        counter.increment(times);
    }
}

/// Says in the exposition what each metric is.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    let words = "The unix second in which the certificate expires that partners are shown.";
    recorder.describe_gauge(EXPIRY.into(), None, words.into());
    let words = "Times that the certificate's files had changed and were no pair; the last good one was kept. Look into it when this grows.";
    recorder.describe_counter(BAD.into(), None, words.into());
    let words = "TLS handshakes that failed or took too long.";
    recorder.describe_counter(FAILED.into(), None, words.into());
}
