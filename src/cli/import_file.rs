//! Reads the lines of a catalogue file on a separate thread, while earlier lines are written to the database.
//!
//! Memory is bounded: lines have a maximum length, and there is at most one batch being filled, one batch waiting, and
//! one batch being written.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{
    progress::{CountedFile, Position},
    say,
};
use crate::{
    catalogue_import::{
        batch::{BATCH_VEHICLES, Batch, Vehicle},
        draft::Draft,
        model::{InvalidLine, read_line, read_name},
    },
    values::id::VehicleId,
};

/// The largest number of batches that wait to be written.
const BATCHES_WAITING: usize = 1;
const CANNOT_READ: &str = "the file cannot be read";
/// Size of the read buffer, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// The largest length of a line, in bytes, without its end.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// A byte order mark, which is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The longest line end.
const LINE_END: &[u8] = b"\r\n";

/// A file to read.
pub(super) struct Input {
    /// Reads the file.
    pub(super) reader: Box<dyn BufRead + Send>,
    /// The part of it that has been read.
    pub(super) position: Position,
}

/// Opens a file, or standard input for `-`.
pub(super) fn open(file: &Path) -> anyhow::Result<Input> {
    if is_stdin(file) {
        return Ok(Input {
            reader: Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())),
            position: Position::default(),
        });
    }
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let (counted, position) = CountedFile::new(opened);
    Ok(Input {
        reader: Box::new(BufReader::with_capacity(READ_BYTES, counted)),
        position,
    })
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Returns whether a file can be read twice.
pub(super) fn is_regular(file: &Path) -> bool {
    !is_stdin(file) && file.is_file()
}

/// A part of a file that has been read.
#[derive(Debug)]
pub(super) enum Part {
    /// Vehicles, and the number of lines read so far, without blank ones.
    Batch(Batch, u64),
    /// The end of the file.
    End(End),
}

/// Statistics of a whole file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    /// Number of lines that are not blank.
    pub(super) read: u64,
    /// Number of lines that are not valid.
    pub(super) rejected: u64,
    /// Number of the first of these lines whose vehicle id cannot be read.
    pub(super) nameless: Option<u64>,
}

/// The file of rejected lines: one JSON object per line, with the line number, all reasons, and the text.
pub(super) struct Rejects {
    file: PathBuf,
    out: BufWriter<File>,
}

impl Rejects {
    /// Creates the file, or truncates an existing one.
    pub(super) fn create(file: &Path) -> anyhow::Result<Self> {
        let out = File::create(file).with_context(|| cannot_write(file))?;
        Ok(Self {
            file: file.to_owned(),
            out: BufWriter::new(out),
        })
    }

    fn write(&mut self, line: u64, bad: &InvalidLine, text: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(text);
        let row = json!({"line": line, "reasons": bad.0, "text": text});
        writeln!(self.out, "{row}").with_context(|| cannot_write(&self.file))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| cannot_write(&self.file))
    }
}

fn cannot_write(file: &Path) -> String {
    format!("cannot write {}", file.display())
}

/// Reads the ids of the vehicles that the next lines of a file list, including bad lines. Returns no ids at its end.
pub(super) fn read_ids(lines: &mut Lines<impl BufRead>) -> anyhow::Result<Vec<VehicleId>> {
    let mut ids = Vec::new();
    while ids.len() < BATCH_VEHICLES {
        match lines.next().context(CANNOT_READ)? {
            Some((_, Line::Text(text))) => ids.extend(read_name(text)),
            Some((_, Line::TooLong(_))) => {}
            None => break,
        }
    }
    Ok(ids)
}

/// Starts to read a file, and returns its parts. Auction results in it became known at `learned_at`.
pub(super) fn read(
    input: Box<dyn BufRead + Send>,
    rejects: Option<Rejects>,
    learned_at: DateTime<Utc>,
) -> Receiver<anyhow::Result<Part>> {
    let (parts, received) = mpsc::channel(BATCHES_WAITING);
    // The thread is not joined: if the database fails, the command must not wait for slow input.
    thread::spawn(move || {
        let mut reader = Reader {
            rejects,
            learned_at,
            batch: Batch::default(),
            end: End::default(),
            parts,
        };
        if let Err(error) = reader.read(Lines::of(input)) {
            reader.send(Err(error));
        }
    });
    received
}

struct Reader {
    rejects: Option<Rejects>,
    learned_at: DateTime<Utc>,
    batch: Batch,
    end: End,
    parts: Sender<anyhow::Result<Part>>,
}

