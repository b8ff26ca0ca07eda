//! Readiness: the conditions that a replica does not meet yet.

use std::{fmt, time::Duration};

/// The state of a replica at the time of a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Whether the server is stopping.
    pub(crate) stopping: bool,
    /// The time since the last response of the database.
    pub(crate) silence: Duration,
    /// The number of this binary's migrations that the database lacked at that time.
    pub(crate) pending: usize,
    /// Whether the catalogue is being loaded.
    pub(crate) is_loading: bool,
}

/// A condition of readiness that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The server is stopping: it finishes the requests in progress and takes no new ones.
    Stopping,
    /// The database does not respond.
    Database {
        /// The time since its last response.
        silence: Duration,
    },
    /// The schema of the database is older than this binary.
    Migrations {
        /// The number of missing migrations.
        pending: usize,
    },
    /// The catalogue is not loaded yet.
    Catalogue,
}

impl Missing {
    /// Returns the machine-readable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::Database { .. } => "database",
            Self::Migrations { .. } => "migrations",
            Self::Catalogue => "catalogue",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => write!(f, "the server is stopping"),
            Self::Database { silence } => {
                let seconds = silence.as_secs_f64();
                write!(f, "the database was not heard for {seconds:.1} s")
            }
            Self::Migrations { pending } => {
                write!(
                    f,
                    "the database lacks {pending} migrations; run `lmn migrate`"
                )
            }
            Self::Catalogue => write!(f, "the catalogue is being loaded"),
        }
    }
}

/// Returns the conditions that are not met; none if the replica is ready.
///
/// `limit` is the time without a response after which the database counts as missing.
pub(crate) fn missing(facts: &Facts, limit: Duration) -> Vec<Missing> {
    let Facts {
        stopping,
        silence,
        pending,
        is_loading,
    } = *facts;
    let stopping = stopping.then_some(Missing::Stopping);
    let database = (silence >= limit).then_some(Missing::Database { silence });
    let migrations = (pending > 0).then_some(Missing::Migrations { pending });
    let catalogue = is_loading.then_some(Missing::Catalogue);
    [stopping, database, migrations, catalogue]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_is_ready_when_nothing_is_missing() {
        let limit = Duration::from_secs(2);
        let ready = Facts {
            stopping: false,
            silence: Duration::from_millis(1999),
            pending: 0,
            is_loading: false,
        };
        let names = |facts: &Facts| -> Vec<_> {
            missing(facts, limit)
                .into_iter()
                .map(Missing::name)
                .collect()
        };
        assert_eq!(names(&ready), [""; 0]);
        let all = Facts {
            stopping: true,
            silence: limit,
            pending: 3,
            is_loading: true,
        };
        let every = ["stopping", "database", "migrations", "catalogue"];
        assert_eq!(names(&all), every);
        for (facts, name) in [
            (
                Facts {
                    stopping: true,
                    ..ready
                },
                "stopping",
            ),
            (
                Facts {
                    silence: limit,
                    ..ready
                },
                "database",
            ),
            (
                Facts {
                    pending: 1,
                    ..ready
                },
                "migrations",
            ),
            (
                Facts {
                    is_loading: true,
                    ..ready
                },
                "catalogue",
            ),
        ] {
            assert_eq!(names(&facts), [name]);
        }
    }
}
