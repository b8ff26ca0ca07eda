//! A wire between a server and its database that can be cut: it knows PostgreSQL's framing, and so which message is
//! a COMMIT, where the answer to it begins, and where it ends.

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

/// Where a fault can strike: a new connection, or one round trip on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Connect,
    Statement,
    Begin,
    Commit,
}

/// What happens to a round trip. On a new connection, [`Fault::CutBefore`] refuses it and [`Fault::Hold`] stalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It never reaches the database.
    CutBefore,
    /// It never reaches the database, and a pooler in between says that the server is gone.
    FatalBefore,
    /// It reaches the database, and nobody waits for what comes of it.
    CutAtOnce,
    /// The server sees the connection cut, and the database gets the message only later.
    Late(Duration),
    /// It waits on its way to the database.
    Hold(Duration),
    /// The database has done it, and its answer waits on the way back.
    HoldAnswer(Duration),
    /// The database has done it, and the connection is cut before the answer.
    CutAfter,
    /// The database has done it, and a pooler in between says that the server is gone.
    FatalAfter,
}

/// An ErrorResponse: FATAL, 57P01, terminating connection due to administrator command.
const FATAL: &[u8] = b"E\0\0\0\x32SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0";

/// Says what happens, moment by moment.
type Plan = dyn Fn(Moment) -> Fault + Send + Sync;

/// Strings a wire before a database, and returns the URL of its other end.
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
            // Whichever end fails, both are closed: that is what a wire does.
            tokio::spawn(async move {
                let fault = plan(Moment::Connect);
                if let Fault::CutBefore = fault {
                    return Ok(());
                } else if let Fault::Hold(time) = fault {
                    sleep(time).await;
                }
                let server = dial(&options).await?;
                Line::new(client, server, plan).carry().await
            });
        }
    });
    url_at(database, port)
}

/// Connects to a database, without a word.
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

/// Returns the URL of a database that is reached by a port of this machine.
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

/// One connection.
struct Line {
    client: TcpStream,
    server: Box<dyn Stream>,
    plan: Arc<Plan>,
    verbs: Verbs,
    /// What the server sent up to a Sync or a Query: one round trip in the making.
    asking: BytesMut,
    moment: Moment,
    /// The faults of the round trips that the database has not answered to the end.
    due: VecDeque<Fault>,
    /// Its answer to the first of them, so far.
    answering: BytesMut,
}

/// Whether the wire still holds.
enum Wire {
    Whole,
    Cut,
}

impl Line {
    fn new(client: TcpStream, server: Box<dyn Stream>, plan: Arc<Plan>) -> Self {
        Self {
            client,
            server,
            plan,
            verbs: Verbs::default(),
            asking: BytesMut::new(),
            moment: Moment::Statement,
            due: VecDeque::new(),
            answering: BytesMut::new(),
        }
    }

