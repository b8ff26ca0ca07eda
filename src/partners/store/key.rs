//! API keys, of which only the digest and the prefix are stored.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::model::{Key, NewKey};
use crate::{
    database::{Connection, Tx},
    values::id::{KeyId, PartnerId},
};

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

/// Updates the expiry and the revocation of a locked key.
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
