//! The command line: one binary, one file a command.
//!
//! Output is data on standard output and words on standard error. Exit 0: done; 1: refused or failed; 2: wrong usage.

mod allowlist;
mod auction;
mod audit;
mod catalog;
mod config;
mod dev;
mod dev_db;
mod errors;
mod healthcheck;
mod import;
mod import_summary;
mod key;
mod lines;
mod listings;
mod migrate;
mod openapi;
mod operator;
mod order;
mod partner;
mod report;
mod serve;
mod span;
mod step;
mod webhook;
mod worker;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::settings::Settings;

/// The partner API of LMN: browse Korean used cars, order them, follow them home.
///
/// Without a command it is `lmn dev`.
#[derive(Debug, Parser)]
#[command(name = "lmn", version)]
pub struct Lmn {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a sandbox on a PostgreSQL of its own, with a demo catalogue, a partner and its key.
    Dev(dev::Dev),
    /// Run the API on the database of the settings.
    Serve(serve::Serve),
    /// Bring the database of the settings up to date; a new one becomes one of the setting `environment`.
    Migrate(migrate::Migrate),
    /// Check the settings.
    #[command(subcommand)]
    Config(config::Config),
    /// Add and show partners, and set their limits.
    Partner(partner::PartnerCommand),
    /// Issue, rotate, revoke and list API keys.
    Key(key::KeyCommand),
    /// Say from which networks a partner may call.
    Allowlist(allowlist::Allowlist),
    /// Import a catalogue, or print a made-up one.
    Catalog(catalog::Catalog),
    /// Show any partner's order, and take it on.
    Order(order::OrderCommand),
    /// Settle and move auctions.
    Auction(auction::Auction),
    /// Report what should be looked after.
    Report(report::Report),
    /// Show a partner's webhook endpoint and deliveries, and send events again.
    Webhook(webhook::Webhook),
    /// Deliver events and do what time does to orders, apart from the servers.
    Worker(worker::Worker),
    /// Show who changed what, when, and under which request.
    Audit(audit::Audit),
    /// Ask the server of these settings whether it is ready.
    Healthcheck(healthcheck::Healthcheck),
    /// Print the OpenAPI document.
    Openapi(openapi::Openapi),
    /// Print the error catalogue.
    Errors(errors::Errors),
    /// Run or use the private PostgreSQL.
    #[command(hide = true, subcommand)]
    DevDb(dev_db::DevDb),
}

/// Where the settings come from.
#[derive(Debug, clap::Args)]
struct Source {
    /// A TOML file that is laid over the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn load(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(self.config.as_deref())?)
    }
}

impl Lmn {
    /// Runs the command and says how it ended.
    pub fn run(self) -> ExitCode {
        let done = match self
            .command
            .unwrap_or_else(|| Command::Dev(dev::Dev::default()))
        {
            Command::Dev(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Partner(command) => command.run(),
            Command::Key(command) => command.run(),
            Command::Allowlist(command) => command.run(),
            Command::Catalog(command) => command.run(),
            Command::Order(command) => command.run(),
            Command::Auction(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Webhook(command) => command.run(),
            Command::Worker(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Healthcheck(command) => command.run(),
            Command::Openapi(command) => command.run(),
            Command::Errors(command) => command.run(),
            Command::DevDb(command) => command.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(format_args!("lmn: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs a command's asynchronous part.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()
        .context("the runtime cannot start")?
        .block_on(command)
}

/// Returns where a server that listens on `address` is reached from its own machine.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match (address.ip(), address.ip().is_unspecified()) {
        (ip, false) => ip,
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Says something to the person at the terminal.
fn say(words: impl std::fmt::Display) {
    // Nobody is left to be told that standard error is gone.
    let _ = writeln!(io::stderr(), "{words}");
}

/// Prints data for a program.
fn print(data: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{data}").context("standard output is closed")
}
