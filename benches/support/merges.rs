//! Changes of vehicles: the time from their commit until a server shows them, and the server's CPU time.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::{
    browse::{self, READ},
    database::{Database, run},
    http::Client,
    process::Threads,
    report::Latencies,
    server::Server,
};

/// Numbers of vehicles that one statement changes.
const SIZES: [usize; 3] = [1, 100, 1_000];
/// The price before that of the first change; each change uses the next higher one, which no other vehicle has.
const FIRST_PRICE: usize = 9_000_000;
/// Pause between two requests that check whether a change is shown.
const POLL: Duration = Duration::from_millis(1);
/// Time within which a change must be shown.
const LIMIT: Duration = Duration::from_secs(10);
/// Time after a change until its effects have ended.
const SETTLING: Duration = Duration::from_millis(300);
/// Time for which the CPU of an idle server is measured.
const IDLE: Duration = Duration::from_secs(2);
/// Requests by which the CPU of a poll is measured.
const POLLS: usize = 500;

/// Measurements of changes of one size.
#[derive(Debug)]
struct Merged {
    vehicles: usize,
    shown: Latencies,
    written: Latencies,
    /// CPU time of the server for one change, in milliseconds.
    server: f64,
}

/// A catalogue whose vehicles are changed, and the server that shows it.
struct Merging<'a> {
    connection: PgConnection,
    server: &'a Server,
    client: Client,
    /// Id of a vehicle that is part of every change.
    id: String,
    price: usize,
    /// CPU seconds of the server for one poll.
    poll: f64,
    /// CPU seconds of the server per idle second.
    idle: f64,
}

/// Changes vehicles of a catalogue and restores them; returns the table as Markdown.
pub async fn measure(
    database: &Database,
    server: &Server,
    rounds: usize,
) -> anyhow::Result<String> {
    database.set_whole(false).await?;
    let mut merging = Merging::begin(database, server).await?;
    let mut table = "\
| vehicles changed | changes | shown after their commit, ms: p50 | at most | the update itself, ms: p50 | server CPU ms a change |
|--:|--:|--:|--:|--:|--:|
"
    .to_owned();
    for vehicles in SIZES {
        let Merged {
            vehicles,
            shown,
            written,
            server,
        } = merging.merge(vehicles, rounds).await?;
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {vehicles} | {rounds} | {:.1} | {:.1} | {:.1} | {server:.1} |",
            shown.p50, shown.max, written.p50,
        );
    }
    merging.put_back().await?;
    database.set_whole(true).await?;
    Ok(table)
}

impl<'a> Merging<'a> {
    /// Saves the vehicles that will be changed, and measures the CPU time of polls and of the idle server.
    async fn begin(database: &Database, server: &'a Server) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let most = SIZES.into_iter().max().unwrap_or_default();
        let former = format!(
            "drop table if exists former;
             create table former as
             select row_number() over () as n, id, listing_usd, summary, detail
             from (select * from vehicles where withdrawn_at is null order by md5(id) limit {most}) as chosen;
             create unique index on former (n);
             analyze former"
        );
        run(&mut connection, former).await?;
        let id = sqlx::query_scalar("select id from former where n = 1");
        let mut merging = Self {
            id: id.fetch_one(&mut connection).await?,
            connection,
            server,
            client: Client::connect(server.address).await?,
            price: FIRST_PRICE,
            poll: 0.0,
            idle: 0.0,
        };
        let before = Threads::of(server.pid())?;
        sleep(IDLE).await;
        let idle = Threads::of(server.pid())?;
        for _ in 0..POLLS {
            ensure!(
                !merging.is_shown().await?,
                "a vehicle has that price already"
            );
        }
        let polled = Threads::of(server.pid())?;
        merging.idle = idle.seconds_since(&before) / IDLE.as_secs_f64();
        merging.poll = polled.seconds_since(&idle) / POLLS as f64;
        Ok(merging)
    }

    async fn merge(&mut self, vehicles: usize, rounds: usize) -> anyhow::Result<Merged> {
        eprintln!("changing {vehicles} vehicles, {rounds} times");
        let (mut shown, mut written) = (Vec::new(), Vec::new());
        let mut polls = 0;
        let (before, began) = (Threads::of(self.server.pid())?, Instant::now());
        for _ in 0..rounds {
            self.price += 1;
            let changing = Instant::now();
            self.change(vehicles).await?;
            let committed = Instant::now();
            written.push(committed - changing);
            while !self.is_shown().await? {
                polls += 1;
                ensure!(committed.elapsed() < LIMIT, "the change is not shown");
                sleep(POLL).await;
            }
            shown.push(committed.elapsed());
            polls += 1;
            sleep(SETTLING).await;
        }
        let spent = Threads::of(self.server.pid())?.seconds_since(&before);
        let other = f64::from(polls) * self.poll + began.elapsed().as_secs_f64() * self.idle;
        Ok(Merged {
            vehicles,
            shown: Latencies::of(shown),
            written: Latencies::of(written),
            server: (spent - other) * 1e3 / rounds as f64,
        })
    }

    async fn change(&mut self, vehicles: usize) -> anyhow::Result<()> {
        let update = "update vehicles set listing_usd = $1 from former where former.id = vehicles.id and n <= $2";
        let update = sqlx::query(update)
            .bind(i32::try_from(self.price)?)
            .bind(i64::try_from(vehicles)?);
        let changed = update.execute(&mut self.connection).await?.rows_affected();
        ensure!(
            usize::try_from(changed)? == vehicles,
            "{changed} vehicles were changed instead of {vehicles}"
        );
        Ok(())
    }

    /// Returns whether the server shows the vehicle at its current price.
    async fn is_shown(&mut self) -> anyhow::Result<bool> {
        let (id, price) = (&self.id, self.price);
        let below = format!("?ids={id}&price_min_usd={price}&price_max_usd={price}&limit=1");
        let mut bytes = Vec::new();
        browse::get(0, &below, &mut bytes);
        let body = self.client.ask(&bytes, READ).await?.body;
        Ok(!body.starts_with(br#"{"data":[]"#))
    }

    /// Restores the vehicles.
    async fn put_back(mut self) -> anyhow::Result<()> {
        let former = "update vehicles set listing_usd = former.listing_usd, summary = former.summary,
                 detail = former.detail
             from former where former.id = vehicles.id and vehicles.listing_usd <> former.listing_usd";
        for statement in [former, "drop table former", "vacuum (analyze) vehicles"] {
            run(&mut self.connection, statement.to_owned()).await?;
        }
        self.connection
            .close()
            .await
            .context("closing the connection")
    }
}
