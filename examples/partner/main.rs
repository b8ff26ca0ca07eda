//! A small, complete integration to copy: it browses, orders the cheapest lots, and receives the events of its orders.
//!
//! ```sh
//! cargo run                       # in one terminal: the sandbox
//! cargo run --example partner     # in another one
//! ```
//!
//! Arguments, all optional: the API's URL, the file of the API key, the file of the journal, and the number of orders.
//! It can be stopped at any time and started again: it finishes what was not finished, and orders nothing twice.
//!
//! [`client`] sends requests until they have a final response, [`retry`] is the retry policy, [`rows`] reads lists page
//! by page, [`journal`] stores the planned orders. The receiver is that of `examples/receiver`, with a library for
//! Standard Webhooks in [`stock`] that verifies deliveries.

#![allow(clippy::print_stdout, reason = "the output is for a person")]
#![allow(
    clippy::indexing_slicing,
    reason = "a JSON value without a member is null there"
)]

mod client;
mod journal;
#[path = "../receiver/receive.rs"]
mod receive;
mod retry;
mod rows;
mod stock;

use std::{env, error::Error, fs, path::Path, time::Duration};

use client::Client;
use journal::Journal;
use retry::RetryPolicy;
use tokio::net::TcpListener;

/// The query of the vehicles to order.
const QUERY: &str = "source=glovis&auction_status=upcoming&sort=price_asc&limit=2";
/// The query of all orders and all events, in small pages.
const PAGE: &str = "limit=2";
/// Difference between the bid and the listing price, in US dollars.
const MARGIN_USD: i64 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut argument = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let api = argument("http://127.0.0.1:8080");
    let key = fs::read_to_string(argument(".lmn/api_key"))?;
    let journal = argument("partner-journal.json");
    let orders: usize = argument("3").parse()?;
    let client = Client::new(&api, &key, policy())?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/lmn", listener.local_addr()?);
    let secret = client.register_endpoint(&url).await?;
    println!("Events of {api} are sent to {url}.");
    let receiving = async {
        axum::serve(listener, receive::routes(secret, stock::is_from_lmn)).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::try_join!(
        receiving,
        place_orders(&client, Path::new(&journal), orders)
    )?;
    Ok(())
}

/// Plans orders up to a number, places those without an outcome, and counts all orders and events.
async fn place_orders(
    client: &Client,
    journal: &Path,
    orders: usize,
) -> Result<(), Box<dyn Error>> {
    let mut journal = Journal::open(journal)?;
    let mut vehicles = client.vehicles(QUERY);
    while journal.orders.len() < orders
        && let Some(vehicle) = vehicles.next().await?
    {
        let (id, price) = (&vehicle["id"], &vehicle["pricing"]["listing_usd"]);
        if let (Some(id), Some(price)) = (id.as_str(), price.as_i64())
            && !journal.has(id)
        {
            journal.plan(id, price + MARGIN_USD)?;
        }
    }
    for planned in journal.orders.clone() {
        if planned.outcome.is_some() {
            continue;
        }
        let vehicle = &planned.vehicle_id;
        match client.place(&planned).await {
            Ok(order) => {
                let id = order["id"].as_str().unwrap_or_default();
                journal.record(&planned.key, id)?;
                println!("placed    {vehicle} order {id}");
            }
            Err(failure) if failure.is_retryable() => {
                println!("open      {vehicle}: {failure}; start this again to go on");
            }
            // The error is not about the order: stop, to go on with a valid key later.
            Err(failure) if failure.is_credentials_error() => return Err(failure.into()),
            Err(failure) => {
                journal.record(&planned.key, failure.code())?;
                println!("refused   {vehicle}: {failure}");
            }
        }
    }
    let orders = client.orders(PAGE).count().await?;
    let events = client.events(PAGE).count().await?;
    println!("listed    {orders} orders, {events} events");
    println!("done      {}", journal.orders.len());
    Ok(())
}

/// Returns the retry policy; environment variables override its times, in milliseconds.
fn policy() -> RetryPolicy {
    let time = |name: &str, default: u64| {
        let value = env::var(name).ok().and_then(|it| it.parse().ok());
        Duration::from_millis(value.unwrap_or(default))
    };
    RetryPolicy {
        attempt: time("PARTNER_ATTEMPT_MS", 15_000),
        total: time("PARTNER_TOTAL_MS", 120_000),
        first_pause: time("PARTNER_FIRST_PAUSE_MS", 500),
        longest_pause: Duration::from_secs(20),
    }
}
