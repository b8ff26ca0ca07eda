//! `lmn serve`: runs the API on the configured database. `lmn worker`: runs the webhook deliveries and the background
//! jobs, apart from the servers. `lmn migrate`: brings the schema up to date.

use std::{io, net::SocketAddr};

use anyhow::{Context, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::{
    Source, block_on, print_outcome, say,
    system::{check_requirements, raise_file_limit, survive_hangups},
    url_from_here,
};
use crate::{
    app::App,
    config::Settings,
    database::{self, Database, Migrated},
    router::{operator_router, router},
    server,
    telemetry::{self, metrics::Metrics},
    vehicles::render::render_all,
};

/// The cause if the cryptography provider of TLS cannot be used.
const TLS_UNUSABLE: &str = "TLS cannot be used";

/// The arguments of `lmn serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Bring the schema of the database up to date first.
    #[arg(long)]
    migrate: bool,
    /// Leave the webhook deliveries and the background jobs to `lmn worker`.
    #[arg(long)]
    no_worker: bool,
    /// Print one line of JSON once the server is ready, with the URLs of the API and of the operator's listener.
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Runs the server until the process receives a stop signal.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Held until the end, so that all log lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(async move {
            survive_hangups()?;
            if self.migrate {
                migrate(&settings).await?;
            }
            serve(settings, !self.no_worker, |at| match self.json {
                true => print_outcome(
                    serde_json::json!({"url": at.url, "operator_url": at.operator_url}),
                ),
                false => Ok(()),
            })
            .await
        })
    }
}

/// The URLs of a server on its own machine.
pub(super) struct Reached {
    /// The URL of the API.
    pub(super) url: String,
    /// The URL of the operator's listener.
    pub(super) operator_url: String,
}

/// Runs a server until the process receives a stop signal. Calls `ready` once the catalogue is loaded.
pub(super) async fn serve(
    settings: Settings,
    is_worker: bool,
    ready: impl FnOnce(&Reached) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (server, operator) = (settings.server.listen, settings.operator.listen);
    raise_file_limit(&settings);
    check_requirements(&settings).await?;
    let app = App::start(settings)
        .await
        .context("the database is not ready")?;
    let (listener, address) = listen("server.listen", server).await?;
    let (operator_listener, operator_address) = listen("operator.listen", operator).await?;
    let mut signals = Signals::new()?;
    let environment = app.settings().environment.as_str();
    tracing::info!(%address, %operator_address, environment, "listening");
    let reached = Reached {
        url: url_from_here(address, app.settings().server.tls.is_some()),
        operator_url: operator_url(&app, operator_address),
    };
    // Probes are answered while the catalogue is loading.
    let announced = async {
        app.catalogue().loaded().await;
        match ready(&reached) {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    app.jobs().start_backlog();
    if is_worker {
        app.jobs().start_worker().context(TLS_UNUSABLE)?;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    // The operator's listener closes after that of the partners, so that probes can report the draining.
    let (drained, is_drained) = oneshot::channel::<()>();
    let partners = async {
        let stopped = async { stopped.await.unwrap_or_default() };
        let served = server::serve(&app, listener, router(app.clone()), stopped).await;
        drop(drained);
        served.context(TLS_UNUSABLE)
    };
    let probes = async {
        let is_drained = async { is_drained.await.unwrap_or_default() };
        let router = operator_router(app.clone());
        let served = server::serve_operator(&app, operator_listener, router, is_drained).await;
        served.context(TLS_UNUSABLE)
    };
    let serving = async {
        let served = tokio::try_join!(partners, probes);
        app.stop().await;
        served.map(drop)
    };
    let stopped_twice = async {
        signals.next().await;
        tracing::info!("stopping");
        drop(stop);
        signals.next().await;
    };
    tokio::select! {
        served = serving => served,
        error = announced => Err(error),
        () = stopped_twice => bail!("a second stop signal has aborted the requests in progress"),
    }
}

/// Returns the URL of the operator's listener on its own machine.
fn operator_url(app: &App, address: SocketAddr) -> String {
    url_from_here(address, app.settings().operator.tls.is_some())
}

/// The arguments of `lmn worker`.
#[derive(Debug, clap::Args)]
pub(super) struct Worker {
    #[command(flatten)]
    source: Source,
    /// Print one line of JSON once the worker runs, with the URL of the operator's listener.
    #[arg(long)]
    json: bool,
}

impl Worker {
    /// Runs the worker until the process receives a stop signal. Any number of workers may run.
    ///
    /// It serves probes and metrics on the operator's listener, as a server does.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        // Held until the end, so that all log lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(async move {
            survive_hangups()?;
            raise_file_limit(&settings);
            check_requirements(&settings).await?;
            let app = App::start_without_catalogue(settings)
                .await
                .context("the database is not ready")?;
            let (listener, address) =
                listen("operator.listen", app.settings().operator.listen).await?;
            let mut signals = Signals::new()?;
            app.jobs().start_backlog();
            app.jobs().start_worker().context(TLS_UNUSABLE)?;
            tracing::info!(operator_address = %address, "worker started");
            if self.json {
                let operator_url = operator_url(&app, address);
                print_outcome(serde_json::json!({"working": true, "operator_url": operator_url}))?;
            }
            let (stop, stopped) = oneshot::channel::<()>();
            let probes = async {
                let stopped = async { stopped.await.unwrap_or_default() };
                let router = operator_router(app.clone());
                let served = server::serve_operator(&app, listener, router, stopped).await;
                served.context(TLS_UNUSABLE)
            };
            let working = async {
                signals.next().await;
                app.drain();
                app.stop().await;
                drop(stop);
                Ok(())
            };
            tokio::try_join!(probes, working).map(drop)
        })
    }
}

