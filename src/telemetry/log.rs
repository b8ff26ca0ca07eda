//! The log: one line per request on standard error, as JSON or in a readable format.
//!
//! A separate thread writes the lines, so that no request waits for standard error.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io::{self, BufWriter, IsTerminal, Write},
    sync::OnceLock,
    thread,
    time::Duration,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
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

use crate::config::{Log, LogFormat};

/// The prefix of fields that become members of the object `span`.
const REQUEST: &str = "request.";
/// The maximum number of lines that wait to be written. Further lines are dropped and counted.
const LINES_WAITING_MAX: usize = 16_384;
/// The size of a write in bytes, unless a single line is longer. Up to this size (`PIPE_BUF`) a write to a pipe is
/// atomic, so processes that share a pipe do not split each other's lines.
const WRITE_BYTES: usize = 4_096;
/// The pause of the thread after it has written all waiting lines. Without it, a line that follows soon would cost a
/// write and a wake-up of its own, which take more CPU time than writing each line on the thread that logs it.
const PAUSE: Duration = Duration::from_millis(5);

/// The counter of dropped lines of the process's log.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

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
    let (writer, guard) = start_writer(io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        .with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => registry.with(lines.event_format(JsonLines)).try_init(),
        LogFormat::Pretty => registry.with(lines.compact()).try_init(),
    };
    // An error means that a subscriber exists already, as in tests.
    if started.is_ok() {
        count_dropped(&writer);
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

/// Starts the thread that writes the lines. Dropping the guard writes all remaining lines, unless `out` takes more
/// than a second for them.
fn start_writer(out: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .thread_name("log")
        .buffered_lines_limit(LINES_WAITING_MAX)
        .lossy(true)
        .finish(Batches(BufWriter::with_capacity(WRITE_BYTES, out)))
}

/// Makes the counter of this writer the one of the process's log.
fn count_dropped(writer: &NonBlocking) {
    let _ = DROPPED.set(writer.error_counter());
}

/// Returns the number of lines that the process's log dropped because too many were waiting.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |it| it.dropped_lines() as u64)
}

/// Combines lines into few writes. The thread flushes it when no line is waiting.
struct Batches<W: Write>(BufWriter<W>);

impl<W: Write> Write for Batches<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        thread::sleep(PAUSE);
        flushed
    }
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
    use std::sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::{super::metrics::Metrics, *};

    /// A buffer for the written lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
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

    /// A writer whose first write blocks until it is released.
    struct Stuck {
        begun: Option<Sender<()>>,
        released: Receiver<()>,
        writes: Arc<Mutex<Vec<String>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(begun) = self.begun.take() {
                begun.send(()).unwrap();
                self.released.recv().unwrap();
            }
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.writes.lock().unwrap().push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs `lines` while the first line is being written. Returns the writer, and all writes.
    fn log_while_stuck(lines: impl Iterator<Item = String>) -> (NonBlocking, Vec<String>) {
        let ((begun, has_begun), (release, released)) = (channel(), channel());
        let writes = Arc::default();
        let (mut writer, guard) = start_writer(Stuck {
            begun: Some(begun),
            released,
            writes: Arc::clone(&writes),
        });
        writer.write_all(b"first\n").unwrap();
        has_begun.recv().unwrap();
        for line in lines {
            writer.write_all(line.as_bytes()).unwrap();
        }
        release.send(()).unwrap();
        drop(guard);
        let writes = writes.lock().unwrap().clone();
        (writer, writes)
    }

    #[test]
    fn waiting_lines_are_written_together_and_never_split() {
        let lines: Vec<_> = (0..100).map(|n| format!("{n:99}\n")).collect();
        let (writer, writes) = log_while_stuck(lines.iter().cloned());
        assert_eq!(writer.error_counter().dropped_lines(), 0);
        let (first, others) = writes.split_first().unwrap();
        assert_eq!(first, "first\n");
        let lengths: Vec<_> = others.iter().map(String::len).collect();
        assert_eq!(lengths, [4_000, 4_000, 2_000]);
        assert_eq!(others.concat(), lines.concat());
    }

    #[test]
    fn lines_beyond_the_bound_are_dropped_and_counted() {
        let lines = (0..LINES_WAITING_MAX + 7).map(|n| format!("{n}\n"));
        let (writer, writes) = log_while_stuck(lines);
        count_dropped(&writer);
        let metrics = Metrics::new().render();
        assert!(metrics.contains("lmn_log_lines_dropped_total 7\n"));
        let written = writes.concat();
        assert_eq!(written.lines().count(), 1 + LINES_WAITING_MAX);
        assert_eq!(
            written.lines().last(),
            Some((LINES_WAITING_MAX - 1).to_string().as_str())
        );
    }
}
