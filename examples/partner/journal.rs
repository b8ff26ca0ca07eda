//! The journal of planned orders, each written before it is sent.
//!
//! A planned order keeps its Idempotency-Key, even over a crash of this program: an order without an outcome in the
//! journal is sent again with its key. A real partner keeps this in its database.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A planned order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedOrder {
    pub(crate) vehicle_id: String,
    pub(crate) max_bid_amount_usd: i64,
    /// The Idempotency-Key of every attempt.
    pub(crate) key: String,
    /// The outcome, once it is known: the id of the order, or the code of the error.
    pub(crate) outcome: Option<String>,
}

/// The file with all planned orders.
pub(crate) struct Journal {
    path: PathBuf,
    pub(crate) orders: Vec<PlannedOrder>,
}

impl Journal {
    /// Opens a journal, whose file may not exist yet.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let orders = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            orders,
        })
    }

    /// Returns whether an order for a vehicle is planned.
    pub(crate) fn has(&self, vehicle_id: &str) -> bool {
        self.orders.iter().any(|it| it.vehicle_id == vehicle_id)
    }

    /// Adds an order, before anything is sent.
    pub(crate) fn plan(&mut self, vehicle_id: &str, max_bid_amount_usd: i64) -> io::Result<()> {
        self.orders.push(PlannedOrder {
            vehicle_id: vehicle_id.to_owned(),
            max_bid_amount_usd,
            key: Uuid::new_v4().to_string(),
            outcome: None,
        });
        self.save()
    }

    /// Records the outcome of the order with a key.
    pub(crate) fn record(&mut self, key: &str, outcome: &str) -> io::Result<()> {
        let mut orders = self.orders.iter_mut();
        if let Some(order) = orders.find(|it| it.key == key) {
            order.outcome = Some(outcome.to_owned());
        }
        self.save()
    }

    /// Replaces the file atomically.
    fn save(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&self.orders)?)?;
        fs::rename(new, &self.path)
    }
}
