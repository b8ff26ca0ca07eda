//! A proxy between a server and its database that injects faults. It parses the PostgreSQL protocol, so that a fault
//! can strike a chosen round trip, before or after the database has executed it.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::sleep,
};

use crate::database::TestDatabase;

/// The point at which a fault strikes: a new connection, or a kind of round trip on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Connect,
    Statement,
    Begin,
    Commit,
}

/// The fault that strikes a round trip. [`Fault::CutBefore`] refuses a new connection, [`Fault::Hold`] delays it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection is cut before the request reaches the database.
    CutBefore,
    /// The request does not reach the database, and the client gets a FATAL error, as from a pooler.
    FatalBefore,
    /// The request reaches the database, and the connection is cut at once.
    CutAtOnce,
    /// The connection to the client is closed, and the request reaches the database after this time.
    Late(Duration),
    /// The request reaches the database after this time.
    Hold(Duration),
    /// The reply reaches the client after this time.
    HoldAnswer(Duration),
    /// The database executes the request, and the connection is cut before the reply.
    CutAfter,
    /// The database executes the request, and the client gets a FATAL error instead of the reply, as from a pooler.
    FatalAfter,
}

/// An ErrorResponse: FATAL, 57P01, terminating connection due to administrator command.
const FATAL: &[u8] = b"E\0\0\0\x32SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0";

/// Returns the fault for each moment.
type Plan = dyn Fn(Moment) -> Fault + Send + Sync;

/// Starts a proxy before a database, and returns the URL of the proxy.
pub async fn string(
    database: &TestDatabase,
    plan: impl Fn(Moment) -> Fault + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = (*database.pool.connect_options()).clone();
    let plan: Arc<Plan> = Arc::new(plan);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (plan, options) = (plan.clone(), options.clone());
            // An error on either side closes both.
            tokio::spawn(async move {
                let fault = plan(Moment::Connect);
                if let Fault::CutBefore = fault {
                    return Ok(());
                } else if let Fault::Hold(time) = fault {
                    sleep(time).await;
                }
                let server = dial(&options).await?;
                ProxiedConnection::new(client, server, plan).relay().await
            });
        }
    });
    url_at(database, port)
}

/// Opens a connection to a database, and sends nothing.
pub async fn dial(options: &PgConnectOptions) -> io::Result<Box<dyn Stream>> {
    Ok(match options.get_socket() {
        Some(folder) => {
            let file = format!(".s.PGSQL.{}", options.get_port());
            Box::new(UnixStream::connect(folder.join(file)).await?)
        }
        None => {
            let address = (options.get_host(), options.get_port());
            Box::new(TcpStream::connect(address).await?)
        }
    })
}

