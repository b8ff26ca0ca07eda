//! `lmn operator`: adds, lists and revokes the operators who may use the operator API.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    arguments::{Span, any_of},
    key::{end, hand_over},
    operator::{OperatorArgs, Session},
    print, print_outcome, say,
};
use crate::{
    database::clock,
    operators::{
        changes,
        model::{Operator, Role},
        store,
    },
    values::{string_enum::StringEnum, timestamp::Timestamp},
};

/// The maximum number of operators that are listed.
const OPERATORS_MAX: i64 = 10_000;

/// The arguments of `lmn operator`.
#[derive(Debug, clap::Args)]
pub(super) struct OperatorCommand {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an operator and print the token. It is never shown again.
    Add {
        /// The name, which the audit log shows: one word of at most 64 characters.
        name: String,
        /// The role: `viewer` reads, `trader` also buys, `logistics` also ships, `admin` may do everything.
        #[arg(long, value_parser = any_of::<Role>())]
        role: Role,
        /// The time after which the token expires, such as 90d; by default it does not expire.
        #[arg(long, value_name = "SPAN")]
        expires_in: Option<Span>,
    },
    /// List all operators, the oldest first.
    List,
    /// Revoke the token of an operator. Every server refuses it at once.
    Revoke {
        /// The operator's name.
        name: String,
    },
}

impl OperatorCommand {
    /// Runs the command.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self { operator, action } = self;
        operator.work(async |session| match &action {
            Action::Add {
                name,
                role,
                expires_in,
            } => add(session, name, *role, *expires_in).await,
            Action::List => list(session).await,
            Action::Revoke { name } => revoke(session, name).await,
        })
    }
}

async fn add(
    session: &Session,
    name: &str,
    role: Role,
    expires_in: Option<Span>,
) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let expires_in = expires_in.map(Span::length);
    let added = changes::add(&mut tx, &session.actor, name, role, expires_in).await?;
    tx.commit().await?;
    let (operator, token) = added;
    if session.json {
        return print_outcome(json!({
            "id": operator.id,
            "name": operator.name,
            "role": operator.role,
            "token": token.secret().expose_secret(),
            "expires_at": operator.expires_at.map(Timestamp::kst),
        }));
    }
    hand_over("token", token.secret(), operator.expires_at)
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let now = clock::real_now(&mut tx).await?;
    let operators = store::list(&mut tx, None, OPERATORS_MAX).await?;
    operators.iter().try_for_each(|it| {
        if session.json {
            return print(operator_json(it, now));
        }
        let end = end(it.revoked_at, it.expires_at);
        let (name, role, state) = (&it.name, it.role.as_str(), it.state(now));
        let created_at = Timestamp::kst(it.created_at);
        print(format_args!(
            "{name:<24}  {role:<9}  {state:<7}  added {created_at}{end}"
        ))
    })
}

async fn revoke(session: &Session, name: &str) -> anyhow::Result<()> {
    let mut tx = session.begin().await?;
    let operator = changes::revoke(&mut tx, &session.actor, name).await?;
    let now = clock::real_now(&mut tx).await?;
    tx.commit().await?;
    if session.json {
        return print(operator_json(&operator, now));
    }
    say(format_args!("The token of `{name}` is revoked."));
    Ok(())
}

/// Returns an operator as JSON, without the token.
fn operator_json(operator: &Operator, now: DateTime<Utc>) -> Value {
    json!({
        "id": operator.id,
        "name": operator.name,
        "role": operator.role,
        "state": operator.state(now),
        "created_at": Timestamp::kst(operator.created_at),
        "expires_at": operator.expires_at.map(Timestamp::kst),
        "revoked_at": operator.revoked_at.map(Timestamp::kst),
    })
}
