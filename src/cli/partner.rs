//! `lmn partner`: adds and shows partners, and sets their rate limits and contacts. `lmn allowlist`: manages the
//! networks that they may call from.

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    arguments::any_of,
    key::key_json,
    operator::{OperatorArgs, Session},
    print, print_outcome, say,
};
use crate::{
    database::clock,
    partners::{
        changes::{self, policy_json},
        model::{Partner, read_network},
        store,
    },
    values::{
        environment::Environment,
        rate_limit::{Kind, Policy},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// The maximum number of partners that are listed.
const PARTNERS_MAX: i64 = 100_000;

/// The arguments of `lmn partner`.
#[derive(Debug, clap::Args)]
pub(super) struct PartnerCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: PartnerAction,
}

#[derive(Debug, Subcommand)]
enum PartnerAction {
    /// Add a partner and print its id.
    Add {
        /// The partner's name, which must be unique.
        name: String,
    },
    /// List all partners, the oldest first.
    List,
    /// Show a partner with its rate limits, networks and keys.
    Show {
        /// The partner's id or name.
        partner: String,
    },
    /// Set a partner's own rate limit, or restore the deployment's limit.
    Limits(Limits),
    /// Set or clear a partner's contact for reminders of overdue deliveries.
    Contact {
        /// The partner's id or name.
        partner: String,
        /// The address of the contact; leave it out to clear the contact.
        contact: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Limits {
    /// The partner's id or name.
    partner: String,
    /// The kind of requests: `read` is GET and HEAD, `write` is POST, PUT and DELETE.
    #[arg(long, value_parser = any_of::<Kind>())]
    policy: Kind,
    /// The number of requests per window.
    #[arg(long, value_name = "N", required_unless_present = "default")]
    limit: Option<u32>,
    /// The length of the window, in seconds.
    #[arg(long, value_name = "SECONDS", required_unless_present = "default")]
    window: Option<u32>,
    /// The number of requests that may be made at once.
    #[arg(long, value_name = "N", required_unless_present = "default")]
    burst: Option<u32>,
    /// Restore the deployment's limit.
    #[arg(long, conflicts_with_all = ["limit", "window", "burst"])]
    default: bool,
}

impl PartnerCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            PartnerAction::Add { name } => add(session, name).await,
            PartnerAction::List => list_partners(session).await,
            PartnerAction::Show { partner } => show(session, partner).await,
            PartnerAction::Limits(limits) => limits.set(session).await,
            PartnerAction::Contact { partner, contact } => {
                set_contact(session, partner, contact.as_deref()).await
            }
        })
    }
}

async fn set_contact(
    session: &Session,
    partner: &str,
    contact: Option<&str>,
) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?;
    changes::set_contact(&mut tx, &session.actor, &partner, contact).await?;
    tx.commit().await?;
    match session.json {
        true => print_outcome(json!({"id": partner.id, "contact": contact})),
        false => {
            let contact = contact.unwrap_or("none");
            say(format_args!("Contact of `{}`: {contact}", partner.name));
            Ok(())
        }
    }
}

async fn add(session: &Session, name: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = changes::add_partner(&mut tx, &session.actor, name).await?;
    tx.commit().await?;
    if session.json {
        return print_outcome(partner_json(&partner));
    }
    say(format_args!(
        "Added `{name}`. Next, run `lmn key issue {}`.",
        partner.id
    ));
    print_outcome(partner.id)
}

async fn list_partners(session: &Session) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partners = store::list(&mut tx, None, PARTNERS_MAX).await?;
    partners.iter().try_for_each(|partner| {
        if session.json {
            print(partner_json(partner))
        } else {
            let created_at = Timestamp::kst(partner.created_at);
            print(format_args!(
                "{}  {created_at}  {}",
                partner.id, partner.name
            ))
        }
    })
}

async fn show(session: &Session, partner: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?;
    let networks = store::list_networks(&mut tx, partner.id).await?;
    let keys = store::list_keys(&mut tx, partner.id).await?;
    let now = clock::real_now(&mut tx).await?;
    if session.json {
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        let keys: Vec<Value> = keys.iter().map(|key| key_json(key, now)).collect();
        let shown = Sheet {
            partner: partner_json(&partner),
            networks,
            keys,
        };
        return print(serde_json::to_string(&shown)?);
    }
    print(format_args!("id        {}", partner.id))?;
    print(format_args!("name      {}", partner.name))?;
    print(format_args!(
        "added     {}",
        Timestamp::kst(partner.created_at)
    ))?;
    for kind in [Kind::Read, Kind::Write] {
        let limit = limit_words(partner.limit(kind));
        print(format_args!("{:<9} {limit}", kind.as_str()))?;
    }
    for network in networks {
        print(format_args!("network   {network}"))?;
    }
    keys.iter()
        .try_for_each(|key| print(format_args!("key       {}  {}", key.prefix, key.state(now))))
}

