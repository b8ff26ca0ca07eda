//! The journal: what the partner wants, written down before it is asked for.
//!
//! An order that was meant once has one Idempotency-Key for ever, also over a crash of this program: what the journal
//! holds and does not know the end of is sent again under its key. A real partner keeps this in its database.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An order that is meant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intention {
    pub(crate) vehicle_id: String,
    pub(crate) max_bid_amount_usd: i64,
    /// The key of every attempt.
    pub(crate) key: String,
    /// What came of it, once it is known: the order's id, or the code of the refusal.
    pub(crate) outcome: Option<String>,
}

/// All intentions.
pub(crate) struct Journal {
    path: PathBuf,
    pub(crate) intentions: Vec<Intention>,
}

impl Journal {
    /// Opens a file, which may not be there yet.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let intentions = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            intentions,
        })
    }

    /// Says whether a car is among them.
    pub(crate) fn has(&self, vehicle_id: &str) -> bool {
        self.intentions.iter().any(|it| it.vehicle_id == vehicle_id)
    }

    /// Writes down an order before anything is sent.
    pub(crate) fn mean(&mut self, vehicle_id: &str, max_bid_amount_usd: i64) -> io::Result<()> {
        self.intentions.push(Intention {
            vehicle_id: vehicle_id.to_owned(),
            max_bid_amount_usd,
            key: Uuid::new_v4().to_string(),
            outcome: None,
        });
        self.save()
    }

    /// Writes down what came of the order with a key.
    pub(crate) fn settle(&mut self, key: &str, outcome: &str) -> io::Result<()> {
        let mut intentions = self.intentions.iter_mut();
        if let Some(intention) = intentions.find(|it| it.key == key) {
            intention.outcome = Some(outcome.to_owned());
        }
        self.save()
    }

    /// Writes the whole file, or leaves the old one.
    fn save(&self) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(&self.intentions)?)?;
        fs::rename(beside, &self.path)
    }
}
