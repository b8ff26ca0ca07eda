//! Orders as partners read them, every read scoped by the partner.

use chrono::DateTime;
use sqlx::QueryBuilder;

use super::super::{
    filter::{Filter, Sort},
    model::{HistoryStep, Order},
    row::{HistoryRow, OrderRow, order_columns},
};
use crate::{
    database::Connection,
    id::{OrderId, PartnerId, VehicleId},
};

/// Finds an order.
pub(crate) async fn find(
    conn: &mut Connection,
    partner: PartnerId,
    id: OrderId,
) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query_as!(
        OrderRow,
        r#"
        select id as "id!", vehicle_id as "vehicle_id!", vin, license_plate, status as "status!", fulfillment_detail,
               max_bid_usd, is_highest_bid, current_max_bid_usd, purchase_price_usd, auction_fee_usd, auction_date,
               order_cutoff_at, failure_reason, cancellation_reason, vessel_name, bl_number, port_of_loading,
               port_of_discharge, etd, etd_offset_minutes, eta, eta_offset_minutes, created_at as "created_at!", updated_at as "updated_at!"
        from orders_with_standing
        where partner_id = $1 and id = $2
        "#,
        partner.uuid(),
        id.uuid(),
    )
    .fetch_optional(conn)
    .await?;
    row.map(OrderRow::into_model).transpose()
}

/// Finds the car as it was when an order was placed, byte for byte; the outer `None` is an order that is not there.
pub(crate) async fn find_snapshot(
    conn: &mut Connection,
    partner: PartnerId,
    id: OrderId,
) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select order_vehicles.vehicle::text as "vehicle?" from orders
        left join order_vehicles on order_vehicles.order_id = orders.id
        where orders.partner_id = $1 and orders.id = $2
        "#,
        partner.uuid(),
        id.uuid(),
    )
    .fetch_optional(conn)
    .await
}

/// Finds a car as it was when the partner last ordered it.
pub(crate) async fn find_latest_snapshot(
    conn: &mut Connection,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select order_vehicles.vehicle::text as "vehicle!" from orders
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
    // An order without further steps is one row of nothing.
    let exists = !rows.is_empty();
    let steps: Result<Vec<_>, _> = rows
        .into_iter()
        .filter_map(|row| row.into_model(id))
        .collect();
    Ok(exists.then_some(steps?))
}

/// A place in a walk of orders: the sort's time in milliseconds (nothing is last) and the id.
pub(crate) type Place = (Option<i64>, String);

/// Lists up to `limit` orders after a place.
///
/// Put together at run time, like the list of vehicles: one statement with every filter in it, in use or not, is
/// planned for the average of all questions and fits none.
pub(crate) async fn list(
    conn: &mut Connection,
    partner: PartnerId,
    filter: &Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let mut query = QueryBuilder::new(concat!(
        "select ",
        order_columns!(),
        " from orders_with_standing where partner_id = "
    ));
    query.push_bind(partner.uuid());
    filter.push(partner, &mut query);
    let column = sort.column();
    let (direction, comes_after) = sort.direction();
    if let Some((time, id)) = after {
        let time = time.and_then(DateTime::from_timestamp_millis);
        query.push(format_args!(" and ({column}, id) {comes_after} (coalesce("));
        query.push_bind(time).push(", timestamptz 'infinity'), ");
        query
            .push_bind(OrderId::parse(id).map(OrderId::uuid))
            .push(")");
    }
    query.push(format_args!(
        " order by {column} {direction}, id {direction} limit "
    ));
    query.push_bind(limit);
    let rows: Vec<OrderRow> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(OrderRow::into_model).collect()
}
