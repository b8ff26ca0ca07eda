//! The log: one line a request, as JSON for machines or pretty for people, on standard error.
//!
//! A panic is the one failure with a line of its own before that: only its hook knows where it happened.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::settings::{Log, LogFormat};

/// Starts the log. The second start in one process changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // An error says that a subscriber is there already, as in tests.
    let _ = match log.format {
        // A request's span has no parent, so a list of all spans would only say the same again.
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            registry.with(lines).try_init()
        }
        LogFormat::Pretty => registry.with(lines.compact()).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        tracing::error!(at, message, "panicked");
    }));
}
