//! Reads of orders by partners. Every read is scoped by the partner, and values are always bound parameters.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    super::{
        model::{HistoryStep, Standing},
        state_machine::OrderStatus,
        view::{Rendered, RenderedOrder},
    },
    HistoryRow,
};
use crate::{
    database::{BatchRead, Connection, column::usd, in_order},
    values::{
        id::{OrderId, PartnerId},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

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
    /// Appends ` and …` for every filter that is set.
    fn push(&self, partner: PartnerId, query: &mut QueryBuilder<Postgres>) {
        if let Some(ids) = &self.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            query.push(" and id = any(").push_bind(ids).push(")");
        }
        if !self.status.is_empty() {
            let status: Vec<&str> = self.status.iter().map(|it| it.as_str()).collect();
            query.push(" and status = any(").push_bind(status).push(")");
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
        let millis = |stamp: Option<Timestamp>| stamp.map(|it| it.instant().timestamp_millis());
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
    fn column(self) -> &'static str {
        match self {
            Self::CreatedDesc | Self::CreatedAsc => "created_at",
            Self::AuctionDateAsc => "auction_order",
            Self::UpdatedDesc => "updated_at",
        }
    }

    /// Returns the SQL direction, and the operator that selects the rows after a position.
    fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::CreatedAsc | Self::AuctionDateAsc => ("asc", ">"),
            Self::CreatedDesc | Self::UpdatedDesc => ("desc", "<"),
        }
    }
}

/// A row of the view `orders_with_standing` for reads: the rendered order, and its position in a list.
#[derive(Debug)]
struct TextRow {
    rendered: String,
    is_highest_bid: Option<bool>,
    current_max_bid_usd: Option<i32>,
    /// The time by which the list is sorted; `None` is last.
    position: Option<DateTime<Utc>>,
    id: Uuid,
}

/// Reads the columns by position: a page has many rows, and looking up each column by name takes longer.
impl FromRow<'_, PgRow> for TextRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            rendered: row.try_get(0)?,
            is_highest_bid: row.try_get(1)?,
            current_max_bid_usd: row.try_get(2)?,
            position: row.try_get(3)?,
            id: row.try_get(4)?,
        })
    }
}

impl TextRow {
    /// Converts the row to a rendered order. The error names an invalid row.
    fn into_text(self) -> Result<RenderedOrder, sqlx::Error> {
        let highest = self.current_max_bid_usd.map(usd).transpose();
        let highest = highest.map_err(|error| error.in_row("orders", OrderId::from(self.id)))?;
        let standing = self.is_highest_bid.zip(highest);
        Ok(RenderedOrder {
            rendered: Rendered::stored(self.rendered),
            standing: standing.map(|(is_highest, highest_bid)| Standing {
                is_highest,
                highest_bid,
            }),
        })
    }
}

/// Reads orders, each of one partner.
#[derive(Debug)]
pub(crate) struct ReadOrders;

impl BatchRead for ReadOrders {
    type Key = (PartnerId, OrderId);
    type Value = Option<RenderedOrder>;

    async fn read(
        connection: &mut Connection,
        keys: &[Self::Key],
    ) -> Result<Vec<Self::Value>, sqlx::Error> {
        let (partners, ids): (Vec<Uuid>, Vec<Uuid>) = keys
            .iter()
            .map(|(partner, id)| (partner.uuid(), id.uuid()))
            .unzip();
        let rows = sqlx::query!(
            r#"
            select n as "n!", rendered as "rendered!", is_highest_bid,
                   current_max_bid_usd as "current_max_bid_usd: i32", orders.id as "id!"
            from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(partner_id, id, n)
            join orders_with_standing as orders on orders.id = asked.id and orders.partner_id = asked.partner_id
            "#,
            &partners,
            &ids,
        )
        .fetch_all(connection)
        .await?;
        let orders = rows.into_iter().map(|row| {
            let order = TextRow {
                rendered: row.rendered,
                is_highest_bid: row.is_highest_bid,
                current_max_bid_usd: row.current_max_bid_usd,
                position: None,
                id: row.id,
            };
            Ok((row.n, order.into_text()?))
        });
        in_order(orders, keys.len())
    }
}

/// Finds an order of a partner.
pub(crate) async fn find(
    conn: &mut Connection,
    partner: PartnerId,
    id: OrderId,
) -> Result<Option<RenderedOrder>, sqlx::Error> {
    let found = ReadOrders::read(conn, &[(partner, id)]).await?.pop();
    Ok(found.flatten())
}

/// Finds the JSON of the vehicle at the time of an order, byte for byte.
///
/// The outer `None` means that there is no such order, the inner one that it has no snapshot.
pub(crate) async fn find_snapshot(
    conn: &mut Connection,
    partner: PartnerId,
    id: OrderId,
) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select order_vehicles.vehicle as "vehicle?" from orders
        left join order_vehicles on order_vehicles.order_id = orders.id
        where orders.partner_id = $1 and orders.id = $2
        "#,
        partner.uuid(),
        id.uuid(),
    )
    .fetch_optional(conn)
    .await
}

/// Lists up to `limit` steps of an order after step `after`, oldest first; `None` if there is no such order.
pub(crate) async fn list_history(
    conn: &mut Connection,
    partner: PartnerId,
    id: OrderId,
    after: i32,
    limit: i64,
) -> Result<Option<Vec<HistoryStep>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        HistoryRow,
        r#"
        select n as "n?", order_history.status as "status?", order_history.fulfillment_detail, by as "by?",
               occurred_at as "occurred_at?", occurred_offset_minutes as "occurred_offset_minutes?",
               recorded_at as "recorded_at?", notes
        from orders
        left join order_history on order_history.order_id = orders.id and n > $3
        where orders.partner_id = $1 and orders.id = $2
        order by n
        limit $4
        "#,
        partner.uuid(),
        id.uuid(),
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    // An order without further steps is one row of nulls.
    let exists = !rows.is_empty();
    let steps: Result<Vec<_>, _> = rows
        .into_iter()
        .filter_map(|row| row.into_model(id))
        .collect();
    Ok(exists.then_some(steps?))
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
    let column = sort.column();
    let (direction, comes_after) = sort.direction();
    let mut query = QueryBuilder::new("select rendered, is_highest_bid, current_max_bid_usd, ");
    query.push(format_args!(
        "nullif({column}, 'infinity'), id from orders_with_standing where partner_id = "
    ));
    query.push_bind(partner.uuid());
    filter.push(partner, &mut query);
    if let Some((time, id)) = after {
        let time = time.and_then(DateTime::from_timestamp_millis);
        query.push(format_args!(" and ({column}, id) {comes_after} (coalesce("));
        query.push_bind(time).push(", timestamptz 'infinity'), ");
        query.push_bind(id.uuid()).push(")");
    }
    // The limit is part of the text. With a parameter PostgreSQL plans the statement on every execution, because a
    // generic plan assumes a large limit.
    query.push(format_args!(
        " order by {column} {direction}, id {direction} limit {limit}"
    ));
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
}
