//! Requests for orders, and the scripts for pgbench made from the statements that they send to PostgreSQL.

use std::path::Path;

use anyhow::Context;
use chrono::DateTime;
use serde_json::Value;
use sqlx::Row;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    database::Database,
    http::{Answer, Client, Expected},
    plan::{FIRST_VEHICLE, PARTNERS, Plan, SCATTER, SCATTER_ROOM, api_key, key, vehicle},
    script::{self, Known, Script},
    server::Server,
    wire::{Recorded, Recorder},
};

/// A new order.
pub const PLACED: Expected = Expected {
    status: "201",
    header: "\r\nidempotency-status: bound\r\n",
};
/// An existing order, replayed under the same key.
pub const REPLAYED: Expected = Expected {
    status: "200",
    header: "\r\nidempotency-status: replayed\r\n",
};
/// An order or its vehicle.
pub const READ: Expected = Expected {
    status: "200",
    header: "\r\netag: ",
};

/// Ends every script.
const NEXT_ROUND: &str = "\\set round :round + 1\n";
/// The id of the order with a number, in scripts: ids increase, like real ones.
const SQL_ID: &str = "lpad(:number::text, 32, '0')::uuid";
/// The time at which an order is decided, in scripts: the database refuses a time that is a second old.
const SQL_TIME: &str = "lmn_now(0)";
/// The first member of the standing of an order's bid, which is computed on every read, and the member after it.
const STANDING: [&str; 2] = [",\"is_highest_bid\":", ",\"amounts\":"];

/// The scripts for pgbench.
pub struct Scripts {
    /// Places an order.
    pub place: Script,
    /// Replays an order.
    pub replay: Script,
    /// Reads an order.
    pub read: Script,
}

/// Writes the request that places an order for the vehicle of its number, with its key.
pub fn post(client: usize, number: usize, bid: i32, bytes: &mut Vec<u8>) {
    post_for(client, number, &vehicle(number).to_string(), bid, bytes);
}

