//! The list of a partner's orders: its filters, its sorts, and one page of it.

use std::fmt::Write;

use chrono::DateTime;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    super::{state_machine::OrderStatus, view::RenderedOrder},
    read::TextRow,
};
use crate::{
    database::Connection,
    values::{
        id::{OrderId, PartnerId},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// The condition of the index `orders_one_open`.
pub(super) const OPEN: &str = "status in ('proceed', 'acquiring', 'secured', 'shipping')";
/// The condition of the indexes `orders_done_by_created`, `orders_done_by_updated` and `orders_done_by_auction`.
pub(super) const DONE: &str = "status in ('delivered', 'cancelled', 'failed')";

/// The filters of a list of orders. Every filter that is set must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// With one of these ids. Ids that do not exist are left out.
    pub(crate) ids: Option<Vec<OrderId>>,
    /// With one of these statuses.
    pub(crate) status: Vec<OrderStatus>,
    /// For this vehicle. Text that is not a vehicle id matches no order.
    pub(crate) vehicle_id: Option<String>,
    /// Accepted at or after this time.
    pub(crate) from: Option<Timestamp>,
    /// Accepted before this time.
    pub(crate) to: Option<Timestamp>,
    /// Placed or changed by the request with this idempotency key.
    pub(crate) idempotency_key: Option<Uuid>,
}

impl Filter {
    /// Appends ` and …` for every filter that is set, except that of statuses.
    fn push(&self, partner: PartnerId, query: &mut QueryBuilder<Postgres>) {
        if let Some(ids) = &self.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            query.push(" and id = any(").push_bind(ids).push(")");
        }
        if let Some(vehicle) = &self.vehicle_id {
            query.push(" and vehicle_id = ").push_bind(vehicle.clone());
        }
        if let Some(from) = self.from {
            query.push(" and created_at >= ").push_bind(from.instant());
        }
        if let Some(to) = self.to {
            query.push(" and created_at < ").push_bind(to.instant());
        }
        if let Some(key) = self.idempotency_key {
            query.push(
                " and id = (select order_id from idempotency_keys as keys where keys.partner_id = ",
            );
            query
                .push_bind(partner.uuid())
                .push(" and keys.key = ")
                .push_bind(key)
                .push(")");
        }
    }

    /// Returns whether the statuses alone limit the orders: without them, a list could be the partner's whole history.
    fn is_limited_by_status(&self) -> bool {
        let others = (&self.ids, &self.vehicle_id, &self.idempotency_key);
        !self.status.is_empty() && matches!(others, (None, None, None))
    }

    /// Returns the canonical form of the filters. The order and repetition of values within a filter do not change it.
    pub(crate) fn canonical(&self) -> String {
        let mut ids = self.ids.clone();
        if let Some(ids) = &mut ids {
            ids.sort();
            ids.dedup();
        }
        let mut status: Vec<_> = self.status.iter().map(|it| it.as_str()).collect();
        status.sort_unstable();
        status.dedup();
        let millis =
            |timestamp: Option<Timestamp>| timestamp.map(|it| it.instant().timestamp_millis());
        let mut text = String::new();
        // Writing to a string cannot fail. The debug format quotes strings, so that no value can be read as two.
        let _ = write!(
            text,
            "ids={ids:?};status={status:?};vehicle_id={:?};from={:?};to={:?};idempotency_key={:?}",
            self.vehicle_id,
            millis(self.from),
            millis(self.to),
            self.idempotency_key,
        );
        text
    }
}

/// The sort orders of the list. Each compares a time, then the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Newest first, by the time of acceptance.
    CreatedDesc,
    /// Oldest first, by the time of acceptance.
    CreatedAsc,
    /// Earliest auction first, orders on buy-now vehicles last.
    AuctionDateAsc,
    /// Most recently changed first.
    UpdatedDesc,
}

