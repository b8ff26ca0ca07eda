//! Reads of orders. Every read by a partner is scoped by it, and values are always bound parameters.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    super::{
        model::{HistoryStep, Standing},
        view::{Rendered, RenderedOrder},
    },
    HistoryRow,
    list::Position,
};
use crate::{
    database::{BatchRead, Connection, column::usd, in_order},
    values::id::{OrderId, PartnerId},
};

/// A row of the view `orders_with_standing` for reads: the rendered order, and its position in a list.
#[derive(Debug)]
pub(super) struct TextRow {
    rendered: String,
    is_highest_bid: Option<bool>,
    current_max_bid_usd: Option<i32>,
    /// The time by which the list is sorted; `None` is last.
    pub(super) position: Option<DateTime<Utc>>,
    pub(super) id: Uuid,
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
    pub(super) fn into_text(self) -> Result<RenderedOrder, sqlx::Error> {
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

/// An order with its partner and the user at the partner.
#[derive(Debug, Clone)]
pub(crate) struct OwnedOrder {
    /// The order.
    pub(crate) order: RenderedOrder,
    /// The partner that placed it.
    pub(crate) partner: PartnerId,
    /// The partner's name.
    pub(crate) partner_name: String,
    /// The user at the partner for whom it was placed.
    pub(crate) external_user_id: Option<String>,
}

/// A row of the view `orders_with_standing` with the partner.
pub(super) struct OwnedRow {
    text: TextRow,
    partner_id: Uuid,
    partner_name: String,
    external_user_id: Option<String>,
}

impl FromRow<'_, PgRow> for OwnedRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            text: TextRow::from_row(row)?,
            partner_id: row.try_get(5)?,
            partner_name: row.try_get(6)?,
            external_user_id: row.try_get(7)?,
        })
    }
}

impl OwnedRow {
    /// Converts the row to an order with its position in a list. The error names an invalid row.
    pub(super) fn into_order(self) -> Result<(OwnedOrder, Position), sqlx::Error> {
        let time = self.text.position.map(|it| it.timestamp_millis());
        let position = (time, OrderId::from(self.text.id));
        let order = OwnedOrder {
            order: self.text.into_text()?,
            partner: self.partner_id.into(),
            partner_name: self.partner_name,
            external_user_id: self.external_user_id,
        };
        Ok((order, position))
    }
}

/// Reads orders, each of one partner.
///
/// The limit keeps a plan that was made while there were few orders from joining all of them with the keys.
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
            select n as "n!", rendered as "rendered!", is_highest_bid as "is_highest_bid?",
                   current_max_bid_usd as "current_max_bid_usd?: i32", found.id as "id!"
            from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(partner_id, id, n)
            cross join lateral (
                select id, rendered, is_highest_bid, current_max_bid_usd
                from orders_with_standing as orders
                where orders.id = asked.id and orders.partner_id = asked.partner_id
                limit 1
            ) as found
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

/// Finds an order of any partner, for the operator.
pub(crate) async fn find_of_any_partner(
    conn: &mut Connection,
    id: OrderId,
) -> Result<Option<OwnedOrder>, sqlx::Error> {
    let statement = "select rendered, is_highest_bid, current_max_bid_usd, null::timestamptz, orders.id, partner_id,
                name, external_user_id
         from orders_with_standing as orders join partners on partners.id = partner_id
         where orders.id = $1";
    let row: Option<OwnedRow> = sqlx::query_as(statement)
        .bind(id.uuid())
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok(row.into_order()?.0)).transpose()
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