/// Returns the URL of a database by way of a local port.
pub fn url_at(database: &TestDatabase, port: u16) -> String {
    let url = database.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let (user, _) = authority.split_once('@').unwrap_or(("postgres", ""));
    let (name, _) = path.split_once('?').unwrap_or((path, ""));
    format!("{scheme}://{user}@127.0.0.1:{port}/{name}?sslmode=disable")
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection of a client by way of the proxy.
struct ProxiedConnection {
    client: TcpStream,
    server: Box<dyn Stream>,
    plan: Arc<Plan>,
    prepared: PreparedStatements,
    /// Messages of the client up to a Sync or a Query, which complete a round trip.
    request: BytesMut,
    moment: Moment,
    /// Faults of the round trips that the database has not answered completely.
    pending: VecDeque<Fault>,
    /// Messages of the reply to the first of these round trips.
    reply: BytesMut,
}

/// Whether the connection continues.
enum Relay {
    Continue,
    Cut,
}

impl ProxiedConnection {
    fn new(client: TcpStream, server: Box<dyn Stream>, plan: Arc<Plan>) -> Self {
        Self {
            client,
            server,
            plan,
            prepared: PreparedStatements::default(),
            request: BytesMut::new(),
            moment: Moment::Statement,
            pending: VecDeque::new(),
            reply: BytesMut::new(),
        }
    }

    async fn relay(mut self) -> io::Result<()> {
        let (mut from_client, mut from_server) = (BytesMut::new(), BytesMut::new());
        // The startup message has no tag.
        while from_client.len() < 4 || from_client.len() < length(&from_client) {
            if self.client.read_buf(&mut from_client).await? == 0 {
                return Ok(());
            }
        }
        let startup = from_client.split_to(length(&from_client));
        self.server.write_all(&startup).await?;
        loop {
            tokio::select! {
                read = self.client.read_buf(&mut from_client) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(frame) = next_frame(&mut from_client) {
                        if let Relay::Cut = self.forward_request(&frame).await? {
                            return Ok(());
                        }
                    }
                }
                read = self.server.read_buf(&mut from_server) => {
                    if read? == 0 {
                        return self.client.write_all(&self.reply).await;
                    }
                    while let Some(frame) = next_frame(&mut from_server) {
                        if let Relay::Cut = self.forward_reply(&frame).await? {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Collects messages to the database, and forwards them when their round trip is complete.
    async fn forward_request(&mut self, frame: &Bytes) -> io::Result<Relay> {
        self.request.extend_from_slice(frame);
        self.moment = self.moment.max(self.prepared.moment(frame));
        match frame[0] {
            // Query, Sync: they complete the round trip.
            b'Q' | b'S' => {}
            // Parse, Bind, Describe, Execute, Close: more will follow.
            b'P' | b'B' | b'D' | b'E' | b'C' => return Ok(Relay::Continue),
            // Passwords, Flush, Terminate: they belong to no round trip.
            _ => {
                let bytes = self.request.split();
                self.server.write_all(&bytes).await?;
                return Ok(Relay::Continue);
            }
        }
        let fault = (self.plan)(std::mem::replace(&mut self.moment, Moment::Statement));
        let bytes = self.request.split();
        match fault {
            Fault::CutBefore => return Ok(Relay::Cut),
            Fault::FatalBefore => {
                self.client.write_all(FATAL).await?;
                return Ok(Relay::Cut);
            }
            Fault::CutAtOnce => {
                self.server.write_all(&bytes).await?;
                return Ok(Relay::Cut);
            }
            Fault::Late(time) => {
                self.client.shutdown().await?;
                sleep(time).await;
                self.server.write_all(&bytes).await?;
                return Ok(Relay::Cut);
            }
            Fault::Hold(time) => sleep(time).await,
            Fault::None | Fault::HoldAnswer(_) | Fault::CutAfter | Fault::FatalAfter => {}
        }
        self.server.write_all(&bytes).await?;
        self.pending.push_back(fault);
        Ok(Relay::Continue)
    }

    /// Collects messages of the database, and forwards them at ReadyForQuery, which ends the reply to a round trip.
    async fn forward_reply(&mut self, frame: &Bytes) -> io::Result<Relay> {
        self.reply.extend_from_slice(frame);
        let ready = frame[0] == b'Z';
        if !self.pending.is_empty() && !ready {
            return Ok(Relay::Continue);
        }
        let fault = self.pending.pop_front().unwrap_or(Fault::None);
        if let Fault::CutAfter = fault {
            return Ok(Relay::Cut);
        } else if let Fault::FatalAfter = fault {
            self.client.write_all(FATAL).await?;
            return Ok(Relay::Cut);
        } else if let Fault::HoldAnswer(time) = fault {
            sleep(time).await;
        }
        let bytes = self.reply.split();
        self.client.write_all(&bytes).await?;
        Ok(Relay::Continue)
    }
}

/// Moments of the prepared statements of a connection, and of its portals.
#[derive(Default)]
struct PreparedStatements {
    statements: HashMap<Bytes, Moment>,
    portals: HashMap<Bytes, Moment>,
}

impl PreparedStatements {
    fn moment(&mut self, frame: &Bytes) -> Moment {
        let mut payload = frame.slice(5..);
        match frame[0] {
            b'Q' => return moment_of(&take_string(&mut payload)),
            b'P' => {
                let name = take_string(&mut payload);
                self.statements
                    .insert(name, moment_of(&take_string(&mut payload)));
            }
            b'B' => {
                let (portal, name) = (take_string(&mut payload), take_string(&mut payload));
                let moment = self.statements.get(&name);
                self.portals
                    .insert(portal, moment.copied().unwrap_or(Moment::Statement));
            }
            b'E' => {
                let moment = self.portals.get(&take_string(&mut payload));
                return moment.copied().unwrap_or(Moment::Statement);
            }
            _ => {}
        }
        Moment::Statement
    }
}

/// Returns the highest moment among the statements of a text. An order that is placed at once counts as a commit.
fn moment_of(sql: &[u8]) -> Moment {
    let sql = String::from_utf8_lossy(sql).to_ascii_uppercase();
    if sql.contains("PLACE_ORDER(") {
        return Moment::Commit;
    }
    let verbs = sql
        .split(';')
        .filter_map(|part| part.split_whitespace().next());
    verbs
        .map(|verb| match verb {
            "COMMIT" | "END" => Moment::Commit,
            "BEGIN" | "START" => Moment::Begin,
            _ => Moment::Statement,
        })
        .max()
        .unwrap_or(Moment::Statement)
}

/// Takes a NUL-terminated string.
fn take_string(payload: &mut Bytes) -> Bytes {
    let end = payload.iter().position(|byte| *byte == 0).unwrap();
    let text = payload.split_to(end);
    payload.advance(1);
    text
}

/// Takes a complete message: a tag, the length of the rest including its own four bytes, and the rest.
fn next_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let whole = 1 + length(buffer.get(1..5)?);
    (buffer.len() >= whole).then(|| buffer.split_to(whole).freeze())
}

fn length(bytes: &[u8]) -> usize {
    let bytes = bytes.first_chunk().copied().unwrap();
    usize::try_from(u32::from_be_bytes(bytes)).unwrap()
}