impl Sort {
    /// All sort orders with their names. The first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("created_desc", Self::CreatedDesc),
        ("created_asc", Self::CreatedAsc),
        ("auction_date_asc", Self::AuctionDateAsc),
        ("updated_desc", Self::UpdatedDesc),
    ];

    /// Returns the column of the time. It is indexed.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::CreatedDesc | Self::CreatedAsc => "created_at",
            Self::AuctionDateAsc => "auction_order",
            Self::UpdatedDesc => "updated_at",
        }
    }

    /// Returns the SQL direction, and the operator that selects the rows after a position.
    pub(super) fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::CreatedAsc | Self::AuctionDateAsc => ("asc", ">"),
            Self::CreatedDesc | Self::UpdatedDesc => ("desc", "<"),
        }
    }

    /// Appends ` and …` for the orders after a position, in the order of a column and the id.
    pub(super) fn push_after(
        self,
        (time, id): &Position,
        column: &str,
        query: &mut QueryBuilder<Postgres>,
    ) {
        let (_, comes_after) = self.direction();
        let time = time.and_then(DateTime::from_timestamp_millis);
        query.push(format_args!(" and ({column}, id) {comes_after} (coalesce("));
        query.push_bind(time).push(", timestamptz 'infinity'), ");
        query.push_bind(id.uuid()).push(")");
    }
}

/// A position in a list of orders: the time of the sort in milliseconds (`None` is last), and the id.
pub(crate) type Position = (Option<i64>, OrderId);

/// Lists up to `limit` orders after a position, each with its own position.
///
/// The statement is built at run time: a static one with every filter in it, set or not, would get one generic plan for
/// all combinations, which suits none of them.
pub(crate) async fn list(
    conn: &mut Connection,
    partner: PartnerId,
    filter: &Filter,
    sort: Sort,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<(RenderedOrder, Position)>, sqlx::Error> {
    let page = Page {
        partner,
        filter,
        sort,
        after,
        limit,
    };
    let mut query = match filter.is_limited_by_status() {
        true => page.by_status(),
        false => page.in_order(),
    };
    let rows: Vec<TextRow> = query.build_query_as().fetch_all(conn).await?;
    let texts = rows.into_iter().map(|row| {
        let position = (
            row.position.map(|it| it.timestamp_millis()),
            OrderId::from(row.id),
        );
        Ok((row.into_text()?, position))
    });
    texts.collect()
}

/// A page to read, from which its statement is built.
struct Page<'a> {
    partner: PartnerId,
    filter: &'a Filter,
    sort: Sort,
    after: Option<&'a Position>,
    limit: i64,
}

