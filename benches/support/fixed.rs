//! The same server with nothing to do: behind the same accept loop, shell and gate a handler that gives the same bytes
//! each time. What it reaches is what HTTP allows.

use std::{env, process::Command};

use anyhow::Context;
use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use lmn_partner_api::{
    app::App,
    router::{gate, shell},
    server,
    settings::Settings,
    telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::server::lmn;

/// The variable that says how many bytes the answer has, to the benchmark itself when it is this server.
const BYTES: &str = "BENCH_FIXED_BYTES";

/// Returns how many bytes are to be given, if this process is to be that server.
pub fn wanted() -> Option<usize> {
    env::var(BYTES).ok()?.parse().ok()
}

/// Makes the command of it: this very program.
pub fn command(database_url: &str, bytes: usize) -> anyhow::Result<Command> {
    let like = lmn(
        &[],
        &[
            ("DATABASE_URL", database_url),
            ("LMN_SERVER__LISTEN", "127.0.0.1:0"),
        ],
    );
    let mut command = Command::new(env::current_exe()?);
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env(BYTES, bytes.to_string());
    Ok(command)
}

/// Serves until it is told to stop.
pub async fn serve(bytes: usize) -> anyhow::Result<()> {
    let settings = Settings::load(None)?;
    let _log = telemetry::start(&settings.log);
    let listen = settings.server.listen;
    let app = App::start(settings).await?;
    // It follows the catalogue as the real one does, and has loaded it before it is measured.
    app.catch_up().await;
    let body = Bytes::from(vec![b'7'; bytes]);
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
    let routes = Router::new().route("/v1/vehicles", get(answer));
    let router = shell(gate(routes, &app), app.clone());
    let listener = TcpListener::bind(listen).await?;
    println!(r#"{{"url":"http://{}"}}"#, listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate()).context("listening to signals")?;
    let stop = async move {
        terminate.recv().await;
    };
    server::serve(&app, listener, router, stop).await?;
    app.stop().await;
    Ok(())
}
