//! Idempotency keys in the database.

use bytes::Bytes;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::Fingerprint;
use crate::{
    db::Tx,
    id::{OrderId, PartnerId, VehicleId},
};

/// What a key did.
#[derive(Debug)]
pub(crate) struct Recalled {
    /// The request that did it.
    pub fingerprint: Vec<u8>,
    /// The vehicle of the order that it touched.
    pub vehicle_id: Option<VehicleId>,
    /// The `Location` of its reply.
    pub location: Option<String>,
    /// The body of its reply.
    pub body: Bytes,
}

/// Takes a key for this transaction; `false` if it already did something.
///
/// Waits while another transaction holds the key, at most for the lock timeout.
pub(super) async fn bind(
    tx: &mut Tx,
    partner: PartnerId,
    key: Uuid,
    fingerprint: &Fingerprint,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        r#"
        insert into idempotency_keys (partner_id, key, fingerprint)
        values ($1, $2, $3)
        on conflict on constraint idempotency_keys_pkey do nothing
        "#,
        partner.uuid(),
        key,
        fingerprint.as_bytes(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds what a key did.
pub(super) async fn recall(
    conn: &mut PgConnection,
    partner: PartnerId,
    key: Uuid,
) -> Result<Option<Recalled>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select fingerprint, reply_location, reply_body as "body!",
               orders.vehicle_id as "vehicle_id?"
        from idempotency_keys
        left join orders on orders.id = idempotency_keys.order_id
        where idempotency_keys.partner_id = $1 and key = $2
        "#,
        partner.uuid(),
        key,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Recalled {
        fingerprint: row.fingerprint,
        vehicle_id: row.vehicle_id.as_deref().and_then(VehicleId::parse),
        location: row.reply_location,
        body: row.body.into(),
    }))
}

/// Completes the key's row with what it did.
pub(super) async fn complete(
    tx: &mut Tx,
    partner: PartnerId,
    key: Uuid,
    order: Option<OrderId>,
    location: Option<&str>,
    body: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update idempotency_keys
        set order_id = $3, reply_location = $4, reply_body = $5
        where partner_id = $1 and key = $2
        "#,
        partner.uuid(),
        key,
        order.map(OrderId::uuid),
        location,
        body,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
