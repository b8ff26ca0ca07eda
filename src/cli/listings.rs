//! Reads the lines of a catalogue file on a separate thread, while earlier lines are written to the database.
//!
//! Memory is bounded: there is at most one batch being filled, one batch waiting, and one batch being written.

use std::{
    fs::File,
    io::{BufRead, BufWriter, Write},
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{
    lines::{LINE_BYTES_MAX, Line, Lines},
    say,
};
use crate::{
    values::id::VehicleId,
    vehicles::{
        import::{
            batch::{Batch, Vehicle},
            model::{InvalidLine, read_line, read_name},
        },
        store::{BATCH_VEHICLES, Draft},
    },
};

/// The largest number of batches that wait to be written.
const BATCHES_WAITING: usize = 1;
const CANNOT_READ: &str = "the file cannot be read";

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
