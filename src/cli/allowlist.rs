//! `lmn allowlist`: the networks that a partner may call from.

use clap::Subcommand;
use serde_json::json;

use super::{
    operator::{OperatorArgs, Session},
    print, say,
};
use crate::{
    partners::{changes, model::read_network, store},
    values::environment::Environment,
};

/// The arguments of `lmn allowlist`.
#[derive(Debug, clap::Args)]
pub(super) struct Allowlist {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
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
        let Self { operator, what } = self;
        operator.work(async |session| match &what {
            What::Add(entry) => entry.add(session).await,
            What::Remove(entry) => entry.remove(session).await,
            What::List { partner } => list(session, partner).await,
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
            return print(json!({"partner_id": partner.id, "network": network}));
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
            return print(json!({"partner_id": partner.id, "network": network}));
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

async fn list(session: &Session, partner: &str) -> anyhow::Result<()> {
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
