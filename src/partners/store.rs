//! Partners, their keys and networks in the database.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::PgConnection;

use super::model::{Grant, KeyDigest, NewKey};
use crate::{
    db::{Tx, column::Meaningless},
    gate::rate_limit::model::Policy,
    id::{KeyId, PartnerId},
};

/// Finds what a key opens, whosever it is, and the database's time.
pub(crate) async fn find_any_grant(
    conn: &mut PgConnection,
    digest: &KeyDigest,
) -> Result<Option<(Grant, DateTime<Utc>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select
            api_keys.id, api_keys.prefix, api_keys.partner_id, api_keys.expires_at, api_keys.revoked_at,
            array(select network from allowed_networks
                  where allowed_networks.partner_id = partners.id) as "networks!: Vec<IpNet>",
            read_limit, read_window_seconds, read_burst,
            write_limit, write_window_seconds, write_burst,
            clock_timestamp() as "now!"
        from api_keys
        join partners on partners.id = api_keys.partner_id
        where api_keys.digest = $1
        "#,
        digest.as_slice(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let grant = Grant {
            key: row.id.into(),
            prefix: row.prefix,
            partner: row.partner_id.into(),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            networks: row.networks,
            read: policy(row.read_limit, row.read_window_seconds, row.read_burst)
                .map_err(|error| error.in_row("partners", row.partner_id))?,
            write: policy(row.write_limit, row.write_window_seconds, row.write_burst)
                .map_err(|error| error.in_row("partners", row.partner_id))?,
        };
        Ok((grant, row.now))
    })
    .transpose()
}

/// A policy is stored whole or not at all, in numbers that the schema bounds as the model does.
fn policy(
    limit: Option<i32>,
    window_seconds: Option<i32>,
    burst: Option<i32>,
) -> Result<Option<Policy>, Meaningless> {
    let (Some(limit), Some(window_seconds), Some(burst)) = (limit, window_seconds, burst) else {
        return Ok(None);
    };
    let number = |value: i32| u32::try_from(value).unwrap_or_default();
    let policy = Policy::new(number(limit), number(window_seconds), number(burst));
    policy.map(Some).ok_or_else(|| Meaningless::new(limit))
}

/// Finds a partner by its name.
pub(crate) async fn find_by_name(
    conn: &mut PgConnection,
    name: &str,
) -> Result<Option<PartnerId>, sqlx::Error> {
    let id = sqlx::query_scalar!("select id from partners where name = $1", name)
        .fetch_optional(conn)
        .await?;
    Ok(id.map(PartnerId::from))
}

/// Adds a partner.
pub(crate) async fn insert(
    tx: &mut Tx,
    partner: PartnerId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into partners (id, name, created_at) values ($1, $2, $3)",
        partner.uuid(),
        name,
        now
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Gives a partner one limit of its own for reads and writes alike.
pub(crate) async fn set_limits(
    tx: &mut Tx,
    partner: PartnerId,
    limit: i32,
    window_seconds: i32,
    burst: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update partners
        set read_limit = $2, read_window_seconds = $3, read_burst = $4,
            write_limit = $2, write_window_seconds = $3, write_burst = $4
        where id = $1
        "#,
        partner.uuid(),
        limit,
        window_seconds,
        burst,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Stores a new key's digest.
pub(crate) async fn insert_key(
    tx: &mut Tx,
    partner: PartnerId,
    key: &NewKey,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let digest = key.digest();
    sqlx::query!(
        "insert into api_keys (id, partner_id, digest, prefix, created_at) values ($1, $2, $3, $4, $5)",
        KeyId::new(now).uuid(),
        partner.uuid(),
        digest.as_slice(),
        key.prefix(),
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
