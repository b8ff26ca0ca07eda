//! A proxy in front of PostgreSQL that records the statements that the server sends.
//!
//! It parses only the messages of the frontend protocol that carry statements and their values, and supports no
//! encryption:
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Notify,
};

/// File name of PostgreSQL's socket.
const SOCKET: &str = ".s.PGSQL.5432";
/// Longest wait until the server is idle.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// A statement as sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The text, with `$n`.
    pub sql: String,
    /// The values: their types and their bytes in the binary format, `None` for null.
    pub values: Vec<(u32, Option<Vec<u8>>)>,
}

/// The statements sent between two calls of [`Recorder::take`].
#[derive(Debug, Default)]
pub struct Recorded {
    /// The statements.
    pub statements: Vec<Sent>,
    /// Number of round trips without a statement, which check whether a connection is alive.
    pub pings: usize,
}

/// The proxy.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    connections: Arc<Mutex<Vec<Connection>>>,
    changed: Arc<Notify>,
}

/// The state of one connection.
#[derive(Debug, Default)]
struct Connection {
    prepared: HashMap<String, (String, Vec<u32>)>,
    recorded: Recorded,
    /// A description of a message that was not understood.
    unknown: Option<String>,
    /// Whether the connection carries the heartbeat or the catalogue's changes, and no statements of requests.
    is_background: bool,
    has_statement: bool,
    /// Number of responses not received yet.
    pending: usize,
    in_transaction: bool,
}

impl Recorder {
    /// Listens in `folder` and forwards everything to the socket in the folder `server`.
    pub fn listen(folder: &Path, server: &Path) -> anyhow::Result<Self> {
        let recorder = Self::default();
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let (server, proxy) = (server.join(SOCKET), recorder.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().forward(client, server.clone()));
            }
        });
        Ok(recorder)
    }

    /// Waits until the server waits for no response; returns the statements sent since the last call.
    pub async fn take(&self) -> anyhow::Result<Recorded> {
        let idle = async {
            loop {
                let changed = self.changed.notified();
                if self.with(|connections| connections.iter().all(Connection::is_idle)) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(IDLE_LIMIT, idle)
            .await
            .context("the server does not become idle")?;
        self.with(|connections| {
            let mut all = Recorded::default();
            for connection in connections.iter_mut().filter(|it| !it.is_background) {
                if let Some(unknown) = connection.unknown.take() {
                    bail!("the benchmark does not understand what the server sent: {unknown}");
                }
                let recorded = std::mem::take(&mut connection.recorded);
                all.statements.extend(recorded.statements);
                all.pings += recorded.pings;
            }
            Ok(all)
        })
    }

    async fn forward(self, client: UnixStream, server: PathBuf) {
        let Ok(server) = UnixStream::connect(server).await else {
            return;
        };
        let number = self.with(|connections| {
            connections.push(Connection::default());
            connections.len() - 1
        });
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asking = self.clone().copy(
            from_client,
            to_server,
            true,
            move |connection, tag, body| {
                connection.record_client(tag, body);
            },
            number,
        );
        let answering = self.clone().copy(
            from_server,
            to_client,
            false,
            |connection, tag, body| {
                connection.record_server(tag, body);
            },
            number,
        );
        tokio::join!(asking, answering);
    }

    /// Copies messages one by one, recording each before it is forwarded.
    async fn copy(
        self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        mut is_startup: bool,
        record: impl Fn(&mut Connection, u8, &[u8]),
        number: usize,
    ) {
        let mut bytes = Vec::new();
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            let mut forwarded = 0;
            while let Some(length) = message_length(&bytes[forwarded..], is_startup) {
                let message = &bytes[forwarded..forwarded + length];
                if !is_startup {
                    self.with(|connections| {
                        record(&mut connections[number], message[0], &message[5..])
                    });
                }
                is_startup = false;
                forwarded += length;
            }
            if to.write_all(&bytes[..forwarded]).await.is_err() {
                break;
            }
            bytes.drain(..forwarded);
            self.changed.notify_waiters();
        }
        let _ = to.shutdown().await;
    }

    fn with<T>(&self, access: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        access(
            &mut self
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Returns the length of the first message once it is complete; only the startup message has no tag.
fn message_length(bytes: &[u8], is_startup: bool) -> Option<usize> {
    let tag = usize::from(!is_startup);
    let length = bytes.get(tag..tag + 4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize + tag;
    (bytes.len() >= length).then_some(length)
}

impl Connection {
    fn is_idle(&self) -> bool {
        self.is_background || (self.pending == 0 && !self.in_transaction)
    }

    fn record_server(&mut self, tag: u8, body: &[u8]) {
        if tag == b'Z' {
            self.pending = self.pending.saturating_sub(1);
            self.in_transaction = body != b"I";
        }
    }

    fn record_client(&mut self, tag: u8, body: &[u8]) {
        let mut fields = Fields(body);
        let understood = match tag {
            b'Q' => fields.text().map(|sql| {
                self.is_background |= sql.starts_with("LISTEN");
                self.add(Sent {
                    sql,
                    values: Vec::new(),
                });
            }),
            b'P' => fields.parse().map(|(name, sql, types)| {
                self.is_background |= sql.contains("from catalogue");
                self.prepared.insert(name, (sql, types));
            }),
            b'B' => fields.bind().and_then(|(name, values)| {
                let (sql, types) = self.prepared.get(&name)?;
                let values = types.iter().copied().zip(values).collect();
                let sent = Sent {
                    sql: sql.clone(),
                    values,
                };
                self.add(sent);
                Some(())
            }),
            b'S' => {
                self.recorded.pings += usize::from(!self.has_statement);
                Some(())
            }
            // Describe, Execute, Close and Flush belong to a Bind; the password begins a connection, Terminate ends it.
            b'D' | b'E' | b'C' | b'H' | b'X' | b'p' => Some(()),
            _ => None,
        };
        if matches!(tag, b'Q' | b'S') {
            self.pending += 1;
            self.has_statement = false;
        }
        if understood.is_none() {
            self.unknown = Some(format!(
                "a message `{}` of {} bytes",
                char::from(tag),
                body.len()
            ));
        }
    }

    fn add(&mut self, sent: Sent) {
        self.recorded.statements.push(sent);
        self.has_statement = true;
    }
}

/// The fields of a message, read from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8(self.bytes(length)?).ok()?;
        self.bytes(1)?;
        Some(text)
    }

    fn short(&mut self) -> Option<usize> {
        let bytes = self.bytes(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?).into())
    }

    fn long(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    /// Reads the name, text and types of a statement.
    fn parse(&mut self) -> Option<(String, String, Vec<u32>)> {
        let (name, sql) = (self.text()?, self.text()?);
        let types = (0..self.short()?).map(|_| self.long().map(i32::cast_unsigned));
        Some((name, sql, types.collect::<Option<_>>()?))
    }

    /// Reads the name of a statement and the values bound to it, all in the binary format.
    fn bind(&mut self) -> Option<(String, Vec<Option<Vec<u8>>>)> {
        let (_portal, name) = (self.text()?, self.text()?);
        let formats = (0..self.short()?).map(|_| self.short());
        let formats: Vec<usize> = formats.collect::<Option<_>>()?;
        let values = (0..self.short()?).map(|_| match usize::try_from(self.long()?) {
            Ok(length) => self.bytes(length).map(Some),
            Err(_) => Some(None),
        });
        let values: Vec<_> = values.collect::<Option<_>>()?;
        let all_binary =
            values.is_empty() || (!formats.is_empty() && formats.iter().all(|it| *it == 1));
        all_binary.then_some((name, values))
    }
}