    async fn carry(mut self) -> io::Result<()> {
        let (mut asked, mut answered) = (BytesMut::new(), BytesMut::new());
        // The first message of all has no tag.
        while asked.len() < 4 || asked.len() < length(&asked) {
            if self.client.read_buf(&mut asked).await? == 0 {
                return Ok(());
            }
        }
        let startup = asked.split_to(length(&asked));
        self.server.write_all(&startup).await?;
        loop {
            tokio::select! {
                read = self.client.read_buf(&mut asked) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(frame) = next_frame(&mut asked) {
                        if let Wire::Cut = self.ask(&frame).await? {
                            return Ok(());
                        }
                    }
                }
                read = self.server.read_buf(&mut answered) => {
                    if read? == 0 {
                        return self.client.write_all(&self.answering).await;
                    }
                    while let Some(frame) = next_frame(&mut answered) {
                        if let Wire::Cut = self.answer(&frame).await? {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Carries a message to the database, together with all that belongs to its round trip.
    async fn ask(&mut self, frame: &Bytes) -> io::Result<Wire> {
        self.asking.extend_from_slice(frame);
        self.moment = self.moment.max(self.verbs.moment(frame));
        match frame[0] {
            // Query, Sync: the round trip is complete.
            b'Q' | b'S' => {}
            // Parse, Bind, Describe, Execute, Close: more will follow.
            b'P' | b'B' | b'D' | b'E' | b'C' => return Ok(Wire::Whole),
            // Passwords, Flush, Terminate: they are no statements.
            _ => {
                let bytes = self.asking.split();
                self.server.write_all(&bytes).await?;
                return Ok(Wire::Whole);
            }
        }
        let fault = (self.plan)(std::mem::replace(&mut self.moment, Moment::Statement));
        let bytes = self.asking.split();
        match fault {
            Fault::CutBefore => return Ok(Wire::Cut),
            Fault::FatalBefore => {
                self.client.write_all(FATAL).await?;
                return Ok(Wire::Cut);
            }
            Fault::CutAtOnce => {
                self.server.write_all(&bytes).await?;
                return Ok(Wire::Cut);
            }
            Fault::Late(time) => {
                self.client.shutdown().await?;
                sleep(time).await;
                self.server.write_all(&bytes).await?;
                return Ok(Wire::Cut);
            }
            Fault::Hold(time) => sleep(time).await,
            Fault::None | Fault::HoldAnswer(_) | Fault::CutAfter | Fault::FatalAfter => {}
        }
        self.server.write_all(&bytes).await?;
        self.due.push_back(fault);
        Ok(Wire::Whole)
    }

    /// Carries a message of the database; the answer to a round trip ends with ReadyForQuery.
    async fn answer(&mut self, frame: &Bytes) -> io::Result<Wire> {
        self.answering.extend_from_slice(frame);
        let ready = frame[0] == b'Z';
        if !self.due.is_empty() && !ready {
            return Ok(Wire::Whole);
        }
        let fault = self.due.pop_front().unwrap_or(Fault::None);
        if let Fault::CutAfter = fault {
            return Ok(Wire::Cut);
        } else if let Fault::FatalAfter = fault {
            self.client.write_all(FATAL).await?;
            return Ok(Wire::Cut);
        } else if let Fault::HoldAnswer(time) = fault {
            sleep(time).await;
        }
        let bytes = self.answering.split();
        self.client.write_all(&bytes).await?;
        Ok(Wire::Whole)
    }
}

/// What the statements do that a connection has prepared, and those that its portals are bound to.
#[derive(Default)]
struct Verbs {
    statements: HashMap<Bytes, Moment>,
    portals: HashMap<Bytes, Moment>,
}

impl Verbs {
    fn moment(&mut self, frame: &Bytes) -> Moment {
        let mut payload = frame.slice(5..);
        match frame[0] {
            b'Q' => return verb(&text(&mut payload)),
            b'P' => {
                let name = text(&mut payload);
                self.statements.insert(name, verb(&text(&mut payload)));
            }
            b'B' => {
                let (portal, name) = (text(&mut payload), text(&mut payload));
                let moment = self.statements.get(&name);
                self.portals
                    .insert(portal, moment.copied().unwrap_or(Moment::Statement));
            }
            b'E' => {
                let moment = self.portals.get(&text(&mut payload));
                return moment.copied().unwrap_or(Moment::Statement);
            }
            _ => {}
        }
        Moment::Statement
    }
}

/// What a text does, of which each part counts. An order that is placed at once is a commit.
fn verb(sql: &[u8]) -> Moment {
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

/// Takes a text that ends with a NUL.
fn text(payload: &mut Bytes) -> Bytes {
    let end = payload.iter().position(|byte| *byte == 0).unwrap();
    let text = payload.split_to(end);
    payload.advance(1);
    text
}

/// Takes a whole message: a tag, the length of the rest with these four bytes, and the rest.
fn next_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let whole = 1 + length(buffer.get(1..5)?);
    (buffer.len() >= whole).then(|| buffer.split_to(whole).freeze())
}

fn length(bytes: &[u8]) -> usize {
    let bytes = bytes.first_chunk().copied().unwrap();
    usize::try_from(u32::from_be_bytes(bytes)).unwrap()
}
