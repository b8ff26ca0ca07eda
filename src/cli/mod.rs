//! The command line of the binary `lmn`: a file per command or group of related commands.
//!
//! Data goes to standard output, messages go to standard error. The exit code is 0 for success, 1 for a refusal or a
//! failure, and 2 for wrong usage.

mod arguments;
mod auction;
mod catalog;
mod certify;
mod dev;
pub mod dev_db;
mod dev_demo;
mod documents;
mod healthcheck;
mod import;
mod import_file;
mod key;
mod operator;
mod order;
mod partner;
mod progress;
mod report;
mod request;
mod serve;
mod system;
mod webhook;

use std::{
    collections::HashSet,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand, builder::Styles};

use crate::{
    config::{self, ConfigErrors, Settings},
    openapi::operations,
    router::document,
};

/// Time for threads that do blocking work, such as a name look-up that nobody answers, when a command ends.
const THREADS_STOP: Duration = Duration::from_secs(1);
const CLOSED: &str = "standard output is closed";
/// The version, with the commit that the binary was built from, and its date.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("LMN_COMMIT"),
    " ",
    env!("LMN_COMMIT_DATE"),
    ")"
);

/// The groups in the order of the help, with the names of their commands: clap has one list of commands, without headings.
const HELP_GROUPS: [(&str, &[&str]); 6] = [
    (
        "Run",
        &["dev", "serve", "worker", "migrate", "config", "healthcheck"],
    ),
    ("Orders", &["order", "auction"]),
    ("Catalogue", &["catalog"]),
    ("Partners", &["partner", "key", "allowlist", "webhook"]),
    ("Reports", &["report", "request", "audit", "operator"]),
    (
        "Documents and tools",
        &["certify", "openapi", "errors", "completions"],
    ),
];

/// The LMN partner API: browse, order and track used vehicles from Korea.
///
/// Without a command, `lmn` runs `lmn dev`.
#[derive(Debug, Parser)]
#[command(name = "lmn", version = VERSION, help_template = help_template())]
pub struct Lmn {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a sandbox with demo data on a private PostgreSQL server.
    ///
    /// It has a catalogue, a partner and an API key, and needs no set-up.
    Dev(dev::Dev),
    /// Run the API on the configured database.
    Serve(serve::Serve),
    /// Bring the schema of the configured database up to date.
    ///
    /// A new database gets the configured environment.
    Migrate(serve::Migrate),
    /// Check the settings.
    #[command(subcommand)]
    Config(documents::Config),
    /// Add and show partners, and set their rate limits and contacts.
    Partner(partner::PartnerCommand),
    /// Issue, rotate, revoke and list API keys.
    Key(key::KeyCommand),
    /// Manage the networks that a partner may call from.
    Allowlist(partner::Allowlist),
    /// Add, list and revoke the operators who may use the operator API.
    Operator(operator::OperatorCommand),
    /// Import a catalogue, change vehicles, or print a demo catalogue.
    Catalog(catalog::Catalog),
    /// List and show orders of any partner, and change them.
    Order(order::OrderCommand),
    /// Show what to bid on, acquire, record results and reschedule.
    Auction(auction::Auction),
    /// List orders that need attention.
    Report(report::Report),
    /// Show and list the requests in the request log.
    Request(request::RequestCommand),
    /// Show an endpoint and its deliveries, and send events again.
    Webhook(webhook::Webhook),
    /// Run webhook deliveries and background jobs apart from servers.
    Worker(serve::Worker),
    /// List the changes in the audit log, with authors and times.
    Audit(report::Audit),
    /// Check whether the server of these settings is ready.
    Healthcheck(healthcheck::Healthcheck),
    /// Check a partner's integration with a sandbox.
    ///
    /// It checks the orders, the webhook endpoint and its receiver.
    Certify(certify::Certify),
    /// Print the OpenAPI document.
    Openapi(documents::Openapi),
    /// Print the error catalogue.
    Errors(documents::Errors),
    /// Print the completions of a shell.
    Completions(documents::Completions),
    /// Run or use the private PostgreSQL server.
    #[command(hide = true, subcommand)]
    DevDb(dev_db::DevDb),
}

/// The option for the settings file.
#[derive(Debug, clap::Args)]
struct Source {
    /// A TOML file whose settings override the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    /// Reads the settings of this process, and warns of variables that look like misspelled ones.
    fn load(&self) -> anyhow::Result<Settings> {
        warn_of_slips(&config::environment());
        Ok(Settings::load(self.config.as_deref()).and_then(check_deprecations)?)
    }
}

