//! Reads of orders by partners. Every read is scoped by the partner.

use chrono::DateTime;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::super::{
    filter::{Filter, Sort},
    model::HistoryStep,
    rendered::RenderedOrder,
    row::{HistoryRow, TextRow},
};
use crate::{
    database::{BatchRead, Connection, in_order},
    values::id::{OrderId, PartnerId, VehicleId},
};

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
                place: None,
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

/// Finds the JSON of a vehicle at the time of the partner's latest order for it.
pub(crate) async fn find_latest_snapshot(
    conn: &mut Connection,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select order_vehicles.vehicle as "vehicle!" from orders
        join order_vehicles on order_vehicles.order_id = orders.id
        where orders.partner_id = $1 and orders.vehicle_id = $2
        order by orders.accepted_no desc
        limit 1
        "#,
        partner.uuid(),
        vehicle.as_str(),
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
pub(crate) type Place = (Option<i64>, OrderId);

/// Lists up to `limit` orders after a position, each with its own position.
///
/// The statement is built at run time: a static one with every filter in it, set or not, would get one generic plan for
/// all combinations, which suits none of them.
pub(crate) async fn list(
    conn: &mut Connection,
    partner: PartnerId,
    filter: &Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<(RenderedOrder, Place)>, sqlx::Error> {
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
        let place = (
            row.place.map(|it| it.timestamp_millis()),
            OrderId::from(row.id),
        );
        Ok((row.into_text()?, place))
    });
    texts.collect()
}
