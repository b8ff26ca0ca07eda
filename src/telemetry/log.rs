//! The log: one line per request on standard error, as JSON or in a readable format.

use std::{cell::RefCell, fmt, fmt::Write, io::IsTerminal};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::log_writer;
use crate::config::{Log, LogFormat};

/// The prefix of fields that become members of the object `span`.
const REQUEST: &str = "request.";

thread_local! {
    /// The location and the message of the last panic on this thread.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Starts the log. Further calls in one process have no effect.
///
/// A separate thread writes the lines. Dropping the guard writes all remaining lines, unless standard error takes
/// more than a second for them.
pub fn start(log: &Log) -> WorkerGuard {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let (writer, guard) = log_writer::start(std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => registry.with(lines.event_format(JsonLines)).try_init(),
        LogFormat::Pretty => registry.with(lines.compact()).try_init(),
    };
    // An error means that a subscriber exists already, as in tests.
    if started.is_ok() {
        log_writer::count_dropped(&writer);
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        tracing::error!(at, message, "panicked");
        PANIC.set(Some(format!("panicked at {at}: {message}")));
    }));
    guard
}

/// Returns the location and the message of the panic that was just caught on this thread, and clears them.
pub(crate) fn take_panic() -> String {
    let panic = PANIC.take();
    panic.unwrap_or_else(|| "a handler panicked".to_owned())
}

/// Formats an event as one JSON object, writing each field directly into the line.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        line.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut line)?;
        write!(line, "\",\"level\":\"{}\"", metadata.level())?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.write_str(&fields.event)?;
        write!(line, ",\"target\":\"{}\"", metadata.target())?;
        if !fields.request.is_empty() {
            write!(line, ",\"span\":{{\"name\":\"request\"{}}}", fields.request)?;
        }
        line.write_str("}\n")
    }
}

/// The fields of an event as members of JSON objects, each preceded by a comma.
#[derive(Default)]
struct Fields {
    event: String,
    request: String,
}

impl Fields {
    fn push(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let (object, name) = match field.name().strip_prefix(REQUEST) {
            Some(name) => (&mut self.request, name),
            None => (&mut self.event, field.name()),
        };
        // Writing to a string cannot fail.
        let _ = write!(object, ",\"{name}\":{value}");
    }

    fn push_text(&mut self, field: &Field, text: &str) {
        let text = serde_json::to_string(text).unwrap_or_default();
        self.push(field, format_args!("{text}"));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push_text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// A buffer for the written lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn event_is_one_json_line_with_its_request_in_an_object_of_its_own() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
        let layer = layer.event_format(JsonLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let nothing: Option<&str> = None;
            tracing::info!(
                status = 200_u16,
                duration_ms = 1.5,
                request.key = "a\"\n차",
                request.user = nothing,
                request.client_ip = %"::1",
                "served"
            );
            tracing::warn!(error = %"x", is_late = true, n = -1, "late");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for line in &mut lines {
            let line = line.as_object_mut().unwrap();
            assert!(
                line.remove("timestamp")
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .ends_with('Z')
            );
            assert_eq!(line.remove("target").unwrap(), module_path!());
        }
        let request = json!({"name": "request", "key": "a\"\n차", "client_ip": "::1"});
        let expected = [
            json!({"level": "INFO", "message": "served", "status": 200, "duration_ms": 1.5, "span": request}),
            json!({"level": "WARN", "message": "late", "error": "x", "is_late": true, "n": -1}),
        ];
        assert_eq!(lines, expected);
    }
}