impl Reader {
    fn read(&mut self, mut lines: Lines<Box<dyn BufRead + Send>>) -> anyhow::Result<()> {
        while let Some((number, line)) = lines.next().context(CANNOT_READ)? {
            self.end.read += 1;
            match line {
                Line::Text(text) => match read_line(text, self.learned_at) {
                    Ok(listing) => {
                        let draft = Draft::of(&listing)?;
                        if !self.batch.has_room(&listing.id, text.len()) && !self.send_batch() {
                            return Ok(());
                        }
                        self.batch.add(Vehicle { listing, draft }, text.len());
                    }
                    Err(bad) => self.reject(number, &bad, text)?,
                },
                Line::TooLong(text) => {
                    let reason = format!("longer than {LINE_BYTES_MAX} bytes");
                    self.reject(number, &InvalidLine::because(reason), text)?;
                }
            }
        }
        if let Some(rejects) = &mut self.rejects {
            rejects.finish()?;
        }
        if self.batch.is_empty() || self.send_batch() {
            self.send(Ok(Part::End(self.end)));
        }
        Ok(())
    }

    fn reject(&mut self, number: u64, bad: &InvalidLine, text: &[u8]) -> anyhow::Result<()> {
        self.end.rejected += 1;
        say(format_args!("line {number}: {bad}"));
        match read_name(text) {
            Some(id) => {
                if self.batch.has_room(&id, 0) || self.send_batch() {
                    self.batch.add_name(id);
                }
            }
            None => {
                self.end.nameless.get_or_insert(number);
            }
        }
        match &mut self.rejects {
            Some(rejects) => rejects.write(number, bad, text),
            None => Ok(()),
        }
    }

    /// Sends the batch, and starts a new one; returns `false` if the receiver has been dropped.
    fn send_batch(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        self.send(Ok(Part::Batch(batch, self.end.read)))
    }

    fn send(&self, part: anyhow::Result<Part>) -> bool {
        self.parts.blocking_send(part).is_ok()
    }
}

/// Reads a file line by line.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Number of the last line that was read, from 1.
    number: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// The text of the line, without its end.
    Text(&'a [u8]),
    /// The beginning of a line that is longer than [`LINE_BYTES_MAX`].
    TooLong(&'a [u8]),
}

impl<R: BufRead> Lines<R> {
    /// Creates a reader at the first line of `input`.
    pub(super) fn of(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// Returns the next line that is not blank, and its number.
    fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        loop {
            self.line.clear();
            // One byte more than the longest line, and the bytes that are stripped.
            let bytes = BYTE_ORDER_MARK.len() + LINE_BYTES_MAX + 1 + LINE_END.len();
            let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
            let mut limited = self.input.by_ref().take(limit);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let has_ended = self.line.last() == Some(&b'\n');
            self.strip();
            if self.line.len() > LINE_BYTES_MAX {
                if !has_ended {
                    self.input.skip_until(b'\n')?;
                }
                self.line.truncate(LINE_BYTES_MAX + 1);
                return Ok(Some((self.number, Line::TooLong(&self.line))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, Line::Text(&self.line))));
            }
        }
    }

    /// Removes the line end, and the byte order mark of the file.
    fn strip(&mut self) {
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all lines; a line that is too long is `None`.
    fn read(text: &str) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::of(text.as_bytes());
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            let text = match line {
                Line::Text(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                Line::TooLong(beginning) => {
                    assert_eq!(beginning.len(), LINE_BYTES_MAX + 1);
                    None
                }
            };
            read.push((number, text));
        }
        read
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        let line = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(read(""), []);
        assert_eq!(read("a"), [line(1, "a")]);
        assert_eq!(read("a\n\n \r\nb\n"), [line(1, "a"), line(4, "b")]);
    }

    #[test]
    fn byte_order_mark_and_line_ends_are_not_part_of_a_line() {
        let line = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(
            read("\u{feff}a\r\nb\r\n\r\nc"),
            [line(1, "a"), line(2, "b"), line(4, "c")]
        );
        assert_eq!(read("\u{feff}\r\na\r"), [line(2, "a")]);
        assert_eq!(read("\u{feff}"), []);
        assert_eq!(read("a\n\u{feff}b"), [line(1, "a"), line(2, "\u{feff}b")]);
        let fits = "x".repeat(LINE_BYTES_MAX);
        let text = format!("\u{feff}{fits}\r\n{fits}\r\n{fits}y\r\n{fits}\r\r\n{fits}\r");
        let fits = Some(fits);
        let expected = [
            (1, fits.clone()),
            (2, fits.clone()),
            (3, None),
            (4, None),
            (5, fits),
        ];
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn line_that_is_too_long_is_skipped_completely() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        let text = format!("{fits}\n{fits}y\nz\n{fits}{fits}{fits}");
        let expected = [(1, Some(fits)), (2, None), (3, Some("z".into())), (4, None)];
        assert_eq!(read(&text), expected);
    }
}
