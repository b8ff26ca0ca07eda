//! A few requests per second beside other work: pages, vehicles and orders, sent at fixed times however long they take.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    browse::{self, READ},
    database::Database,
    http::{Client, Expected},
    orders::{self, PLACED},
    report::Latencies,
};

/// Requests of each kind per second.
const RATE: u32 = 10;
/// Connections of each kind, which take turns, so that a late response does not delay the next request.
const CONNECTIONS: u32 = 4;
/// The query of the page that is read: one make by price.
const PAGE: &str = "?make=hyundai&sort=price_asc";
/// Number of vehicles that are read in turn.
const VEHICLES: i64 = 5_000;
/// The difference between a bid and the listing price, in US dollars.
const BID_ABOVE: i32 = 500;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page of the catalogue.
    Page,
    /// A vehicle.
    Vehicle,
    /// An order for a lot that the partner has not ordered yet.
    Order,
}

/// All kinds of requests.
pub const KINDS: [Kind; 3] = [Kind::Page, Kind::Vehicle, Kind::Order];

impl Kind {
    /// Returns the name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "a page",
            Self::Vehicle => "a vehicle",
            Self::Order => "place an order",
        }
    }
}

/// The vehicles that are read, and the lots that are ordered one after the other.
#[derive(Debug)]
pub struct Targets {
    vehicles: Vec<String>,
    lots: Vec<(String, i32)>,
    ordered: AtomicUsize,
}

/// Latencies of requests, by kind in the order of [`KINDS`].
#[derive(Debug, Clone, Default)]
pub struct Sent([Vec<Duration>; KINDS.len()]);

/// The running senders of requests.
pub struct Load {
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<(Kind, Vec<Duration>)>>,
}

impl Targets {
    /// Chooses from the existing vehicles.
    pub async fn read(database: &Database) -> anyhow::Result<Arc<Self>> {
        let mut connection = database.connect().await?;
        let vehicles = "select '/' || id from vehicles order by md5(id) limit $1";
        let vehicles = sqlx::query_scalar(vehicles).bind(VEHICLES);
        let lots = "select id, listing_usd from vehicles
                    where auction_result = 'upcoming' and auction_date > now() + interval '4 days' order by md5(id)";
        Ok(Arc::new(Self {
            vehicles: vehicles.fetch_all(&mut connection).await?,
            lots: sqlx::query_as(lots).fetch_all(&mut connection).await?,
            ordered: AtomicUsize::default(),
        }))
    }

    /// Writes the next request of a kind; returns the properties that its response must have.
    fn write(&self, kind: Kind, n: usize, bytes: &mut Vec<u8>) -> anyhow::Result<Expected> {
        match kind {
            Kind::Page => browse::get(n, PAGE, bytes),
            Kind::Vehicle => {
                let vehicle = self.vehicles.get(n % self.vehicles.len().max(1));
                browse::get(n, vehicle.context("the catalogue has no vehicles")?, bytes);
            }
            Kind::Order => {
                let number = self.ordered.fetch_add(1, Ordering::Relaxed);
                let (pass, place) = (
                    number / self.lots.len().max(1),
                    number % self.lots.len().max(1),
                );
                let (lot, price) = self.lots.get(place).context("no lot can be ordered")?;
                // In the next pass, another partner orders the lot.
                orders::post_for(place + pass, number, lot, price + BID_ABOVE, bytes);
                return Ok(PLACED);
            }
        }
        Ok(READ)
    }
}

impl Load {
    /// Begins to send requests of every kind.
    pub async fn start(address: SocketAddr, targets: &Arc<Targets>) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let begins = Instant::now();
        let step = Duration::from_secs(1) / RATE;
        for (offset, kind) in (0..).zip(KINDS) {
            for place in 0..CONNECTIONS {
                let sender = Sender {
                    client: Client::connect(address).await?,
                    targets: targets.clone(),
                    kind,
                    place: place as usize,
                    due: begins + step * place + step / 3 * offset,
                    step: step * CONNECTIONS,
                };
                running.spawn(sender.send(stop.clone()));
            }
        }
        Ok(Self { stop, running })
    }

    /// Stops sending; returns the latencies.
    pub async fn stop(mut self) -> anyhow::Result<Sent> {
        self.stop.cancel();
        let mut all = Sent::default();
        while let Some(sent) = self.running.join_next().await {
            let (kind, latencies) = sent??;
            all.0[kind as usize].extend(latencies);
        }
        Ok(all)
    }
}

impl Sent {
    /// Adds other latencies.
    pub fn add(&mut self, other: &Self) {
        for (all, more) in self.0.iter_mut().zip(&other.0) {
            all.extend(more);
        }
    }

    /// Returns the number of requests of a kind, and their latencies.
    pub fn of(&self, kind: Kind) -> (usize, Latencies) {
        let latencies = &self.0[kind as usize];
        (latencies.len(), Latencies::of(latencies.clone()))
    }
}

/// One connection, which sends requests at times of its own.
struct Sender {
    client: Client,
    targets: Arc<Targets>,
    kind: Kind,
    place: usize,
    /// The time of the next request.
    due: Instant,
    step: Duration,
}

impl Sender {
    async fn send(mut self, stop: CancellationToken) -> anyhow::Result<(Kind, Vec<Duration>)> {
        let mut latencies = Vec::new();
        let mut bytes = Vec::new();
        for n in (self.place..).step_by(CONNECTIONS as usize) {
            let is_late = self.due <= Instant::now();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(self.due.into()) => {}
            }
            // A timer wakes up to a millisecond late, so its request counts from now. A request that had to wait for
            // the one before counts from the time at which it was due.
            let began = if is_late { self.due } else { Instant::now() };
            bytes.clear();
            let expected = self.targets.write(self.kind, n, &mut bytes)?;
            self.client
                .ask(&bytes, expected)
                .await
                .with_context(|| format!("{}, beside other work", self.kind.name()))?;
            latencies.push(began.elapsed());
            self.due += self.step;
        }
        Ok((self.kind, latencies))
    }
}
