//! A server with a fixed response: a handler behind the product's accept loop, shell and gate that returns the same
//! bytes each time. Its throughput is the limit that HTTP sets.

use std::{env, process::Command};

use anyhow::Context;
use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use lmn_partner_api::{
    app::App,
    config::Settings,
    router::{gate, shell},
    server, telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::server::lmn;

/// The environment variable with the size of the response, which makes this program run as that server.
const BYTES: &str = "BENCH_FIXED_BYTES";

/// Returns the size of the response, if this process is to run as that server.
pub fn wanted() -> Option<usize> {
    env::var(BYTES).ok()?.parse().ok()
}

/// Returns the command that starts the server: this program with the variable set.
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

/// Serves until SIGTERM.
pub async fn serve(bytes: usize) -> anyhow::Result<()> {
    let settings = Settings::load(None)?;
    let _log = telemetry::start(&settings.log);
    let listen = settings.server.listen;
    let app = App::start(settings).await?;
    // The server follows the catalogue as the real one does, and loads it before it is measured.
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
