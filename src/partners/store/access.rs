//! The access of partners: their API keys, of which only the digest and the prefix are stored, and their allowed
//! networks.

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use uuid::Uuid;

use super::policy;
use crate::{
    database::{Connection, Tx},
    partners::api_key::{Grant, Key, KeyDigest, NewKey},
    values::id::{KeyId, PartnerId},
};

/// Returns the access that a key of any partner grants, and the database's time.
pub(crate) async fn find_grant_of_any_partner(
    conn: &mut Connection,
    digest: &KeyDigest,
) -> Result<Option<(Grant, DateTime<Utc>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select
            api_keys.id, api_keys.prefix, api_keys.partner_id, api_keys.expires_at, api_keys.revoked_at,
            array(select network from allowed_networks
                  where allowed_networks.partner_id = partners.id) as "networks!: Vec<IpNet>",
            read_limit, read_window_seconds, read_burst,
            write_limit, write_window_seconds, write_burst, clock_offset_seconds,
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
            clock_offset: TimeDelta::seconds(row.clock_offset_seconds),
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

/// Stores a new key. Returns `false` if another key has its prefix.
pub(crate) async fn insert_key(
    tx: &mut Tx,
    partner: PartnerId,
    key: &NewKey,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let digest = key.digest();
    let done = sqlx::query!(
        r#"
        insert into api_keys (id, partner_id, digest, prefix, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6)
        on conflict on constraint api_keys_prefix_unique do nothing
        "#,
        KeyId::new(now).uuid(),
        partner.uuid(),
        digest.as_slice(),
        key.prefix(),
        now,
        expires_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks the key of any partner and returns it.
pub(crate) async fn lock_key_of_any_partner(
    tx: &mut Tx,
    prefix: &str,
) -> Result<Option<Key>, sqlx::Error> {
    sqlx::query_as!(
        Key,
        r#"
        select prefix, partner_id as partner, created_at, expires_at, revoked_at, last_used_at from api_keys
        where prefix = $1
        for update
        "#,
        prefix,
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Lists a partner's keys, the oldest first.
pub(crate) async fn list_keys(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<Vec<Key>, sqlx::Error> {
    sqlx::query_as!(
        Key,
        r#"
        select prefix, partner_id as partner, created_at, expires_at, revoked_at, last_used_at from api_keys
        where partner_id = $1
        order by created_at, id
        "#,
        partner.uuid(),
    )
    .fetch_all(conn)
    .await
}

/// Updates the expiry, the revocation and the rotation of a locked key.
pub(crate) async fn update_key(tx: &mut Tx, key: &Key) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_keys set expires_at = $2, revoked_at = $3 where prefix = $1",
        key.prefix,
        key.expires_at,
        key.revoked_at,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Updates the times of the last use of keys. A later time from another replica is kept.
pub(crate) async fn set_last_used(
    tx: &mut Tx,
    keys: &[KeyId],
    times: &[DateTime<Utc>],
) -> Result<(), sqlx::Error> {
    let keys: Vec<Uuid> = keys.iter().map(|key| key.uuid()).collect();
    sqlx::query!(
        r#"
        with held as (
            select api_keys.id, used.at
            from api_keys
            join unnest($1::uuid[], $2::timestamptz[]) as used (id, at) on used.id = api_keys.id
            order by api_keys.id
            for no key update of api_keys
        )
        update api_keys set last_used_at = greatest(last_used_at, held.at)
        from held
        where api_keys.id = held.id
        "#,
        &keys,
        times,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Lists the networks that a partner may call from.
pub(crate) async fn list_networks(
    conn: &mut Connection,
    partner: PartnerId,
) -> Result<Vec<IpNet>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select network as "network: IpNet" from allowed_networks where partner_id = $1 order by network"#,
        partner.uuid(),
    )
    .fetch_all(conn)
    .await
}

/// Adds a network to a partner's allowlist.
pub(crate) async fn insert_network(
    tx: &mut Tx,
    partner: PartnerId,
    network: IpNet,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into allowed_networks (partner_id, network, created_at) values ($1, $2, $3)",
        partner.uuid(),
        network as IpNet,
        now,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Removes a network from a partner's allowlist. Returns `false` if it was not on the list.
pub(crate) async fn delete_network(
    tx: &mut Tx,
    partner: PartnerId,
    network: IpNet,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from allowed_networks where partner_id = $1 and network = $2",
        partner.uuid(),
        network as IpNet,
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