/// Writes the request that places an order for a vehicle, with its key.
pub fn post_for(client: usize, number: usize, vehicle: &str, bid: i32, bytes: &mut Vec<u8>) {
    let body = format!(r#"{{"vehicle_id":"{vehicle}","max_bid_amount_usd":{bid}}}"#);
    let (api_key, key, length) = (api_key(client), key(number), body.len());
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\nx-api-key: {api_key}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(body.as_bytes());
}

/// Writes the request that reads an order or a path below it.
pub fn get(client: usize, path: &str, bytes: &mut Vec<u8>) {
    let api_key = api_key(client);
    let head = format!(
        "GET /v1/orders/{path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {api_key}\r\n\r\n"
    );
    bytes.extend_from_slice(head.as_bytes());
}

/// Places, replays and reads one order, records the statements that the server sends to PostgreSQL, and makes scripts
/// of them.
pub async fn record(database: &Database, plan: &Plan, scratch: &Path) -> anyhow::Result<Scripts> {
    let folder = tempfile::tempdir()?;
    let recorder = Recorder::listen(folder.path(), database.socket_folder())?;
    let url = format!(
        "postgres://postgres@localhost/{}?sslmode=disable&host={}",
        database.name(),
        folder.path().display()
    );
    // The first request of each kind also looks up the API key and prepares the statements.
    let mut session = Session::start(&url, plan, scratch).await?;
    let first = order_id(session.place(1, PLACED).await?.body)?;
    recorder.take().await?;
    let answer = session.place(2, PLACED).await?;
    let (body, request_id) = (answer.body.to_vec(), answer.header("x-request-id")?);
    let placed = recorder.take().await?;
    let id = order_id(&body)?;
    session.stop().await?;

    // As in the measured runs, orders are replayed by a server that has not placed them, but has replayed them before.
    let mut session = Session::start(&url, plan, scratch).await?;
    session.place(1, REPLAYED).await?;
    session.read(&first).await?;
    session.place(2, REPLAYED).await?;
    recorder.take().await?;
    session.place(2, REPLAYED).await?;
    let replayed = recorder.take().await?;
    session.read(&id).await?;
    let read = recorder.take().await?;
    session.stop().await?;
    let all = [("place", &placed), ("replay", &replayed), ("read", &read)];
    for (what, recorded) in all {
        eprintln!("  {what}: {} statements", recorded.statements.len());
    }
    // Some of these come after the response, so they cannot be attributed to a request.
    let pings: usize = all.iter().map(|(_, recorded)| recorded.pings).sum();
    eprintln!("  and {pings} empty round trips of the pool, which the scripts leave out");

    let mut of_place = known_of_order(2, &id, &body, &placed)?;
    of_place.constant("request_id", &request_id);
    of_place.constant("row_version", &database.row_version(vehicle(2)).await?);
    let partner = database.partner(0).await?;
    of_place.varying(&partner, ":partner");
    // Reads by key ask for arrays, of one key each here.
    let mut of_others = Known::default();
    for (value, variable) in [
        (key(2).to_string(), "key"),
        (uuid(&id)?.to_string(), "placed"),
        (partner.to_string(), "partner"),
    ] {
        of_others.varying(
            &format!("{{{value}}}"),
            format!("array[:{variable}]::uuid[]"),
        );
    }
    let lookup = once(&sql_of_order(":client_id"));
    Ok(Scripts {
        place: Script::new(&before_placing(), &placed.statements, &of_place, NEXT_ROUND)?,
        replay: Script::new(&lookup, &replayed.statements, &of_others, NEXT_ROUND)?,
        read: Script::new(&lookup, &read.statements, &of_others, NEXT_ROUND)?,
    })
}

/// A client of partner 0, with a server of its own.
struct Session {
    server: Server,
    client: Client,
    bid: i32,
}

impl Session {
    /// Starts the server with one database connection, on another thread, because this thread forwards what the server
    /// sends to PostgreSQL before it is ready.
    async fn start(database_url: &str, plan: &Plan, scratch: &Path) -> anyhow::Result<Self> {
        let (url, scratch) = (database_url.to_owned(), scratch.to_owned());
        let starting = spawn_blocking(move || {
            let one_connection = [("LMN_DATABASE__CONNECTIONS_MAX", "1")];
            Server::serve_only(&url, &one_connection, &scratch)
        });
        let server = starting.await??;
        Ok(Self {
            client: Client::connect(server.address).await?,
            server,
            bid: plan.bid,
        })
    }

    async fn place(&mut self, number: usize, expected: Expected) -> anyhow::Result<Answer<'_>> {
        let mut bytes = Vec::new();
        post(0, number, self.bid, &mut bytes);
        self.client.ask(&bytes, expected).await
    }

    async fn read(&mut self, path: &str) -> anyhow::Result<Answer<'_>> {
        let mut bytes = Vec::new();
        get(0, path, &mut bytes);
        self.client.ask(&bytes, READ).await
    }

    async fn stop(self) -> anyhow::Result<()> {
        let server = self.server;
        spawn_blocking(|| server.stop()).await?
    }
}

/// Returns the script's commands before an order is placed, which set its partner and its number.
fn before_placing() -> String {
    let partner = once(&format!(
        "select id as partner from partners where name = 'partner ' || (:client_id % {PARTNERS})"
    ));
    format!(
        "{partner}\\set number :round * :clients + :client_id\n\
         \\set scattered (:number * {SCATTER}) % {SCATTER_ROOM}\n\
         \\set vehicle {FIRST_VEHICLE} + :number\n"
    )
}

/// Returns commands that run a query in a client's first round and store its row in variables.
fn once(query: &str) -> String {
    format!("\\if :round = :first_round\n{query} \\gset\n\\endif\n")
}