impl Page<'_> {
    /// Returns the statement that reads the partner's orders in the order of the sort, and keeps those that match.
    fn in_order(&self) -> QueryBuilder<Postgres> {
        let column = self.sort.column();
        let mut query = QueryBuilder::new("select rendered, is_highest_bid, current_max_bid_usd, ");
        query.push(format_args!(
            "nullif({column}, 'infinity'), id from orders_with_standing where partner_id = "
        ));
        query.push_bind(self.partner.uuid());
        self.push_statuses(&mut query, &self.filter.status);
        self.push_rest(&mut query);
        self.push_order(&mut query, column);
        query
    }

    /// Returns the statement that reads the orders of each status by themselves, so that a rare status does not read the
    /// partner's whole history.
    ///
    /// Done orders of a status are indexed by every sort. Open orders are not, so that placing an order maintains no
    /// further index: all of the partner's open orders are read, which are as many as the vehicles that it is buying.
    fn by_status(&self) -> QueryBuilder<Postgres> {
        let column = self.sort.column();
        let mut status = self.filter.status.clone();
        status.sort_unstable();
        status.dedup();
        let (done, open): (Vec<_>, Vec<_>) = status.into_iter().partition(|it| is_done(*it));
        let mut query = QueryBuilder::new("with ");
        if !open.is_empty() {
            query.push(format_args!(
                "open_orders as materialized (select id, {column} as position from orders where {OPEN} and partner_id = "
            ));
            query.push_bind(self.partner.uuid());
            self.push_statuses(&mut query, &open);
            self.push_rest(&mut query);
            query.push("), ");
        }
        query.push("found as (");
        let mut separator = "";
        if !open.is_empty() {
            query.push("(select id, position from open_orders");
            self.push_order(&mut query, "position");
            query.push(")");
            separator = " union all ";
        }
        for status in done {
            query.push(format_args!(
                "{separator}(select id, {column} as position from orders where {DONE} and partner_id = "
            ));
            query.push_bind(self.partner.uuid());
            // As a literal: a plan for any status could walk the history for a rare one.
            query.push(format_args!(" and status = '{}'", status.as_str()));
            self.push_rest(&mut query);
            self.push_order(&mut query, column);
            query.push(")");
            separator = " union all ";
        }
        query.push("), page as (select id from found");
        self.push_order(&mut query, "position");
        query.push(format_args!(
            ") select rendered, is_highest_bid, current_max_bid_usd, nullif({column}, 'infinity'), id
             from orders_with_standing where id = any(array(select id from page)) and partner_id = "
        ));
        query.push_bind(self.partner.uuid());
        self.push_order(&mut query, column);
        query
    }

    /// Appends ` and …` for some statuses, if there are any.
    fn push_statuses(&self, query: &mut QueryBuilder<Postgres>, status: &[OrderStatus]) {
        if !status.is_empty() {
            let words: Vec<&str> = status.iter().map(|it| it.as_str()).collect();
            query.push(" and status = any(").push_bind(words).push(")");
        }
    }

    /// Appends ` and …` for the other filters and the position.
    fn push_rest(&self, query: &mut QueryBuilder<Postgres>) {
        self.filter.push(self.partner, query);
        if let Some(after) = self.after {
            self.sort.push_after(after, self.sort.column(), query);
        }
    }

    /// Appends the order by a column, and the limit.
    ///
    /// The limit is part of the text. With a parameter PostgreSQL plans the statement on every execution, because a
    /// generic plan assumes a large limit.
    fn push_order(&self, query: &mut QueryBuilder<Postgres>, column: &str) {
        let (direction, _) = self.sort.direction();
        let limit = self.limit;
        query.push(format_args!(
            " order by {column} {direction}, id {direction} limit {limit}"
        ));
    }
}

/// Returns whether orders of a status do not change any more.
pub(super) fn is_done(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Delivered | OrderStatus::Cancelled | OrderStatus::Failed => true,
        OrderStatus::Proceed
        | OrderStatus::Acquiring
        | OrderStatus::Secured
        | OrderStatus::Shipping => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_the_order_of_values_but_not_their_fields() {
        let id = OrderId::new(chrono::DateTime::UNIX_EPOCH);
        let base = Filter {
            ids: Some(vec![id]),
            status: vec![OrderStatus::Failed, OrderStatus::Proceed],
            ..Filter::default()
        };
        let reordered = Filter {
            ids: Some(vec![id, id]),
            status: vec![OrderStatus::Proceed, OrderStatus::Failed],
            ..Filter::default()
        };
        assert_eq!(base.canonical(), reordered.canonical());
        let at = Timestamp::parse("2026-04-01T00:00:00+09:00").ok();
        let same_instant = Timestamp::parse("2026-03-31T15:00:00+00:00").ok();
        let canonical = |to| {
            Filter {
                to,
                ..Filter::default()
            }
            .canonical()
        };
        assert_eq!(canonical(at), canonical(same_instant));
        for other in [
            Filter {
                ids: Some(Vec::new()),
                ..Filter::default()
            },
            Filter {
                to: at,
                ..Filter::default()
            },
            Filter {
                from: at,
                ..Filter::default()
            },
            Filter {
                vehicle_id: Some("a".into()),
                ..Filter::default()
            },
            Filter {
                idempotency_key: Some(Uuid::nil()),
                ..Filter::default()
            },
        ] {
            assert_ne!(other.canonical(), Filter::default().canonical());
        }
    }

    #[test]
    fn every_status_is_in_the_condition_of_its_indexes() {
        for status in OrderStatus::ALL {
            let quoted = format!("'{}'", status.as_str());
            assert_eq!(DONE.contains(&quoted), is_done(*status));
            assert_eq!(OPEN.contains(&quoted), !is_done(*status));
        }
    }
}
