//! The durations and sizes of runs, and the vehicle, key and partner of each order number.

use std::{env, ffi::OsStr, time::Duration};

use uuid::Uuid;

/// Partners that share the clients, enough of them that each has at most 8 of 32 clients, below its limit of 16 writes.
pub const PARTNERS: usize = 4;
/// The id of the vehicle of order 0.
pub const FIRST_VEHICLE: usize = 1_000_000_000;
/// Factor that scatters keys over their index, like random keys.
pub const SCATTER: u64 = 2_654_435_761;
/// Modulus of the scattered part of a key, which has 12 digits.
pub const SCATTER_ROOM: u64 = 1_000_000_000_000;

/// Sizes and durations of runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of concurrent clients, one for each run.
    pub clients: [usize; 3],
    /// Duration of the unmeasured first part of each run.
    pub warm_up: Duration,
    /// Duration of the measured part of each run.
    pub measured: Duration,
    /// Number of vehicles for orders; each is ordered at most once.
    pub vehicles: usize,
    /// Number of orders that exist while orders are replayed and read.
    pub orders: usize,
    /// Number of vehicles of the demo catalogue, for the benchmarks that browse it.
    pub catalogue: usize,
    /// Number of measured requests of each catalogue query.
    pub requests: usize,
    /// Number of changes of vehicles, for each number of vehicles.
    pub merges: usize,
    /// Number of runs of each setting when settings are compared.
    pub turns: usize,
    /// The bid for any vehicle, in US dollars: a little more than the listing price.
    pub bid: i32,
}

impl Plan {
    /// Reads the plan. `cargo bench` measures each run for `LMN_BENCH_SECONDS` (default 5), browses a catalogue of
    /// `LMN_BENCH_VEHICLES` (200,000) and sends each query `LMN_BENCH_REQUESTS` times (200). Run as a test, the plan is
    /// a short check.
    pub fn read() -> anyhow::Result<Self> {
        let is_check = !env::args_os().any(|it| it == OsStr::new("--bench"));
        let number = |name: &str, usual: usize, check: usize| -> anyhow::Result<usize> {
            let number = match env::var(name) {
                Ok(text) => text.parse().unwrap_or(0),
                Err(_) if is_check => check,
                Err(_) => usual,
            };
            anyhow::ensure!(number > 0, "{name} is a whole number from 1");
            Ok(number)
        };
        let seconds = number("LMN_BENCH_SECONDS", 5, 1)?;
        let vehicles = match is_check {
            true => 20_000,
            false => 200_000.max(20_000 * seconds),
        };
        Ok(Self {
            catalogue: number("LMN_BENCH_VEHICLES", 200_000, 2_000)?,
            requests: number("LMN_BENCH_REQUESTS", 200, 3)?,
            merges: if is_check { 2 } else { 20 },
            clients: [1, 8, 32],
            warm_up: Duration::from_secs(u64::from(!is_check)),
            measured: Duration::from_secs(seconds as u64),
            vehicles,
            orders: vehicles / 20,
            turns: if is_check { 1 } else { 6 },
            bid: 0,
        })
    }

    /// Returns the first measured round; the rounds before it belong to the warm-up.
    pub fn first_round(&self, clients: usize) -> usize {
        self.vehicles / 3 / clients
    }
}

/// Returns the number of the order that a client places in a round, unique in a run.
pub fn number(client: usize, clients: usize, round: usize) -> usize {
    round * clients + client
}

/// Returns the id of the vehicle of an order.
pub fn vehicle(number: usize) -> usize {
    FIRST_VEHICLE + number
}

/// Returns the idempotency key of an order: a UUID in the form of version 4, which `orders::sql_key` makes as well.
pub fn key(number: usize) -> Uuid {
    let scattered = number as u64 * SCATTER % SCATTER_ROOM;
    let text = format!("{scattered:012}40008{number:015}");
    text.parse().unwrap()
}

/// Returns the API key of a client's partner.
pub fn api_key(client: usize) -> String {
    format!("lmn_stg_p{:03}{:024}", client % PARTNERS, 0)
}