/// Returns the key of the order whose number and scattered number are given, in SQL; see [`key`].
fn sql_key(number: &str, scattered: &str) -> String {
    format!("(lpad({scattered}::text, 12, '0') || '40008' || lpad({number}::text, 15, '0'))::uuid")
}

/// Returns the SQL that finds an order by its number, with its partner, vehicle and key.
fn sql_of_order(number: &str) -> String {
    let scattered = format!("({number}::bigint * {SCATTER} % {SCATTER_ROOM})");
    let key = sql_key(number, &scattered);
    format!(
        "select orders.partner_id as partner, orders.id as placed, vehicle_id as vehicle, key
         from idempotency_keys join orders on orders.id = order_id where key = {key}"
    )
}

/// Returns the id of a client's order.
pub async fn id_of_clients_order(database: &Database, client: usize) -> anyhow::Result<String> {
    let mut connection = database.connect().await?;
    let query = sqlx::AssertSqlSafe(sql_of_order(&format!("{client}")));
    let row = sqlx::query(query).fetch_one(&mut connection).await?;
    let id: Uuid = row.try_get("placed")?;
    Ok(ulid::Ulid::from(id).to_string())
}

/// Returns the known values of a new order, from its response.
fn known_of_order(
    number: usize,
    id: &str,
    body: &[u8],
    placed: &Recorded,
) -> anyhow::Result<Known> {
    let order: Value = serde_json::from_slice(body)?;
    let mut known = Known::default();
    for name in ["vin", "license_plate"] {
        if let Some(text) = order[name].as_str() {
            known.constant(name, text);
        }
    }
    for name in ["auction_date", "order_cutoff_at"] {
        known.constant(name, &time(&order, name)?);
    }
    known.varying(&time(&order, "created_at")?, SQL_TIME);
    known.constant("max_bid", &order["max_bid_amount_usd"]);
    known.constant("actor", &format!("key:{}", &api_key(0)[..12]));
    known.constant("location", &format!("/v1/orders/{id}"));
    known.constant("rendered", &without_standing(std::str::from_utf8(body)?)?);
    known.constant("reply", &script::bytes(body));
    known.constant("fingerprint", &fingerprint(placed)?);
    known.varying(&key(number), sql_key(":number", ":scattered"));
    known.varying(&vehicle(number), ":vehicle");
    known.varying(&uuid(id)?, SQL_ID);
    Ok(known)
}

/// Returns a time of an order in the form of statement values.
fn time(order: &Value, name: &str) -> anyhow::Result<String> {
    let text = order[name].as_str().context("an order without a time")?;
    Ok(script::time(&DateTime::parse_from_rfc3339(text)?))
}

/// Returns the text of an order as it is stored, without the standing of its bid.
fn without_standing(order: &str) -> anyhow::Result<String> {
    let [begins, ends] = STANDING.map(|member| order.find(member));
    let (begins, ends) = begins.zip(ends).context("an order without a standing")?;
    Ok([&order[..begins], &order[ends..]].concat())
}

/// Finds the fingerprint of a request among the statement values: the one of 96 bytes.
fn fingerprint(recorded: &Recorded) -> anyhow::Result<String> {
    let values = recorded.statements.iter().flat_map(|it| &it.values);
    let found = values.filter_map(|(_, value)| value.as_deref());
    let mut fingerprints = found.filter(|value| value.len() == 96);
    let first = fingerprints.next().context("no fingerprint was sent")?;
    Ok(script::bytes(first))
}

/// Returns the id in a response.
fn order_id(body: &[u8]) -> anyhow::Result<String> {
    let order: Value = serde_json::from_slice(body)?;
    Ok(order["id"].as_str().context("no id")?.to_owned())
}

/// Returns an order's id as the database stores it.
fn uuid(id: &str) -> anyhow::Result<Uuid> {
    Ok(ulid::Ulid::from_string(id)?.into())
}
