//! The progress line of an import, shown on a terminal, and the summary at its end.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::bail;
use serde::Serialize;
use serde_json::json;

use super::{print, say};

/// The interval between updates of the progress line.
const PROGRESS: Duration = Duration::from_millis(200);

/// The numbers of lines and vehicles of an import by their result.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Lines that are not blank.
    pub(super) read: u64,
    /// Vehicles that were not in the catalogue.
    pub(super) inserted: u64,
    /// Vehicles that changed or were listed again.
    pub(super) updated: u64,
    /// Vehicles that did not change.
    pub(super) unchanged: u64,
    /// Vehicles that stay withdrawn although the file lists them.
    pub(super) held_back: u64,
    /// Vehicles that were withdrawn because the file does not list them.
    pub(super) withdrawn: u64,
    /// Lines that are not valid.
    pub(super) rejected: u64,
}

impl Summary {
    /// Returns the number of vehicles of the file that are in the catalogue or were held back.
    pub(super) fn vehicles(&self) -> u64 {
        self.inserted + self.updated + self.unchanged + self.held_back
    }

    /// Prints the summary. Fails if lines were rejected, or if a `doubt` prevented vehicles from being withdrawn.
    pub(super) fn tell(&self, as_json: bool, doubt: Option<String>) -> anyhow::Result<()> {
        let Self {
            read,
            inserted,
            updated,
            unchanged,
            held_back,
            withdrawn,
            rejected,
        } = self;
        if as_json {
            print(json!(self))?;
        } else {
            say(format_args!(
                "{read} read: {inserted} inserted, {updated} updated, {unchanged} unchanged, \
                 {held_back} held back, {rejected} rejected; {withdrawn} withdrawn"
            ));
        }
        match doubt {
            Some(doubt) => {
                bail!(
                    "{doubt}, so no vehicle was withdrawn; {rejected} of {read} lines were rejected"
                )
            }
            None if *rejected > 0 => bail!("{rejected} of {read} lines were rejected"),
            None => Ok(()),
        }
    }
}

/// The progress line, which is shown if standard error is a terminal.
pub(super) struct Progress {
    is_wanted: bool,
    begun: Instant,
    shown: Option<Instant>,
}

impl Progress {
    /// Starts the clock for the rate.
    pub(super) fn begin() -> Self {
        Self {
            is_wanted: io::stderr().is_terminal(),
            begun: Instant::now(),
            shown: None,
        }
    }

    /// Updates the progress line if the interval has passed.
    pub(super) fn show(&mut self, lines: u64, summary: &Summary) {
        let is_due = self.shown.is_none_or(|it| it.elapsed() >= PROGRESS);
        if !self.is_wanted || !is_due {
            return;
        }
        self.shown = Some(Instant::now());
        let vehicles = summary.vehicles();
        let rate = u128::from(vehicles) * 1_000 / self.begun.elapsed().as_millis().max(1);
        // The import continues if the terminal is closed.
        let _ = write!(
            io::stderr(),
            "\x1b[2K{lines} lines, {vehicles} vehicles, {rate} per second\r"
        );
    }

    /// Clears the progress line.
    pub(super) fn clear(&self) {
        if self.is_wanted {
            let _ = write!(io::stderr(), "\x1b[2K");
        }
    }
}
