//! One connection to the shared store, and what is asked over it: many requests at once, each one round trip.

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

use super::model::Policy;
use crate::settings::SharedLimits;

/// The arithmetic of `governor`, on the store's clock.
const SCRIPT: &str = include_str!("gcra.lua");
/// Requests handed to the connection's task that it has not written yet; more wait, within their time.
const UNWRITTEN_MAX: usize = 1024;

/// Why the store did not count.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It said nothing to anybody in this time.
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    /// It was late with this answer, but gave others meanwhile.
    #[error("it was slow")]
    Slow,
    /// It cannot be reached, or refuses.
    #[error(transparent)]
    Refused(#[from] RedisError),
}

/// A connection that has counted once.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// The digest by which the store knows the script.
    script: Arc<str>,
    patience: Duration,
    /// How often it has answered.
    answers: Arc<AtomicU64>,
}

/// What the store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// How long the request must wait; nothing if it passes.
    pub(super) wait: Duration,
    /// Time until the burst is whole again.
    pub(super) full_in: Duration,
}

impl Link {
    /// Connects, teaches the store the script, and counts under `probe` to see that it can.
    pub(super) async fn open(settings: &SharedLimits, probe: &str) -> Result<Self, Failure> {
        let connected = timeout(settings.connect, Self::connect(settings)).await;
        let link = connected.map_err(|_| Failure::Silent(settings.connect))??;
        link.check(probe).await?;
        Ok(link)
    }

    async fn connect(settings: &SharedLimits) -> Result<Self, RedisError> {
        // Whoever asks keeps the time.
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

    /// Counts under a name of its own: whoever can do that can do all that requests need.
    pub(super) async fn check(&self, probe: &str) -> Result<(), Failure> {
        let one = Policy::new(1, 1, 1);
        match one {
            Some(policy) => self.count(probe, policy, Duration::ZERO).await.map(drop),
            None => Ok(()),
        }
    }

    /// Counts one request of `key` under a policy; its burst is known not to be whole again before `unheard`, if that is
    /// more than nothing.
    pub(super) async fn count(
        &self,
        key: &str,
        policy: Policy,
        unheard: Duration,
    ) -> Result<Counted, Failure> {
        let (interval, burst) = (nanoseconds(policy.interval()), policy.burst());
        let unheard = nanoseconds(unheard);
        let ask = async |command: &str, script: &str| -> Result<(u64, u64), RedisError> {
            let mut asked = cmd(command);
            asked.arg(script).arg(1).arg(key);
            asked.arg(interval).arg(burst).arg(unheard);
            asked.query_async(&mut self.connection.clone()).await
        };
        let asking = async {
            match ask("EVALSHA", &self.script).await {
                // It has forgotten its scripts. This way it learns this one again.
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

/// Reads where the store is, and whom to believe that it is the one.
fn client(settings: &SharedLimits) -> Result<Client, RedisError> {
    // Nothing is held back to fill a packet: a request waits for the answer.
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

    /// A store that lets one request pass a probe, and answers `early` only when `late` has come, and `late` never.
    async fn store(listener: TcpListener) -> io::Result<()> {
        let (stream, _) = listener.accept().await?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        // A command is `*3`, then for each word its length and itself; a script has lines of its own, which no word is.
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
    async fn a_late_answer_is_no_silence_while_others_arrive() {
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
            let alone = count("other").await;
            assert!(matches!(alone, Err(Failure::Silent(_))), "{alone:?}");
        };
        tokio::select! {
            ended = store(listener) => panic!("{ended:?}"),
            () = asking => {}
        }
    }
}
