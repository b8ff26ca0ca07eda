//! The load generator over HTTP/1.1: each client keeps one connection and sends the next request as soon as it has the
//! response to the last one. Every response is checked, so that errors cannot make a run look fast.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

use super::{
    plan::Plan,
    process::Memory,
    report::{Latencies, Meter, Run},
    server::Server,
};

/// The properties that every response of a run must have.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The status.
    pub status: &'static str,
    /// A header.
    pub header: &'static str,
}

/// A client with a persistent connection.
pub struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// A response.
pub struct Answer<'a> {
    /// Status and headers.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Client {
    /// Connects to a server.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            answer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends a request and reads its response, which must be as expected.
    pub async fn ask(&mut self, request: &[u8], expected: Expected) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let (head, end) = loop {
            if let Some(ends) = ends(&self.answer)? {
                break ends;
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server hung up");
            }
        };
        let (head, body) = self.answer[..end].split_at(head);
        let status = head.get(9..12) == Some(expected.status.as_bytes());
        if !status || !contains(head, expected.header.as_bytes()) {
            let words = String::from_utf8_lossy(&self.answer);
            bail!("expected {expected:?}, but the response is {words}");
        }
        Ok(Answer { head, body })
    }
}

impl Answer<'_> {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> anyhow::Result<String> {
        let head = String::from_utf8_lossy(self.head);
        let value = head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.with_context(|| format!("no {name}"))?.to_owned())
    }
}

/// Returns the ends of head and body, once the response is complete.
fn ends(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let Some(head) = find(answer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let length = find(&answer[..head], LENGTH).context("a response without a length")?;
    let digits = answer[length + LENGTH.len()..]
        .iter()
        .take_while(|it| it.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    let (head, end) = (head + 4, head + 4 + length);
    Ok((answer.len() >= end).then_some((head, end)))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

/// The measured time of a run.
#[derive(Debug, Clone, Copy)]
struct Window {
    begins: Instant,
    ends: Instant,
}

/// The results of one client.
struct Done {
    latencies: Vec<Duration>,
    requests: usize,
}

/// Loads a server with requests; `request` writes the request of a client in a round.
pub async fn drive(
    server: &Server,
    postmaster: u32,
    (clients, plan): (usize, &Plan),
    expected: Expected,
    request: impl Fn(usize, usize, &mut Vec<u8>) + Clone + Send + 'static,
) -> anyhow::Result<Run> {
    let mut running = JoinSet::new();
    let begins = Instant::now() + plan.warm_up;
    let window = Window {
        begins,
        ends: begins + plan.measured,
    };
    let first_round = plan.first_round(clients);
    for client in 0..clients {
        let request = request.clone();
        let asking = Client::connect(server.address).await?;
        let ask = move |round, bytes: &mut Vec<u8>| request(client, round, bytes);
        running.spawn(keep_asking(asking, window, first_round, expected, ask));
    }
    let meter = Meter::new(postmaster, Some(server.pid()));
    sleep_until(window.begins.into()).await;
    let before = meter.read()?;
    sleep_until(window.ends.into()).await;
    let costs = meter.read()?.since(before);
    let memory = Memory::of(server.pid())?;
    let mut latencies = Vec::new();
    let mut all = 0;
    while let Some(done) = running.join_next().await {
        let done = done??;
        latencies.extend(done.latencies);
        all += done.requests;
    }
    Ok(Run {
        clients,
        rate: latencies.len() as f64 / plan.measured.as_secs_f64(),
        requests: latencies.len(),
        all,
        latencies: Latencies::of(latencies),
        costs,
        memory: Some(memory),
    })
}

async fn keep_asking(
    mut client: Client,
    window: Window,
    first_round: usize,
    expected: Expected,
    request: impl Fn(usize, &mut Vec<u8>),
) -> anyhow::Result<Done> {
    let mut done = Done {
        latencies: Vec::new(),
        requests: 0,
    };
    let mut bytes = Vec::new();
    let mut round = 0;
    loop {
        let asked = Instant::now();
        if asked >= window.ends {
            return Ok(done);
        }
        if asked >= window.begins && round < first_round {
            round = first_round;
        }
        bytes.clear();
        request(round, &mut bytes);
        client.ask(&bytes, expected).await?;
        let answered = Instant::now();
        done.requests += 1;
        if (window.begins..window.ends).contains(&answered) {
            done.latencies.push(answered - asked);
        }
        round += 1;
    }
}
