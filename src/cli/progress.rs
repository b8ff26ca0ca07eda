//! The progress of an import: the part of the file that has been read, and a line on standard error if that is a
//! terminal.

use std::{
    fmt,
    fs::File,
    io::{self, IsTerminal, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The interval between updates of the progress line.
const INTERVAL: Duration = Duration::from_millis(200);
/// Clears the line of the cursor.
const CLEAR: &str = "\x1b[2K";

/// The position in a file that is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Position {
    /// The number of bytes that have been read.
    read: Arc<AtomicU64>,
    /// The size in bytes; `None` if it is not known, as that of a pipe.
    size: Option<u64>,
}

/// A file whose bytes are counted as they are read.
pub(super) struct CountedFile {
    file: File,
    read: Arc<AtomicU64>,
}

impl CountedFile {
    /// Counts the bytes of a file; also returns its position.
    pub(super) fn new(file: File) -> (Self, Position) {
        let metadata = file.metadata().ok().filter(|it| it.is_file());
        let position = Position {
            read: Arc::default(),
            size: metadata.map(|it| it.len()),
        };
        let read = position.read.clone();
        (Self { file, read }, position)
    }
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        let counted = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read.fetch_add(counted, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// The progress line, which is cleared at the end.
pub(super) struct Progress {
    is_wanted: bool,
    position: Position,
    begun: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Begins to read a file; starts the clock for the rate and the time left.
    pub(super) fn begin(position: Position) -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            position,
            begun: Instant::now(),
            shown: None,
        }
    }

    /// Updates the line if the interval has passed: `counts`, the rate of the vehicles, and the part of the file.
    pub(super) fn show(&mut self, counts: impl fmt::Display, vehicles: u64) {
        let is_due = self.shown.is_none_or(|it| it.elapsed() >= INTERVAL);
        if !self.is_wanted || !is_due {
            return;
        }
        self.shown = Some(Instant::now());
        let elapsed = self.begun.elapsed();
        let rate = u128::from(vehicles) * 1_000 / elapsed.as_millis().max(1);
        let part = match self.position.size {
            Some(size) => part(self.position.read.load(Ordering::Relaxed), size, elapsed),
            None => String::new(),
        };
        // The import continues if the terminal is closed.
        let _ = write!(io::stderr(), "{CLEAR}{counts}, {rate} per second{part}\r");
    }

    /// Clears the line.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Formats the part of a file that has been read, in percent, and the time left if the rest takes as long.
fn part(read: u64, size: u64, elapsed: Duration) -> String {
    if read == 0 || size == 0 {
        return String::new();
    }
    let (read, size) = (u128::from(read.min(size)), u128::from(size));
    let percent = read * 100 / size;
    let left = elapsed.as_millis() * (size - read) / read;
    let seconds = left.div_ceil(1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!(", {percent} %, {minutes}:{seconds:02} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_from_the_part_that_has_been_read() {
        let minute = Duration::from_secs(60);
        for (read, size, expected) in [
            (1, 4, ", 25 %, 3:00 left"),
            (600, 1_000, ", 60 %, 0:40 left"),
            (1, 1_000, ", 0 %, 999:00 left"),
            (1_000, 1_000, ", 100 %, 0:00 left"),
            // The file has grown.
            (2_000, 1_000, ", 100 %, 0:00 left"),
            (0, 1_000, ""),
            (0, 0, ""),
        ] {
            assert_eq!(part(read, size, minute), expected, "{read} of {size}");
        }
        let huge = part(1, u64::MAX, Duration::from_secs(u64::MAX / 1_000));
        assert!(huge.starts_with(", 0 %, "), "{huge}");
    }

    #[test]
    fn bytes_of_a_file_are_counted_as_they_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789").unwrap();
        let (mut counted, position) = CountedFile::new(File::open(file.path()).unwrap());
        assert_eq!(position.size, Some(10));
        counted.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(position.read.load(Ordering::Relaxed), 4);
        let (_, device) = CountedFile::new(File::open("/dev/null").unwrap());
        assert_eq!(device.size, None, "the size of a device is not known");
    }
}
