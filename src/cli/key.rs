//! `lmn key`: issues, rotates, revokes and lists the API keys of a partner. Also what `lmn operator` has in common with it: a
//! new key or token, and the end of one.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    arguments::Span,
    operator::{OperatorArgs, Session},
    print, print_outcome, say,
};
use crate::{
    database::clock,
    partners::{
        api_key::Key,
        changes::{self, Issued},
        store,
    },
    values::timestamp::Timestamp,
};

/// The arguments of `lmn key`.
#[derive(Debug, clap::Args)]
pub(super) struct KeyCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Issue a key and print it. It is never shown again.
    Issue {
        /// The partner's id or name.
        partner: String,
        /// The time after which the key expires, such as 30d; by default it does not expire.
        #[arg(long, value_name = "SPAN")]
        expires_in: Option<Span>,
    },
    /// Issue a key that replaces another one and print it. Both work during the overlap.
    Rotate {
        /// The old key's first 12 characters.
        prefix: String,
        /// The time during which the old key still works.
        #[arg(long, value_name = "SPAN", default_value = "24h")]
        overlap: Span,
        /// The time after which the new key expires; by default it does not expire.
        #[arg(long, value_name = "SPAN")]
        expires_in: Option<Span>,
    },
    /// Revoke a key. Every server refuses it within a second.
    Revoke {
        /// The key's first 12 characters.
        prefix: String,
    },
    /// List a partner's keys, the oldest first.
    List {
        /// The partner's id or name.
        partner: String,
    },
}

impl KeyCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            Action::Issue {
                partner,
                expires_in,
            } => issue(session, partner, *expires_in).await,
            Action::Rotate {
                prefix,
                overlap,
                expires_in,
            } => rotate(session, prefix, *overlap, *expires_in).await,
            Action::Revoke { prefix } => revoke(session, prefix).await,
            Action::List { partner } => list(session, partner).await,
        })
    }
}

async fn issue(session: &Session, partner: &str, expires_in: Option<Span>) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?.id;
    let (actor, environment) = (&session.actor, session.environment);
    let expires_in = expires_in.map(Span::length);
    let issued = changes::issue_key(&mut tx, actor, partner, environment, expires_in).await?;
    tx.commit().await?;
    show(session, &issued, None)
}

async fn rotate(
    session: &Session,
    prefix: &str,
    overlap: Span,
    expires_in: Option<Span>,
) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let (actor, environment) = (&session.actor, session.environment);
    let spans = (overlap.length(), expires_in.map(Span::length));
    let (issued, old) = changes::rotate_key(&mut tx, actor, prefix, environment, spans).await?;
    tx.commit().await?;
    show(session, &issued, Some(&old))
}

/// Prints a new key, and the key that it replaces.
fn show(session: &Session, issued: &Issued, old: Option<&Key>) -> anyhow::Result<()> {
    let secret = issued.key.secret();
    let timestamp = |at: Option<DateTime<Utc>>| at.map(Timestamp::kst);
    if session.json {
        let rotated =
            old.map(|old| json!({"prefix": old.prefix, "expires_at": timestamp(old.expires_at)}));
        return print_outcome(json!({
            "api_key": secret.expose_secret(),
            "prefix": issued.key.prefix(),
            "partner_id": issued.partner,
            "expires_at": timestamp(issued.expires_at),
            "rotated": rotated,
        }));
    }
    hand_over("key", secret, issued.expires_at)?;
    if let Some((old, end)) = old.and_then(|it| Some((&it.prefix, timestamp(it.expires_at)?))) {
        say(format_args!("The key {old} works until {end}."));
    }
    Ok(())
}

async fn revoke(session: &Session, prefix: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let key = changes::revoke_key(&mut tx, &session.actor, prefix).await?;
    let now = clock::real_now(&mut tx).await?;
    tx.commit().await?;
    if session.json {
        return print_outcome(key_json(&key, now));
    }
    say(format_args!("The key {prefix} is revoked."));
    Ok(())
}

async fn list(session: &Session, partner: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let partner = session.partner(&mut tx, partner).await?;
    let now = clock::real_now(&mut tx).await?;
    let keys = store::list_keys(&mut tx, partner.id).await?;
    keys.iter().try_for_each(|key| {
        if session.json {
            return print(key_json(key, now));
        }
        let (state, created_at) = (key.state(now), Timestamp::kst(key.created_at));
        let end = end(key.revoked_at, key.expires_at);
        let used = match key.last_used_at {
            Some(at) => format!("last used {}", Timestamp::kst(at)),
            None => "never used".to_owned(),
        };
        print(format_args!(
            "{}  {state:<7}  issued {created_at}  {used}{end}",
            key.prefix
        ))
    })
}

/// Returns a key as JSON, without its secret.
pub(super) fn key_json(key: &Key, now: DateTime<Utc>) -> Value {
    json!({
        "prefix": key.prefix,
        "partner_id": key.partner,
        "state": key.state(now),
        "created_at": Timestamp::kst(key.created_at),
        "expires_at": key.expires_at.map(Timestamp::kst),
        "revoked_at": key.revoked_at.map(Timestamp::kst),
        "last_used_at": key.last_used_at.map(Timestamp::kst),
    })
}

/// Prints a new key or token, the only time that it is shown, and when it expires. `noun` names its kind.
pub(super) fn hand_over(
    noun: &str,
    secret: &SecretString,
    expires_at: Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    say(format_args!(
        "This is the {noun}. It is shown only once and stored nowhere:"
    ));
    print_outcome(secret.expose_secret())?;
    if let Some(end) = expires_at {
        say(format_args!("It expires at {}.", Timestamp::kst(end)));
    }
    Ok(())
}

/// Returns the end of a line of a list, which says when a key or token was revoked or expires; empty if it has no end.
pub(super) fn end(revoked_at: Option<DateTime<Utc>>, expires_at: Option<DateTime<Utc>>) -> String {
    match (revoked_at, expires_at) {
        (Some(at), _) => format!("  revoked {}", Timestamp::kst(at)),
        (None, Some(at)) => format!("  expires {}", Timestamp::kst(at)),
        (None, None) => String::new(),
    }
}
