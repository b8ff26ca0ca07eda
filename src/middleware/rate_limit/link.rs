//! One connection to the shared store. Requests are pipelined over it; each costs one round trip.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind,
    TlsCertificates, aio::MultiplexedConnection, cmd, io::tcp::TcpSettings,
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::{config::SharedLimits, values::rate_limit::Policy};

/// The algorithm of `governor`, on the store's clock.
const SCRIPT: &str = include_str!("gcra.lua");
/// The most requests that are queued for the connection but not written; further ones wait, within their time-out.
const UNWRITTEN_MAX: usize = 1024;
/// More probes than the replicas of one store send in a second.
const PROBES_PER_SECOND: u32 = 10_000;

/// The reason why the store did not count a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It answered no request within this time.
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    /// It did not answer this request in time, but answered others meanwhile.
    #[error("it was slow")]
    Slow,
    /// It is unreachable, or it returned an error.
    #[error(transparent)]
    Refused(#[from] RedisError),
}

impl Failure {
    /// Returns whether the store was reached and returned an error.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Slow => false,
            Self::Refused(error) => error.kind() != ErrorKind::Io,
        }
    }
}

/// A connection that has passed its check.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// The digest of the script in the store.
    script: Arc<str>,
    patience: Duration,
    /// The number of answers received.
    answers: Arc<AtomicU64>,
}

/// An answer of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// The time that the request must wait; zero if it is admitted.
    pub(super) wait: Duration,
    /// The time until the whole burst is available again.
    pub(super) full_in: Duration,
}

impl Link {
    /// Connects, loads the script into the store, and counts once under `probe` to check that it works.
    pub(super) async fn open(settings: &SharedLimits, probe: &str) -> Result<Self, Failure> {
        let connected = timeout(settings.connect, Self::connect(settings)).await;
        let link = connected.map_err(|_| Failure::Silent(settings.connect))??;
        link.check(probe).await?;
        Ok(link)
    }

    async fn connect(settings: &SharedLimits) -> Result<Self, RedisError> {
        // The callers apply their own time-outs.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(UNWRITTEN_MAX);
        let mut connection = client(settings)?
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let script: String = cmd("SCRIPT")
            .arg("LOAD")
            .arg(SCRIPT)
            .query_async(&mut connection)
            .await?;
        Ok(Self {
            connection,
            script: script.into(),
            patience: settings.patience,
            answers: Arc::default(),
        })
    }

    /// Counts one request under the name `probe`: this checks everything that requests need.
    ///
    /// The policy admits every probe, because a store writes only what it admits, and a read-only one must be noticed.
    pub(super) async fn check(&self, probe: &str) -> Result<(), Failure> {
        match Policy::new(PROBES_PER_SECOND, 1, PROBES_PER_SECOND) {
            Some(policy) => self.count(probe, policy, Duration::ZERO).await.map(drop),
            None => Ok(()),
        }
    }

    /// Counts one request of `key` under a policy. If `unreported` is not zero, the burst is known not to be whole
    /// again before that time.
    pub(super) async fn count(
        &self,
        key: &str,
        policy: Policy,
        unreported: Duration,
    ) -> Result<Counted, Failure> {
        let (interval, burst) = (nanoseconds(policy.interval()), policy.burst());
        let unreported = nanoseconds(unreported);
        let ask = async |command: &str, script: &str| -> Result<(u64, u64), RedisError> {
            let mut asked = cmd(command);
            asked.arg(script).arg(1).arg(key);
            asked.arg(interval).arg(burst).arg(unreported);
            asked.query_async(&mut self.connection.clone()).await
        };
        let asking = async {
            match ask("EVALSHA", &self.script).await {
                // The store has lost its scripts; `EVAL` loads this one again.
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    ask("EVAL", SCRIPT).await
                }
                counted => counted,
            }
        };
        let answers = self.answers.load(Ordering::Relaxed);
        let Ok(counted) = timeout(self.patience, asking).await else {
            let is_silent = self.answers.load(Ordering::Relaxed) == answers;
            return Err(match is_silent {
                true => Failure::Silent(self.patience),
                false => Failure::Slow,
            });
        };
        let (wait, full_in) = counted?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(Counted {
            wait: Duration::from_nanos(wait),
            full_in: Duration::from_nanos(full_in),
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Creates the client from the store's URL and the certificate authority to trust.
fn client(settings: &SharedLimits) -> Result<Client, RedisError> {
    // Nagle's algorithm is off: a request waits for each answer.
    let at = settings
        .url
        .expose_secret()
        .into_connection_info()?
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    match &settings.authority {
        None => Client::open(at),
        Some(authority) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(authority.clone()),
            };
            Client::build_with_tls(at, certificates)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::TcpListener,
    };

    use super::*;

    /// Runs a store that answers `probe`, and `early` only when `late` has arrived; `late` itself is never answered.
    async fn store(listener: TcpListener) -> io::Result<()> {
        let (stream, _) = listener.accept().await?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        // A command is `*3` and then, for each word, its length and the word; no line of the script equals a word
        // below.
        let mut words: Vec<String> = Vec::new();
        while let Some(line) = lines.next_line().await? {
            words.push(line);
            let answer: &[u8] = match words.last().map(String::as_str) {
                Some("SETINFO") => b"+OK\r\n",
                Some("LOAD") => b"$5\r\nknown\r\n",
                Some("probe" | "late") => b"*2\r\n:0\r\n:7\r\n",
                _ => continue,
            };
            write.write_all(answer).await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn late_answer_is_slow_not_silent_while_others_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let settings = SharedLimits {
            url: url.into(),
            authority: None,
            patience: Duration::from_secs(1),
            connect: Duration::from_secs(20),
            retry: Duration::from_secs(20),
        };
        let asking = async {
            let link = Link::open(&settings, "probe").await.unwrap();
            let policy = Policy::new(1, 1, 1).unwrap();
            let count = |key| link.count(key, policy, Duration::ZERO);
            let (early, late) = tokio::join!(count("early"), count("late"));
            assert_eq!(early.unwrap().full_in, Duration::from_nanos(7));
            assert!(matches!(late, Err(Failure::Slow)), "{late:?}");
            let unanswered = count("other").await;
            assert!(
                matches!(unanswered, Err(Failure::Silent(_))),
                "{unanswered:?}"
            );
        };
        tokio::select! {
            ended = store(listener) => panic!("{ended:?}"),
            () = asking => {}
        }
    }
}
