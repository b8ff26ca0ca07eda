//! SQL of idempotency keys, and in [`RecentKeys`] those that this replica has recently seen bound.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use uuid::Uuid;

use super::model::Claim;
use crate::{
    database::{BatchRead, Connection, Tx, acknowledged, in_order},
    values::id::{KeyScope, OrderId, VehicleId},
};

/// The stored reply of a used key, and the request that it answered.
#[derive(Debug)]
pub(crate) struct StoredReply {
    /// The fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// The vehicle of the order that the request placed or changed.
    pub vehicle_id: Option<VehicleId>,
    /// The `Location` of the reply.
    pub location: Option<String>,
    /// The body of the reply.
    pub body: Bytes,
}

/// The result of binding a key.
#[derive(Debug)]
pub(super) struct Bound {
    /// Whether this transaction bound the key. Otherwise it was used before.
    pub is_new: bool,
    /// Whether the given vehicle exists and is locked.
    pub is_vehicle_locked: bool,
}

/// Binds a key in this transaction and, if the key is new, locks the given vehicle.
///
/// Waits while another transaction holds the key or the vehicle, at most for the lock timeout. The vehicle is locked
/// against every other change and order, so later statements read its current state.
pub(super) async fn bind(
    tx: &mut Tx,
    claim: &Claim,
    vehicle: Option<&VehicleId>,
) -> Result<Bound, sqlx::Error> {
    sqlx::query_as!(
        Bound,
        r#"
        with bound as (
            insert into idempotency_keys (partner_id, key, fingerprint)
            values ($1, $2, $3::bytea)
            on conflict on constraint idempotency_keys_pkey do nothing
            returning key
        ), vehicle as (
            select id from vehicles where id = $4 and exists (select from bound)
            for no key update
        )
        select exists (select from bound) as "is_new!", exists (select from vehicle) as "is_vehicle_locked!"
        "#,
        claim.scope.uuid(),
        claim.key,
        claim.fingerprint.as_bytes(),
        vehicle.map(VehicleId::as_str),
    )
    .fetch_one(&mut **tx)
    .await
}

/// Reads what keys did, each of one caller.
///
/// A reply is sent again only if no failover can undo what it reports. The transaction of a key may have become visible
/// without being replicated: the wait for a synchronous standby was cancelled, or the server was restarted during it.
/// No column shows it, and neither does the age of the row, because a standby may be away for hours. So where a
/// synchronous standby is configured, the statement writes a message to the write-ahead log, which makes its own commit
/// wait for the standby like any other. The message comes after the commit of every row that the statement has read,
/// and a standby receives the log in order: when the statement is acknowledged, these commits are replicated, too. That
/// costs a message to the standby for each statement and no further round trip, only if a key is found, and nothing
/// without a synchronous standby. A cancelled wait is an error, see [`acknowledged`].
#[derive(Debug)]
pub(crate) struct ReadReplies;

impl BatchRead for ReadReplies {
    type Key = (KeyScope, Uuid);
    type Value = Option<StoredReply>;

    async fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> Result<Vec<Self::Value>, sqlx::Error> {
        let (scopes, ids): (Vec<Uuid>, Vec<Uuid>) =
            keys.iter().map(|(scope, key)| (scope.uuid(), *key)).unzip();
        let found = sqlx::query!(
            r#"
            select n as "n!", fingerprint as "fingerprint: Vec<u8>", reply_location, reply_body as "body!",
                   found.vehicle_id as "vehicle_id?",
                   (select case when current_setting('synchronous_standby_names') <> ''
                                then pg_logical_emit_message(true, 'lmn', ''::text)::text end) as replicated_to
            from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(partner_id, key, n)
            cross join lateral (
                select fingerprint, reply_location, reply_body,
                       (select vehicle_id from orders where orders.id = order_id) as vehicle_id
                from idempotency_keys as bound
                where bound.partner_id = asked.partner_id and bound.key = asked.key
                limit 1
            ) as found
            "#,
            &scopes,
            &ids,
        )
        .fetch_all(connection);
        let rows = acknowledged(found).await?;
        let replies = rows.into_iter().map(|row| {
            let reply = StoredReply {
                fingerprint: row.fingerprint,
                vehicle_id: row.vehicle_id.as_deref().and_then(VehicleId::parse),
                location: row.reply_location,
                body: row.body.into(),
            };
            Ok((row.n, reply))
        });
        in_order(replies, keys.len())
    }
}

/// Finds what a key did. The reply may be sent once the transaction has committed, see [`ReadReplies`].
pub(super) async fn find(
    conn: &mut Connection,
    scope: KeyScope,
    key: Uuid,
) -> Result<Option<StoredReply>, sqlx::Error> {
    let found = ReadReplies::read(conn, &[(scope, key)]).await?.pop();
    Ok(found.flatten())
}

/// Stores the reply in the row of the key.
pub(super) async fn complete(
    tx: &mut Tx,
    claim: &Claim,
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
        claim.scope.uuid(),
        claim.key,
        order.map(OrderId::uuid),
        location,
        body,
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// The base 2 logarithm of the number of slots of [`RecentKeys`].
const SLOT_BITS: u32 = 16;
/// An odd number that spreads keys, which a client may have counted up, over the slots.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Keys that this replica has recently seen bound, so that a repeated request is looked up and not tried.
///
/// It is a hint in fixed memory: the digests of the keys, each in the slot that it selects, where it replaces an
/// earlier one. The database verifies a key that is found here, and a key that was dropped here is found when it is
/// bound.
#[derive(Debug)]
pub(super) struct RecentKeys(Box<[AtomicU64]>);

impl RecentKeys {
    /// Creates an empty set.
    pub(super) fn new() -> Self {
        Self(
            (0..1_u32 << SLOT_BITS)
                .map(|_| AtomicU64::default())
                .collect(),
        )
    }

    /// Adds a key.
    pub(super) fn insert(&self, claim: &Claim) {
        let digest = digest(claim);
        if let Some(slot) = self.slot(digest) {
            slot.store(digest, Ordering::Relaxed);
        }
    }

    /// Returns whether a key is probably bound.
    pub(super) fn contains(&self, claim: &Claim) -> bool {
        let digest = digest(claim);
        let slot = self.slot(digest);
        slot.is_some_and(|it| it.load(Ordering::Relaxed) == digest)
    }

    fn slot(&self, digest: u64) -> Option<&AtomicU64> {
        // The high bits, which depend on all others.
        let place = usize::try_from(digest >> (u64::BITS - SLOT_BITS)).ok()?;
        self.0.get(place)
    }
}

/// Combines a key and the id of its caller.
fn digest(claim: &Claim) -> u64 {
    let (one, two) = claim.key.as_u64_pair();
    let (three, four) = claim.scope.uuid().as_u64_pair();
    // 0 is an empty slot.
    (one ^ two.rotate_left(32) ^ three.rotate_left(16) ^ four)
        .wrapping_mul(SPREAD)
        .max(1)
}
