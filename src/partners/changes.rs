//! Changes of partners, their keys, networks and limits. Each writes its audit row in the same transaction.

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    api_key::{Key, NewKey},
    model::{Partner, Refusal, check_allowed, check_contact, check_name},
    store,
};
use crate::{
    audit::{self, Actor, store::Change},
    database::{Tx, clock},
    values::{
        environment::Environment,
        id::PartnerId,
        rate_limit::{Kind, Policy},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// The action of a rotation in the audit log.
const ROTATED: &str = "key.rotated";

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

/// A key that was just issued. Its secret is available only here.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The key.
    pub key: NewKey,
    /// The partner it belongs to.
    pub partner: PartnerId,
    /// The time at which it expires; `None` if never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a partner.
pub(crate) async fn add_partner(
    tx: &mut Tx,
    actor: &Actor,
    name: &str,
) -> Result<Partner, ChangeError> {
    check_name(name)?;
    let now = clock::real_now(tx).await?;
    let partner = Partner {
        id: PartnerId::new(now),
        name: name.to_owned(),
        contact: None,
        read: None,
        write: None,
        created_at: now,
    };
    if !store::insert(tx, partner.id, name, now).await? {
        return Err(Refusal::NameTaken(name.to_owned()).into());
    }
    let (action, details) = ("partner.added", json!({}));
    record(tx, actor, partner.id, (action, name, details), now).await?;
    Ok(partner)
}

/// Sets a partner's own rate limit for one kind of request; `None` restores the deployment's limit.
pub(crate) async fn set_limit(
    tx: &mut Tx,
    actor: &Actor,
    partner: &Partner,
    kind: Kind,
    policy: Option<Policy>,
) -> Result<(), ChangeError> {
    store::lock(tx, partner.id).await?;
    let now = clock::real_now(tx).await?;
    let id = partner.id.to_string();
    let old = store::find(tx, &id).await?.and_then(|it| it.limit(kind));
    store::set_limit(tx, partner.id, kind, policy).await?;
    let details = json!({"old": policy_json(old), "new": policy_json(policy)});
    let what = ("limits.changed", kind.as_str(), details);
    Ok(record(tx, actor, partner.id, what, now).await?)
}

/// Sets or clears a partner's contact for reminders.
pub(crate) async fn set_contact(
    tx: &mut Tx,
    actor: &Actor,
    partner: &Partner,
    contact: Option<&str>,
) -> Result<(), ChangeError> {
    if let Some(contact) = contact {
        check_contact(contact)?;
    }
    store::lock(tx, partner.id).await?;
    let now = clock::real_now(tx).await?;
    store::set_contact(tx, partner.id, contact).await?;
    let what = (
        "contact.changed",
        partner.name.as_str(),
        json!({"new": contact}),
    );
    Ok(record(tx, actor, partner.id, what, now).await?)
}

/// Issues a key of the environment. It expires after `expires_in`, or never.
pub(crate) async fn issue_key(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    environment: Environment,
    expires_in: Option<TimeDelta>,
) -> Result<Issued, ChangeError> {
    let now = clock::real_now(tx).await?;
    let issued = insert_key(tx, partner, environment, expires_in, now).await?;
    let details = json!({"expires_at": issued.expires_at.map(Timestamp::kst)});
    let what = ("key.issued", issued.key.prefix(), details);
    record(tx, actor, partner, (what.0, &what.1, what.2), now).await?;
    Ok(issued)
}

/// Issues a key that replaces another one; both work during the overlap. Returns the new and the old key.
///
/// A key is rotated once: a second key in its place would most likely be a repeated command.
pub(crate) async fn rotate_key(
    tx: &mut Tx,
    actor: &Actor,
    prefix: &str,
    environment: Environment,
    (overlap, expires_in): (TimeDelta, Option<TimeDelta>),
) -> Result<(Issued, Key), ChangeError> {
    let mut old = lock_key(tx, prefix).await?;
    let now = clock::real_now(tx).await?;
    let before = old.expires_at;
    old.expires_at = Some(old.rotated(now, overlap)?);
    refuse_rotated(tx, &old).await?;
    store::update_key(tx, &old).await?;
    let new = insert_key(tx, old.partner, environment, expires_in, now).await?;
    let details = json!({
        "new_prefix": new.key.prefix(),
        "new_expires_at": new.expires_at.map(Timestamp::kst),
        "old": {"expires_at": before.map(Timestamp::kst)},
        "new": {"expires_at": old.expires_at.map(Timestamp::kst)},
    });
    let what = (ROTATED, old.prefix.as_str(), details);
    record(tx, actor, old.partner, what, now).await?;
    Ok((new, old))
}

/// Refuses a locked key that was rotated before, which the audit log knows.
async fn refuse_rotated(tx: &mut Tx, key: &Key) -> Result<(), ChangeError> {
    let details = audit::store::find_details(tx, key.partner, ROTATED, &key.prefix).await?;
    let new_prefix = details
        .as_ref()
        .and_then(|it| it.get("new_prefix")?.as_str());
    match new_prefix {
        None => Ok(()),
        Some(new_prefix) => Err(Refusal::KeyRotated {
            prefix: key.prefix.clone(),
            new_prefix: new_prefix.to_owned(),
        }
        .into()),
    }
}

/// Revokes a key. Every replica refuses it within a second.
pub(crate) async fn revoke_key(
    tx: &mut Tx,
    actor: &Actor,
    prefix: &str,
) -> Result<Key, ChangeError> {
    let mut key = lock_key(tx, prefix).await?;
    if key.revoked_at.is_some() {
        return Err(Refusal::KeyRevoked(key.prefix).into());
    }
    let now = clock::real_now(tx).await?;
    key.revoked_at = Some(now);
    store::update_key(tx, &key).await?;
    let what = ("key.revoked", key.prefix.as_str(), json!({}));
    record(tx, actor, key.partner, what, now).await?;
    Ok(key)
}

/// Adds a network to a partner's allowlist.
pub(crate) async fn add_network(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    network: IpNet,
) -> Result<(), ChangeError> {
    // Read after the lock, so that concurrent additions cannot exceed the maximum.
    store::lock(tx, partner).await?;
    let listed = store::list_networks(tx, partner).await?;
    check_allowed(&listed, network)?;
    let now = clock::real_now(tx).await?;
    store::insert_network(tx, partner, network, now).await?;
    let subject = network.to_string();
    let details = json!({"entries": listed.len() + 1});
    let what = ("network.added", subject.as_str(), details);
    Ok(record(tx, actor, partner, what, now).await?)
}

/// Removes a network from a partner's allowlist. Returns the number of networks left.
pub(crate) async fn remove_network(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    network: IpNet,
) -> Result<usize, ChangeError> {
    store::lock(tx, partner).await?;
    if !store::delete_network(tx, partner, network).await? {
        return Err(Refusal::NetworkNotListed(network).into());
    }
    let left = store::list_networks(tx, partner).await?.len();
    let now = clock::real_now(tx).await?;
    let subject = network.to_string();
    let what = (
        "network.removed",
        subject.as_str(),
        json!({"entries": left}),
    );
    record(tx, actor, partner, what, now).await?;
    Ok(left)
}

/// Returns a rate limit as JSON; null means the deployment's limit.
pub(crate) fn policy_json(policy: Option<Policy>) -> Value {
    policy.map_or(Value::Null, |it| {
        json!({"limit": it.limit(), "window_seconds": it.window_seconds(), "burst": it.burst()})
    })
}

async fn insert_key(
    tx: &mut Tx,
    partner: PartnerId,
    environment: Environment,
    expires_in: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Result<Issued, ChangeError> {
    let key = NewKey::random(environment);
    let expires_at = expires_in.map(|it| now + it);
    if !store::insert_key(tx, partner, &key, expires_at, now).await? {
        return Err(Refusal::PrefixTaken.into());
    }
    Ok(Issued {
        key,
        partner,
        expires_at,
    })
}

async fn lock_key(tx: &mut Tx, prefix: &str) -> Result<Key, ChangeError> {
    let key = store::lock_key_of_any_partner(tx, prefix).await?;
    // Only the prefix is repeated, in case a whole key was given.
    Ok(key.ok_or_else(|| Refusal::KeyUnknown(prefix.chars().take(12).collect()))?)
}

async fn record(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    (action, subject, details): (&str, &str, Value),
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        actor,
        partner: Some(partner),
        action,
        subject,
        details,
    };
    audit::store::record(tx, &change, now).await
}
