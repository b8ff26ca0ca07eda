//! `lmn healthcheck`: asks a running server how it is, as a container's health check does.

use std::{io, net::SocketAddr};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Source, block_on, from_here, print};
use crate::settings::{self, Operator};

/// The most that is read of an answer.
const ANSWER_MAX: u64 = 64 * 1024;

/// The arguments of `lmn healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    source: Source,
    /// Ask only whether the process is alive, not whether it is ready.
    #[arg(long)]
    live: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a server answered.
struct Answer {
    status: u16,
    body: Value,
}

impl Healthcheck {
    /// Asks; anything but a good answer in time is a failure.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = self.source.config.as_deref();
        let operator = Operator::read(config, &settings::environment())?;
        let (path, good) = match self.live {
            true => ("/healthz", "alive"),
            false => ("/readyz", "ready"),
        };
        if operator.listen.port() == 0 {
            bail!("operator.listen has port 0, so nobody knows where to ask: give it a port");
        }
        let address = from_here(operator.listen);
        let url = format!("http://{address}{path}");
        let answer = block_on(async {
            timeout(operator.healthcheck, ask(address, path))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .with_context(|| format!("{url} does not answer"))
        });
        let says_good = |body: &Value| body.get("status").is_some_and(|it| it == good);
        let is_good = |it: &Answer| it.status == 200 && says_good(&it.body);
        let healthy = answer.as_ref().is_ok_and(is_good);
        if self.json {
            let body = answer.as_ref().ok().map(|it| &it.body);
            print(json!({"url": url, "healthy": healthy, "answer": body}))?;
        }
        let Answer { status, body } = answer?;
        if !healthy {
            bail!("{url} answers {status}: {}", reasons(&body));
        }
        Ok(())
    }
}

/// Returns what the server says that it lacks.
fn reasons(body: &Value) -> String {
    let missing = body.get("missing").and_then(Value::as_array);
    let messages = missing.into_iter().flatten();
    let messages = messages.filter_map(|it| it.get("message")?.as_str());
    match messages.collect::<Vec<_>>().join("; ") {
        reasons if reasons.is_empty() => "this is another program's".to_owned(),
        reasons => reasons,
    }
}

/// Sends one GET and reads its answer to the end.
async fn ask(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    read_answer(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

/// Reads the status and, where it is JSON, the body.
fn read_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.strip_prefix("HTTP/1.")?.split_whitespace();
    let status = words.nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).unwrap_or_default();
    Some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_json() {
        let ready = read_answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((ready.status, ready.body), (200, json!({})));
        let other = read_answer("HTTP/1.0 404 Not Found\r\n\r\n<html>").unwrap();
        assert_eq!((other.status, other.body), (404, Value::Null));
        for broken in [
            "",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 fine\r\n\r\n",
        ] {
            assert!(read_answer(broken).is_none(), "{broken}");
        }
    }
}
