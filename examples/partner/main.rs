//! A small, complete integration to copy: it browses, orders the cheapest lots, and takes the events of its orders.
//!
//! ```sh
//! cargo run                       # in one terminal: the sandbox
//! cargo run --example partner     # in another one
//! ```
//!
//! Arguments, all optional: the API's URL, the file of the key, the file of the journal, how many orders there shall be.
//! Stop it whenever you like, and start it again: what was not finished is finished, and nothing is ordered twice.
//!
//! [`client`] asks until it has an answer, [`retry`] says when to ask again, [`journal`] keeps what is meant. The receiver
//! is that of `examples/receiver`.

#![allow(clippy::print_stdout, reason = "a person watches it")]
#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value without a member is null there"
)]

mod client;
mod journal;
#[path = "../receiver/receive.rs"]
mod receive;
mod retry;
#[path = "../receiver/verify.rs"]
mod verify;

use std::{env, error::Error, fs, path::Path, time::Duration};

use client::Client;
use journal::Journal;
use retry::Patience;
use tokio::net::TcpListener;

/// Which cars are of interest.
const QUERY: &str = "source=glovis&auction_status=upcoming&sort=price_asc&limit=2";
/// How much above the listing price a bid may go, in dollars.
const MARGIN_USD: i64 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let api = argument("http://127.0.0.1:8080");
    let key = fs::read_to_string(argument(".lmn/api_key"))?;
    let journal = argument("partner-journal.json");
    let orders: usize = argument("3").parse()?;
    let client = Client::new(&api, &key, patience())?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/lmn", listener.local_addr()?);
    let secret = client.introduce(&url).await?;
    println!("Events of {api} are sent to {url}.");
    let receiving = async {
        axum::serve(listener, receive::routes(secret)).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::try_join!(receiving, shop(&client, Path::new(&journal), orders))?;
    Ok(())
}

/// Means as many orders as there shall be, and places those whose end is not known.
async fn shop(client: &Client, journal: &Path, orders: usize) -> Result<(), Box<dyn Error>> {
    let mut journal = Journal::open(journal)?;
    let mut cars = client.cars(QUERY);
    while journal.intentions.len() < orders
        && let Some(car) = cars.next().await?
    {
        let (id, price) = (&car["id"], &car["pricing"]["listing_usd"]);
        if let (Some(id), Some(price)) = (id.as_str(), price.as_i64())
            && !journal.has(id)
        {
            journal.mean(id, price + MARGIN_USD)?;
        }
    }
    for wish in journal.intentions.clone() {
        if wish.outcome.is_some() {
            continue;
        }
        let car = &wish.vehicle_id;
        match client.place(&wish).await {
            Ok(order) => {
                let id = order["id"].as_str().unwrap_or_default();
                journal.settle(&wish.key, id)?;
                println!("placed    {car} order {id}");
            }
            Err(failure) if failure.may_pass() => {
                println!("open      {car}: {failure}; start this again to go on");
            }
            // Nothing was said of the order: stop, and go on with a good key.
            Err(failure) if failure.is_of_credentials() => return Err(failure.into()),
            Err(failure) => {
                journal.settle(&wish.key, failure.code())?;
                println!("refused   {car}: {failure}");
            }
        }
    }
    println!("done      {}", journal.intentions.len());
    Ok(())
}

/// Returns how long to go on; the environment can say otherwise, in milliseconds.
fn patience() -> Patience {
    let time = |name: &str, default: u64| {
        let told = env::var(name).ok().and_then(|it| it.parse().ok());
        Duration::from_millis(told.unwrap_or(default))
    };
    Patience {
        attempt: time("PARTNER_ATTEMPT_MS", 15_000),
        total: time("PARTNER_TOTAL_MS", 120_000),
        first_pause: time("PARTNER_FIRST_PAUSE_MS", 500),
        longest_pause: Duration::from_secs(20),
    }
}
