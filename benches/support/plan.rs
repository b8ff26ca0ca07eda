//! The length and size of runs, and the vehicle, key and partner of each number.

use std::{env, ffi::OsStr, time::Duration};

use uuid::Uuid;

/// Partners that share the clients, so many that no partner reaches its write limit: 8 of 32 clients each, of 16.
pub const PARTNERS: usize = 4;
/// The id of the vehicle that order 0 is for.
pub const FIRST_VEHICLE: usize = 1_000_000_000;
/// Scatters keys over their index, as random ones are.
pub const SCATTER: u64 = 2_654_435_761;
/// Room for the scattered part of a key: 12 digits.
pub const SCATTER_ROOM: u64 = 1_000_000_000_000;

/// How much and how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many clients at once, one run after the other.
    pub clients: [usize; 3],
    /// How long each run goes unmeasured, then measured.
    pub warm_up: Duration,
    /// See `warm_up`.
    pub measured: Duration,
    /// Vehicles of the catalogue; each is ordered once at most.
    pub vehicles: usize,
    /// Orders that are there when orders are replayed and read.
    pub orders: usize,
    /// Vehicles of the demo's catalogue, for what browses it.
    pub catalogue: usize,
    /// Times that each query of the catalogue is asked.
    pub requests: usize,
    /// Times that vehicles are changed to see when a server shows it.
    pub merges: usize,
    /// Turns that settings take when they are compared.
    pub turns: usize,
    /// The bid for any vehicle: a little more than its listing price, which the catalogue has.
    pub bid: i32,
}

impl Plan {
    /// Reads the plan: `cargo bench` measures for `LMN_BENCH_SECONDS` each (5), browses a catalogue of
    /// `LMN_BENCH_VEHICLES` (200,000) and asks each query `LMN_BENCH_REQUESTS` times (200); run as a test it is a short
    /// check.
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

    /// Returns the round in which measuring begins; the rounds before it are the warm-up's.
    pub fn first_round(&self, clients: usize) -> usize {
        self.vehicles / 3 / clients
    }
}

/// Returns the number of the order that a client places in a round; none is placed twice.
pub fn number(client: usize, clients: usize, round: usize) -> usize {
    round * clients + client
}

/// Returns the id of the vehicle of an order.
pub fn vehicle(number: usize) -> usize {
    FIRST_VEHICLE + number
}

/// Returns the idempotency key of an order: a UUID v4 in form, which `orders::sql_key` makes as well.
pub fn key(number: usize) -> Uuid {
    let scattered = number as u64 * SCATTER % SCATTER_ROOM;
    let text = format!("{scattered:012}40008{number:015}");
    text.parse().unwrap()
}

/// Returns the API key of a client's partner.
pub fn api_key(client: usize) -> String {
    format!("lmn_stg_p{:03}{:024}", client % PARTNERS, 0)
}
