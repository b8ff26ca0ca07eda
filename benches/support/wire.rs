//! A wire with an ear on it: stands before PostgreSQL and remembers what the server sends.
//!
//! It understands as much of the frontend protocol as is needed to tell which statement was sent with which values, and
//! no encryption:
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

/// What a socket is called in its folder.
const SOCKET: &str = ".s.PGSQL.5432";
/// How long the server may take to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(10);

/// A statement as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its text, with `$n`.
    pub sql: String,
    /// Its values: their types and bytes in the binary format, `None` for null.
    pub values: Vec<(u32, Option<Vec<u8>>)>,
}

/// What was sent between two moments.
#[derive(Debug, Default)]
pub struct Heard {
    /// The statements.
    pub statements: Vec<Sent>,
    /// Round trips without a statement: questions whether the connection is alive.
    pub pings: usize,
}

/// The ear.
#[derive(Debug, Clone, Default)]
pub struct Ear {
    lines: Arc<Mutex<Vec<Line>>>,
    changed: Arc<Notify>,
}

/// What was heard on one connection.
#[derive(Debug, Default)]
struct Line {
    prepared: HashMap<String, (String, Vec<u32>)>,
    heard: Heard,
    /// What a misunderstood message was.
    misheard: Option<String>,
    /// Carries the heartbeat or the catalogue's changes, and nothing of a request.
    is_background: bool,
    has_statement: bool,
    /// Answers that are due.
    waiting: usize,
    in_transaction: bool,
}

impl Ear {
    /// Listens in `folder` and passes everything on to the socket in another.
    pub fn listen(folder: &Path, server: &Path) -> anyhow::Result<Self> {
        let ear = Self::default();
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let (server, heard) = (server.join(SOCKET), ear.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(heard.clone().pass_on(client, server.clone()));
            }
        });
        Ok(ear)
    }

    /// Waits until the server waits for nothing, and returns what it sent since the last time.
    pub async fn take(&self) -> anyhow::Result<Heard> {
        let rested = async {
            loop {
                let changed = self.changed.notified();
                if self.with(|lines| lines.iter().all(Line::rests)) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(REST_LIMIT, rested)
            .await
            .context("the server does not come to rest")?;
        self.with(|lines| {
            let mut all = Heard::default();
            for line in lines.iter_mut().filter(|line| !line.is_background) {
                if let Some(misheard) = line.misheard.take() {
                    bail!("the benchmark does not understand what the server sent: {misheard}");
                }
                let heard = std::mem::take(&mut line.heard);
                all.statements.extend(heard.statements);
                all.pings += heard.pings;
            }
            Ok(all)
        })
    }

    async fn pass_on(self, client: UnixStream, server: PathBuf) {
        let Ok(server) = UnixStream::connect(server).await else {
            return;
        };
        let number = self.with(|lines| {
            lines.push(Line::default());
            lines.len() - 1
        });
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let asking = self.clone().copy(
            from_client,
            to_server,
            true,
            move |line, tag, body| {
                line.hear_client(tag, body);
            },
            number,
        );
        let answering = self.clone().copy(
            from_server,
            to_client,
            false,
            |line, tag, body| {
                line.hear_server(tag, body);
            },
            number,
        );
        tokio::join!(asking, answering);
    }

    /// Copies messages one by one, each heard before it is passed on.
    async fn copy(
        self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
        mut is_startup: bool,
        hear: impl Fn(&mut Line, u8, &[u8]),
        number: usize,
    ) {
        let mut bytes = Vec::new();
        while let Ok(1..) = from.read_buf(&mut bytes).await {
            let mut passed = 0;
            while let Some(length) = message_length(&bytes[passed..], is_startup) {
                let message = &bytes[passed..passed + length];
                if !is_startup {
                    self.with(|lines| hear(&mut lines[number], message[0], &message[5..]));
                }
                is_startup = false;
                passed += length;
            }
            if to.write_all(&bytes[..passed]).await.is_err() {
                break;
            }
            bytes.drain(..passed);
            self.changed.notify_waiters();
        }
        let _ = to.shutdown().await;
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Line>) -> T) -> T {
        look(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns how long the first message is, once it is there whole; only the very first has no tag.
fn message_length(bytes: &[u8], is_startup: bool) -> Option<usize> {
    let tag = usize::from(!is_startup);
    let length = bytes.get(tag..tag + 4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize + tag;
    (bytes.len() >= length).then_some(length)
}

impl Line {
    fn rests(&self) -> bool {
        self.is_background || (self.waiting == 0 && !self.in_transaction)
    }

    fn hear_server(&mut self, tag: u8, body: &[u8]) {
        if tag == b'Z' {
            self.waiting = self.waiting.saturating_sub(1);
            self.in_transaction = body != b"I";
        }
    }

    fn hear_client(&mut self, tag: u8, body: &[u8]) {
        let mut fields = Fields(body);
        let understood = match tag {
            b'Q' => fields.text().map(|sql| {
                self.is_background |= sql.starts_with("LISTEN");
                self.say(Sent {
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
                self.say(sent);
                Some(())
            }),
            b'S' => {
                self.heard.pings += usize::from(!self.has_statement);
                Some(())
            }
            // Describe, Execute, Close and Flush go with a Bind; Terminate and the password end and begin a line.
            b'D' | b'E' | b'C' | b'H' | b'X' | b'p' => Some(()),
            _ => None,
        };
        if matches!(tag, b'Q' | b'S') {
            self.waiting += 1;
            self.has_statement = false;
        }
        if understood.is_none() {
            self.misheard = Some(format!(
                "a message `{}` of {} bytes",
                char::from(tag),
                body.len()
            ));
        }
    }

    fn say(&mut self, sent: Sent) {
        self.heard.statements.push(sent);
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
