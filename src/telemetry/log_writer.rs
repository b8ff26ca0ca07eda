//! The thread that writes the lines of the log, so that no request waits for standard error.

use std::{
    io::{self, BufWriter, Write},
    sync::OnceLock,
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

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

/// Starts the thread. Dropping the guard writes all remaining lines, unless `out` takes more than a second for them.
pub(super) fn start(out: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .thread_name("log")
        .buffered_lines_limit(LINES_WAITING_MAX)
        .lossy(true)
        .finish(Batches(BufWriter::with_capacity(WRITE_BYTES, out)))
}

/// Makes the counter of this writer the one of the process's log.
pub(super) fn count_dropped(writer: &NonBlocking) {
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    };

    use super::{super::metrics::Metrics, *};

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
        let (mut writer, guard) = start(Stuck {
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
