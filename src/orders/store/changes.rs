//! The feed of all changes of orders, for LMN's own systems.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::super::state_machine::{FulfillmentDetail, OrderStatus};
use crate::{
    database::{
        Connection,
        column::{InvalidColumn, optional_word, vehicle_id},
    },
    values::id::{NotAnId, OrderId, PartnerId, VehicleId},
};

/// The kind of a change in the order of the feed.
const STEP: i32 = 0;

/// The position of a change in the feed: its transaction, its order, its kind and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangePosition {
    transaction: u64,
    order: OrderId,
    kind: i32,
    number: i64,
}

impl ChangePosition {
    /// Returns the position before all changes.
    pub(crate) fn before_all() -> Self {
        Self {
            transaction: 0,
            order: OrderId::first_at(DateTime::UNIX_EPOCH),
            kind: STEP,
            number: 0,
        }
    }

    /// Returns the numbers of the last step and the last other change of the order that are not after this position.
    fn last_numbers(&self) -> (i32, i64) {
        match self.kind {
            STEP => (i32::try_from(self.number).unwrap_or(i32::MAX), -1),
            _ => (i32::MAX, self.number),
        }
    }
}

impl fmt::Display for ChangePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            transaction,
            order,
            kind,
            number,
        } = self;
        write!(f, "{transaction}-{order}-{kind}-{number}")
    }
}

impl FromStr for ChangePosition {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NotAnId);
        let position = Self {
            transaction: next()?.parse().map_err(|_| NotAnId)?,
            order: next()?.parse()?,
            kind: next()?.parse().map_err(|_| NotAnId)?,
            number: next()?.parse().map_err(|_| NotAnId)?,
        };
        // Only the canonical spelling is a position.
        (position.to_string() == text)
            .then_some(position)
            .ok_or(NotAnId)
    }
}

/// A change of an order.
#[derive(Debug, Clone)]
pub(crate) struct OrderChange {
    /// Its position in the feed.
    pub(crate) position: ChangePosition,
    /// The ordered vehicle.
    pub(crate) vehicle_id: VehicleId,
    /// The partner that placed the order.
    pub(crate) partner: PartnerId,
    /// The partner's name.
    pub(crate) partner_name: String,
    /// The action, as in the audit log.
    pub(crate) action: String,
    /// The status that a step led to; `None` if the status did not change.
    pub(crate) status: Option<OrderStatus>,
    /// The fulfillment detail that a step led to.
    pub(crate) fulfillment_detail: Option<FulfillmentDetail>,
    /// The actor.
    pub(crate) actor: String,
    /// The request.
    pub(crate) request_id: Option<String>,
    /// When the change was recorded.
    pub(crate) recorded_at: DateTime<Utc>,
    /// Further details.
    pub(crate) details: Value,
}

impl OrderChange {
    /// Returns the order.
    pub(crate) fn order(&self) -> OrderId {
        self.position.order
    }
}

/// A row of the feed.
struct ChangeRow {
    transaction_id: String,
    order_id: Uuid,
    kind: i32,
    number: i64,
    action: String,
    status: Option<String>,
    fulfillment_detail: Option<String>,
    actor: String,
    request_id: Option<String>,
    recorded_at: DateTime<Utc>,
    details: Value,
    partner_id: Uuid,
    partner_name: String,
    vehicle_id: String,
}

impl ChangeRow {
    fn into_change(self) -> Result<OrderChange, sqlx::Error> {
        let transaction = self.transaction_id.parse::<u64>();
        Ok(OrderChange {
            position: ChangePosition {
                transaction: transaction.map_err(|_| InvalidColumn::new(&self.transaction_id))?,
                order: self.order_id.into(),
                kind: self.kind,
                number: self.number,
            },
            vehicle_id: vehicle_id(&self.vehicle_id)?,
            partner: self.partner_id.into(),
            partner_name: self.partner_name,
            action: self.action,
            status: optional_word(self.status.as_deref())?,
            fulfillment_detail: optional_word(self.fulfillment_detail.as_deref())?,
            actor: self.actor,
            request_id: self.request_id,
            recorded_at: self.recorded_at,
            details: self.details,
        })
    }
}

