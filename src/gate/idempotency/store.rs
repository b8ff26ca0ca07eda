//! Idempotency keys in the database.

use bytes::Bytes;
use uuid::Uuid;

use super::model::Fingerprint;
use crate::{
    database::{Connection, Tx},
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

/// How a key was bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// Whether the key is this transaction's; otherwise it already did something.
    pub is_new: bool,
    /// Whether the car that the request names is there, and locked.
    pub is_car_locked: bool,
}

/// Takes a key for this transaction, and then locks the car that the request names, if it names one.
///
/// Waits while another transaction holds the key or the car, at most for the lock timeout. The car is locked against
/// every other change and order, so what later statements read of it is fresh.
pub(super) async fn bind(
    tx: &mut Tx,
    partner: PartnerId,
    key: Uuid,
    fingerprint: &Fingerprint,
    car: Option<&VehicleId>,
) -> Result<Bound, sqlx::Error> {
    sqlx::query_as!(
        Bound,
        r#"
        with bound as (
            insert into idempotency_keys (partner_id, key, fingerprint)
            values ($1, $2, $3)
            on conflict on constraint idempotency_keys_pkey do nothing
            returning key
        ), car as (
            select id from vehicles where id = $4 and exists (select from bound)
            for no key update
        )
        select exists (select from bound) as "is_new!", exists (select from car) as "is_car_locked!"
        "#,
        partner.uuid(),
        key,
        fingerprint.as_bytes(),
        car.map(VehicleId::as_str),
    )
    .fetch_one(&mut **tx)
    .await
}

/// Finds what a key did.
pub(super) async fn recall(
    conn: &mut Connection,
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