/// The arguments of `lmn migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    source: Source,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Migrate {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.source.load()?;
        let environment = settings.environment;
        let migrated = block_on(async move { migrate(&settings).await })?;
        let environment = environment.as_str();
        if self.json {
            print_outcome(serde_json::json!({
                "environment": environment,
                "migrations": database::MIGRATOR.iter().count(),
                "newer_migrations": migrated.newer,
            }))
        } else {
            say(format_args!("The {environment} database is up to date."));
            Ok(())
        }
    }
}

/// Brings the schema up to date, and renders the vehicles that lack their JSON.
///
/// A schema that is newer than this binary and still serves it is left as it is, with a notice.
pub(super) async fn migrate(settings: &Settings) -> anyhow::Result<Migrated> {
    check_requirements(settings).await?;
    let migrated = database::migrate_at(&settings.database, settings.environment)
        .await
        .context("migrating")
        .map_err(|error| match lacks_privilege(&error) {
            true => error.context(NO_PRIVILEGE),
            false => error,
        })?;
    if migrated.newer > 0 {
        say(format_args!(
            "The schema is newer than this binary by {} migrations, and serves it nevertheless.",
            migrated.newer
        ));
    }
    let database = Database::connect(&settings.database, Metrics::new())?;
    render_all(&database, settings.catalogue.render_batch)
        .await
        .context("rendering the vehicles")?;
    database.close().await;
    Ok(migrated)
}

/// The remedy if the role of the database may not create tables: since PostgreSQL 15 only its owner may.
const NO_PRIVILEGE: &str = "the role in DATABASE_URL may not change the schema: make it the owner of the database (`alter database … owner \
                            to …`), or run `lmn migrate` with the URL of the owner";

/// Returns whether the role of the database lacks a privilege.
fn lacks_privilege(error: &anyhow::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let causes = error.chain();
    let mut causes = causes.filter_map(|it| it.downcast_ref::<sqlx::Error>());
    causes.any(|it| {
        let code = it.as_database_error().and_then(|it| it.code());
        code.as_deref() == Some(INSUFFICIENT_PRIVILEGE)
    })
}

/// Listens on the address of a setting, and returns the listener with its actual address.
async fn listen(setting: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({setting})"))?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    Ok((listener, address))
}

/// The signals that stop a process: SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Registers handlers for the signals.
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