/// Refuses settings that deprecate an operation that the deployment does not have.
fn check_deprecations(settings: Settings) -> Result<Settings, ConfigErrors> {
    if settings.deprecations.is_empty() {
        return Ok(settings);
    }
    let document = document(&settings);
    let known: HashSet<&str> = operations(&document).map(|(id, _, _)| id).collect();
    let ids = settings.deprecations.keys();
    let unknown = ids.filter(|id| !known.contains(id.as_str()));
    let environment = settings.environment.as_str();
    let errors: Vec<_> = unknown
        .map(|id| format!("deprecations.{id}: is not an operation in a {environment} deployment"))
        .collect();
    match errors.is_empty() {
        true => Ok(settings),
        false => Err(ConfigErrors(errors)),
    }
}

impl Lmn {
    /// Runs the command and returns its exit code.
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
            Command::Operator(command) => command.run(),
            Command::Catalog(command) => command.run(),
            Command::Order(command) => command.run(),
            Command::Auction(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Request(command) => command.run(),
            Command::Webhook(command) => command.run(),
            Command::Worker(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Healthcheck(command) => command.run(),
            Command::Certify(command) => command.run(),
            Command::Openapi(command) => command.run(),
            Command::Errors(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::DevDb(command) => command.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.is::<ReadEnough>() => ExitCode::SUCCESS,
            Err(error) => {
                say(format_args!("lmn: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs the asynchronous part of a command on a new runtime.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(THREADS_STOP);
    done
}

/// Returns the address at which a server that listens on `address` is reached from the same machine.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match (address.ip(), address.ip().is_unspecified()) {
        (ip, false) => ip,
        (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// Returns the URL at which this machine reaches a listener.
fn url_from_here(address: SocketAddr, has_tls: bool) -> String {
    let scheme = match has_tls {
        true => "https",
        false => "http",
    };
    format!("{scheme}://{}", from_here(address))
}

/// Prints a warning for each variable that looks like the misspelled name of a setting.
fn warn_of_slips(variables: &[(String, String)]) {
    for slip in config::find_slips(variables) {
        say(format_args!("lmn: warning: {slip}"));
    }
}

/// Prints a message to standard error.
fn say(message: impl std::fmt::Display) {
    // There is no other way to report that standard error is closed.
    let _ = writeln!(io::stderr(), "{message}");
}

/// The reason why a list or a document ends early: its reader has closed the pipe, as `head` does.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has closed it")]
struct ReadEnough;

/// Prints a list or a document to standard output. If its reader closes the pipe, it has read enough: the command ends
/// here, and successfully.
fn print(data: impl std::fmt::Display) -> anyhow::Result<()> {
    written(writeln!(io::stdout(), "{data}"))
}

/// Prints the outcome of a change or a check to standard output. A closed pipe is a failure: the outcome would be
/// missed, and a key is never shown again.
fn print_outcome(data: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{data}").context(CLOSED)
}

/// Returns the result of writing a part of a list or a document.
fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReadEnough.into()),
        result => result.context(CLOSED),
    }
}

/// Returns the template of the help, with the commands as they describe themselves.
fn help_template() -> String {
    let styles = Styles::default();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let commands = Command::augment_subcommands(clap::Command::new("lmn"));
    let names = HELP_GROUPS.iter().flat_map(|(_, names)| *names);
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let mut template = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (group, names) in HELP_GROUPS {
        template += &format!("\n{header}{group}:{header:#}\n");
        for command in names.iter().filter_map(|it| commands.find_subcommand(it)) {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string);
            let (about, padding) = (about.unwrap_or_default(), width - name.len());
            template += &format!("  {literal}{name}{literal:#}{:padding$}  {about}\n", "");
        }
    }
    template += &format!("\n{header}Options:{header:#}\n{{options}}{{after-help}}");
    template
}

#[cfg(test)]
mod tests {
    use clap::builder::StyledStr;

    use super::*;

    /// The width of a usual terminal, in characters.
    const TERMINAL: usize = 80;

    #[test]
    fn every_command_is_in_one_group() {
        let commands = Command::augment_subcommands(clap::Command::new("lmn"));
        let shown = commands.get_subcommands().filter(|it| !it.is_hide_set());
        let mut shown: Vec<_> = shown.map(clap::Command::get_name).collect();
        let mut grouped: Vec<_> = HELP_GROUPS
            .iter()
            .flat_map(|it| it.1.iter().copied())
            .collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, shown);
    }

    #[test]
    fn list_of_commands_fits_a_terminal() {
        let text = StyledStr::from(help_template()).to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= TERMINAL, "{line}");
        }
    }
}
