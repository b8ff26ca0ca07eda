//! The surroundings of a server: its database, the limit of open files, and the signal that it does not end on.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{self, Settings},
    database::{self, Unreachable, Unsuitable},
};

/// The number of files that a server has open besides its connections: its log, its certificate, the runtime's own.
const FILES_BESIDES: u64 = 64;
const CANNOT_USE: &str = "the database cannot be used";

/// Refuses a database that cannot be reached or cannot be used safely.
pub(super) async fn check_requirements(settings: &Settings) -> anyhow::Result<()> {
    match database::check_requirements(&settings.database).await {
        Err(Unsuitable::Database(error)) => Err(explain(error, &settings.database)),
        checked => checked.context(CANNOT_USE),
    }
}

/// Returns the error of the first session: where the database is and why it cannot be reached, if that is the cause.
pub(super) fn explain(error: sqlx::Error, settings: &config::Database) -> anyhow::Error {
    match Unreachable::explain(&error, settings) {
        Some(unreachable) => unreachable.into(),
        None => anyhow::Error::new(error).context(CANNOT_USE),
    }
}

/// Raises the limit of open files, of which every connection is one, to the highest one that the system allows.
///
/// Most systems start a process with a limit of 1024, which is meant for programs that use `select`. Beyond the limit a
/// server can neither accept connections nor open sessions of the database, so a limit that is too low for the settings
/// is logged.
pub(super) fn raise_file_limit(settings: &Settings) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = Rlimit {
        current: maximum,
        maximum,
    };
    // Some systems refuse to raise it to no limit at all; then the limit stays.
    let limit = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let needed = count_files(settings);
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "the limit of open files is too low for server.connections_max and the other settings: connections beyond it wait, \
             and the database may be unreachable; raise it (`ulimit -Hn`, LimitNOFILE in systemd) or lower the settings"
        );
    }
}

/// Returns the number of files that a server has open at most.
fn count_files(settings: &Settings) -> u64 {
    let connections = [
        settings.server.connections_max,
        settings.operator.connections_max,
        settings.webhooks.sends_max,
    ];
    let connections = connections.into_iter().map(|it| it as u64);
    // Heartbeat and catalogue have a session each.
    let sessions = u64::from(settings.database.connections_max) + 2;
    connections.fold(FILES_BESIDES + sessions, u64::saturating_add)
}

/// Keeps the process alive on a SIGHUP, which makes a process with TLS check its certificate files; others have nothing
/// to reload. tokio keeps the handler until the process ends.
pub(super) fn survive_hangups() -> anyhow::Result<()> {
    let handled = signal(SignalKind::hangup()).map(drop);
    handled.context("signals cannot be handled")
}