/// Lists up to `limit` changes of all orders after a position.
///
/// Only changes by transactions older than every transaction in progress are listed: all of these have ended, so nothing
/// can appear before a listed change later. A transaction in progress, in any database of the cluster, delays the changes
/// that follow it.
pub(crate) async fn list_changes(
    conn: &mut Connection,
    after: ChangePosition,
    limit: i64,
) -> Result<Vec<OrderChange>, sqlx::Error> {
    let (last_step, last_other) = after.last_numbers();
    let rows = sqlx::query_as!(
        ChangeRow,
        r#"
        with placed as (
            select transaction_id, id as order_id, 0 as kind, 1::bigint as number, 'order.placed' as action,
                   'proceed' as status, null::text as fulfillment_detail, placed_by as actor, request_id,
                   placed_at as recorded_at, '{}'::jsonb as details
            from orders
            where (transaction_id, id) > ($1::text::xid8, $2::uuid)
              and transaction_id < (select pg_snapshot_xmin(pg_current_snapshot()))
            order by transaction_id, id
            limit $5
        ), steps as (
            select transaction_id, order_id, 0 as kind, n::bigint as number,
                   case when by <> 'partner' then 'order.advanced'
                        when status = 'cancelled' then 'order.cancelled'
                        else 'order.reported' end as action,
                   status::text, fulfillment_detail::text, made_by as actor, request_id, made_at as recorded_at,
                   '{}'::jsonb as details
            from order_steps
            where (transaction_id, order_id, n) > ($1::text::xid8, $2::uuid, $3::integer)
              and transaction_id < (select pg_snapshot_xmin(pg_current_snapshot()))
            order by transaction_id, order_id, n
            limit $5
        ), others as (
            select transaction_id, order_id, 1 as kind, id as number, action, null::text as status,
                   null::text as fulfillment_detail, actor, request_id, recorded_at, details
            from audit_entries
            where order_id is not null
              and (transaction_id, order_id, id) > ($1::text::xid8, $2::uuid, $4::bigint)
              and transaction_id < (select pg_snapshot_xmin(pg_current_snapshot()))
            order by transaction_id, order_id, id
            limit $5
        ), changes as (
            select * from placed union all select * from steps union all select * from others
        )
        select changes.transaction_id::text as "transaction_id!", order_id as "order_id!", kind as "kind!",
               number as "number!", action as "action!", changes.status, changes.fulfillment_detail,
               actor as "actor!", changes.request_id, recorded_at as "recorded_at!", details as "details!",
               orders.partner_id as "partner_id!", partners.name as "partner_name!",
               orders.vehicle_id as "vehicle_id!"
        from changes
        join orders on orders.id = order_id
        join partners on partners.id = orders.partner_id
        order by changes.transaction_id, order_id, kind, number
        limit $5
        "#,
        after.transaction.to_string(),
        after.order.uuid(),
        last_step,
        last_other,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(ChangeRow::into_change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_read_in_its_canonical_spelling_only() {
        let text = "1842-01KNVD7K402JY0W9P0X3A6T4QB-0-2";
        let position: ChangePosition = text.parse().unwrap();
        assert_eq!(position.to_string(), text);
        assert_eq!(position.last_numbers(), (2, -1));
        for other in [
            "",
            "1842",
            "01842-01KNVD7K402JY0W9P0X3A6T4QB-0-2",
            "1842-01KNVD7K402JY0W9P0X3A6T4QB-0-2-3",
            "1842-01KNVD7K402JY0W9P0X3A6T4QB-0-+2",
            "1842-01knvd7k402jy0w9p0x3a6t4qb-0-2",
        ] {
            assert_eq!(other.parse::<ChangePosition>(), Err(NotAnId), "{other}");
        }
    }

    #[test]
    fn other_changes_of_an_order_follow_its_steps_in_one_transaction() {
        let position: ChangePosition = "7-01KNVD7K402JY0W9P0X3A6T4QB-1-40".parse().unwrap();
        assert_eq!(position.last_numbers(), (i32::MAX, 40));
    }
}
