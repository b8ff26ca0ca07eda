//! Metrics of TLS, by listener. Only a process that terminates TLS has them.

use chrono::{DateTime, Utc};

use super::{
    declarations::{self, label_values},
    metrics::Metrics,
};

label_values! {
    /// A listener that terminates TLS.
    Listener {
        /// The partners' listener.
        Partners = "partners",
        /// The operator's listener.
        Operator = "operator",
    }
}

impl Metrics {
    /// Sets when the certificate of new connections expires.
    pub(crate) fn set_certificate_expiry(&self, listener: Listener, expires_at: DateTime<Utc>) {
        let registry = self.registry();
        let seconds = u32::try_from(expires_at.timestamp()).unwrap_or(u32::MAX);
        registry
            .gauge(
                &declarations::TLS_CERTIFICATE_EXPIRY,
                [listener.as_str().into()],
            )
            .set(seconds);
        for counter in [
            &declarations::TLS_BAD_CERTIFICATES,
            &declarations::TLS_HANDSHAKES_FAILED,
        ] {
            registry
                .counter(counter, [listener.as_str().into()])
                .increment(0);
        }
    }

    /// Counts files that are not a valid pair of certificate and key.
    pub(crate) fn count_bad_certificate(&self, listener: Listener) {
        self.registry()
            .counter(
                &declarations::TLS_BAD_CERTIFICATES,
                [listener.as_str().into()],
            )
            .increment(1);
    }

    /// Counts a handshake that failed or timed out.
    pub(crate) fn count_failed_handshake(&self, listener: Listener) {
        self.registry()
            .counter(
                &declarations::TLS_HANDSHAKES_FAILED,
                [listener.as_str().into()],
            )
            .increment(1);
    }
}
