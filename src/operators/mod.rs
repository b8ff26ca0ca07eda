//! LMN's people who use the operator API: their names, roles and tokens.
//!
//! [`model`] holds the rules, [`store`] the SQL. [`add`] and [`revoke`] write their audit row in the same transaction.

pub mod model;
pub(crate) mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use self::model::{NewToken, Operator, Refusal, Role, check_name};
use crate::{
    audit::{self, Actor, store::Change},
    database::{Tx, clock},
    values::{id::OperatorId, string_enum::StringEnum, timestamp::Timestamp},
};

/// The reason why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The change is not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error("the database cannot be written")]
    Database(#[from] sqlx::Error),
}

/// Adds an operator, whose token expires after `expires_in`, or never. The token is available only here.
pub(crate) async fn add(
    tx: &mut Tx,
    actor: &Actor,
    name: &str,
    role: Role,
    expires_in: Option<TimeDelta>,
) -> Result<(Operator, NewToken), ChangeError> {
    check_name(name)?;
    let now = clock::real_now(tx).await?;
    let operator = Operator {
        id: OperatorId::new(now),
        name: name.to_owned(),
        role,
        created_at: now,
        expires_at: expires_in.map(|it| now + it),
        revoked_at: None,
    };
    let token = NewToken::random();
    if !store::insert(tx, &operator, &token.digest()).await? {
        return Err(Refusal::NameTaken(name.to_owned()).into());
    }
    let details = json!({
        "role": role.as_str(),
        "expires_at": operator.expires_at.map(Timestamp::kst),
    });
    record(tx, actor, "operator.added", name, details, now).await?;
    Ok((operator, token))
}

/// Revokes the token of an operator. It is refused from the commit on.
pub(crate) async fn revoke(
    tx: &mut Tx,
    actor: &Actor,
    name: &str,
) -> Result<Operator, ChangeError> {
    let now = clock::real_now(tx).await?;
    let revoked = store::revoke(tx, name, now).await?;
    let operator = revoked.ok_or_else(|| Refusal::Unknown(name.chars().take(64).collect()))?;
    record(tx, actor, "operator.revoked", name, json!({}), now).await?;
    Ok(operator)
}

async fn record(
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    subject: &str,
    details: Value,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        actor,
        partner: None,
        action,
        subject,
        details,
    };
    audit::store::record(tx, &change, now).await
}