/// A partner with its networks and keys.
#[derive(Serialize)]
struct Sheet {
    #[serde(flatten)]
    partner: Value,
    networks: Vec<String>,
    keys: Vec<Value>,
}

impl Limits {
    async fn set(&self, session: &Session) -> anyhow::Result<()> {
        let kind = self.policy;
        let policy = match (self.limit, self.window, self.burst) {
            (Some(limit), Some(window), Some(burst)) => {
                let policy = Policy::new(limit, window, burst);
                Some(policy.context(
                    "limit, window and burst must be 1 to 1000000, and the burst must refill within a day",
                )?)
            }
            _ => None,
        };
        let mut tx = session.begin().await?;
        let partner = session.partner(&mut tx, &self.partner).await?;
        changes::set_limit(&mut tx, &session.actor, &partner, kind, policy).await?;
        tx.commit().await?;
        if session.json {
            let policy = policy_json(policy);
            return print_outcome(
                json!({"partner_id": partner.id, "policy": kind.as_str(), "limit": policy}),
            );
        }
        say(format_args!(
            "{} of `{}`: {}",
            kind.as_str(),
            partner.name,
            limit_words(policy)
        ));
        Ok(())
    }
}

fn limit_words(policy: Option<Policy>) -> String {
    policy.map_or("the deployment's limit".to_owned(), |it| {
        let (limit, window, burst) = (it.limit(), it.window_seconds(), it.burst());
        format!("{limit} requests per {window} s, with a burst of {burst}")
    })
}

fn partner_json(partner: &Partner) -> Value {
    json!({
        "id": partner.id,
        "name": partner.name,
        "limits": {"read": policy_json(partner.read), "write": policy_json(partner.write)},
        "created_at": Timestamp::kst(partner.created_at),
    })
}

/// The arguments of `lmn allowlist`.
#[derive(Debug, clap::Args)]
pub(super) struct Allowlist {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: AllowlistAction,
}

#[derive(Debug, Subcommand)]
enum AllowlistAction {
    /// Add an address or a network to a partner's allowlist.
    Add(Entry),
    /// Remove an address or a network from a partner's allowlist.
    Remove(Entry),
    /// List the networks that a partner may call from.
    List {
        /// The partner's id or name.
        partner: String,
    },
}

#[derive(Debug, clap::Args)]
struct Entry {
    /// The partner's id or name.
    partner: String,
    /// An address or a network, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32.
    cidr: String,
}

impl Allowlist {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            AllowlistAction::Add(entry) => entry.add(session).await,
            AllowlistAction::Remove(entry) => entry.remove(session).await,
            AllowlistAction::List { partner } => list_networks(session, partner).await,
        })
    }
}

impl Entry {
    async fn add(&self, session: &Session) -> anyhow::Result<()> {
        let network = read_network(&self.cidr)?;
        let mut tx = session.begin().await?;
        let partner = session.partner(&mut tx, &self.partner).await?;
        changes::add_network(&mut tx, &session.actor, partner.id, network).await?;
        tx.commit().await?;
        if session.json {
            return print_outcome(json!({"partner_id": partner.id, "network": network}));
        }
        say(format_args!("`{}` may call from {network}.", partner.name));
        Ok(())
    }

    async fn remove(&self, session: &Session) -> anyhow::Result<()> {
        let network = read_network(&self.cidr)?;
        let mut tx = session.begin().await?;
        let partner = session.partner(&mut tx, &self.partner).await?;
        let actor = &session.actor;
        let left = changes::remove_network(&mut tx, actor, partner.id, network).await?;
        tx.commit().await?;
        if session.json {
            return print_outcome(json!({"partner_id": partner.id, "network": network}));
        }
        say(format_args!(
            "`{}` may no longer call from {network}.",
            partner.name
        ));
        if left == 0 {
            say(match session.environment {
                Environment::Production => "Its allowlist is empty: all its requests are refused.",
                Environment::Sandbox => "Its allowlist is empty: it may call from any address.",
            });
        }
        Ok(())
    }
}

async fn list_networks(session: &Session, partner: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?.id;
    let networks = store::list_networks(&mut tx, partner).await?;
    networks.into_iter().try_for_each(|network| {
        if session.json {
            print(json!({"partner_id": partner, "network": network}))
        } else {
            print(network)
        }
    })
}
