//! Orders in the database. Every read and write is scoped by the partner.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, QueryBuilder};
use uuid::Uuid;

use super::{
    filter::{Filter, Sort},
    model::{HistoryStep, Market, Order},
    row::{HistoryRow, OrderRow},
    state::{CancellationReason, Owner},
};
use crate::{
    db::{Tx, column::usd},
    id::{OrderId, PartnerId, RequestId, VehicleId},
    stamp::Stamp,
    vehicles::{
        model::{PricePoint, Vehicle},
        row::{VehicleRow, vehicle_columns},
    },
    word::Word,
};

/// Who writes, for the audit row that goes with every change.
#[derive(Debug)]
pub(crate) struct Author {
    /// Whose order it is.
    pub partner: PartnerId,
    /// The key that was used.
    pub actor: String,
    /// The request.
    pub request_id: RequestId,
}

/// Finds an order.
pub(crate) async fn find(
    conn: &mut PgConnection,
    partner: PartnerId,
    id: OrderId,
) -> Result<Option<Order>, sqlx::Error> {
    let row = sqlx::query_as!(
        OrderRow,
        r#"
        select id as "id!", vehicle_id as "vehicle_id!", vin, license_plate, status as "status!", fulfillment_detail,
               max_bid_usd, is_highest_bid, current_max_bid_usd, purchase_price_usd, auction_fee_usd, auction_date,
               order_cutoff_at, failure_reason, cancellation_reason, vessel_name, bl_number, port_of_loading,
               port_of_discharge, etd, eta, created_at as "created_at!", updated_at as "updated_at!"
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
    conn: &mut PgConnection,
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
    conn: &mut PgConnection,
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
    conn: &mut PgConnection,
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
    conn: &mut PgConnection,
    partner: PartnerId,
    filter: &Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Order>, sqlx::Error> {
    let mut query = QueryBuilder::new(
        "select id, vehicle_id, vin, license_plate, status, fulfillment_detail, max_bid_usd, is_highest_bid,
                current_max_bid_usd, purchase_price_usd, auction_fee_usd, auction_date, order_cutoff_at,
                failure_reason, cancellation_reason, vessel_name, bl_number, port_of_loading, port_of_discharge, etd,
                eta, created_at, updated_at
         from orders_with_standing
         where partner_id = ",
    );
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

/// Locks an order and, before it, its car: what is read of either afterwards is fresh. `false` if there is none.
pub(crate) async fn lock(
    tx: &mut Tx,
    partner: PartnerId,
    id: OrderId,
) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        r#"
        with car as materialized (
            select vehicles.id from vehicles
            join orders on orders.vehicle_id = vehicles.id
            where orders.partner_id = $1 and orders.id = $2
            for no key update of vehicles
        )
        select orders.id from car
        join orders on orders.vehicle_id = car.id
        where orders.partner_id = $1 and orders.id = $2
        for update of orders
        "#,
        partner.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(locked.is_some())
}

/// A car and its market as one row.
#[derive(Debug, FromRow)]
struct LookRow {
    #[sqlx(flatten)]
    car: VehicleRow,
    now: DateTime<Utc>,
    open_order: Option<Uuid>,
    highest_bid: Option<i32>,
    is_sold: bool,
}

/// Looks at a locked car and what else must be known to order it; it holds until the commit.
pub(crate) async fn look(
    tx: &mut Tx,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<Option<(Vehicle, Vec<PricePoint>, Market)>, sqlx::Error> {
    let row: Option<LookRow> = sqlx::query_as(concat!(
        "select ",
        vehicle_columns!(),
        ", lmn_now(clock_offset_seconds) as now,
           (select id from orders
            where partner_id = partners.id and vehicle_id = vehicles.id
              and status in ('proceed', 'acquiring', 'secured', 'shipping')) as open_order,
           (select max_bid_usd from orders
            where vehicle_id = vehicles.id and status in ('proceed', 'acquiring') and max_bid_usd is not null
            order by max_bid_usd desc limit 1) as highest_bid,
           exists (select from orders
                   where vehicle_id = vehicles.id and status in ('secured', 'shipping', 'delivered')) as is_sold
         from partners cross join vehicles
         where partners.id = $1 and vehicles.id = $2"
    ))
    .bind(partner.uuid())
    .bind(vehicle.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        let market = Market {
            now: row.now,
            open_order: row.open_order.map(OrderId::from),
            highest_bid: row
                .highest_bid
                .map(usd)
                .transpose()
                .map_err(|error| error.in_row("vehicles", vehicle))?,
            is_sold: row.is_sold,
        };
        let (car, history) = row.car.into_model_with_prices()?;
        Ok((car, history, market))
    })
    .transpose()
}

/// An order that was placed, and what is kept with it.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    /// The order.
    pub order: &'a Order,
    /// Whom in the partner's organisation it is for.
    pub user: Option<&'a str>,
    /// The car as it is shown now.
    pub vehicle: &'a str,
    /// The key that is bound, and so far without a reply.
    pub key: Uuid,
    /// The reply's `Location`.
    pub location: &'a str,
    /// The reply's body.
    pub reply: &'a [u8],
}

/// Records a new order: its row, its first step, the car as it was, the audit row, and the reply under its key.
///
/// One statement, because each costs every order a round trip.
pub(crate) async fn record(
    tx: &mut Tx,
    author: &Author,
    placed: &Placed<'_>,
) -> Result<(), sqlx::Error> {
    let order = placed.order;
    let now = Stamp::kst(order.created_at);
    let completed = sqlx::query!(
        r#"
        with placed as (
            insert into orders (id, partner_id, vehicle_id, vin, license_plate, status, max_bid_usd, auction_date,
                                order_cutoff_at, created_at, updated_at, external_user_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $17)
        ), first_step as (
            insert into order_history (order_id, n, status, by, occurred_at, occurred_offset_minutes, recorded_at)
            values ($1, 1, $6, $11, $10, $12, $10)
        ), snapshot as (
            insert into order_vehicles (order_id, vehicle) values ($1, $13::text::json)
        ), audited as (
            insert into audit_log (recorded_at, actor, partner_id, action, subject, request_id)
            values ($10, $14, $2, 'order.placed', $15, $16)
        )
        update idempotency_keys set order_id = $1, reply_location = $19, reply_body = $20
        where partner_id = $2 and key = $18
        "#,
        order.id.uuid(),
        author.partner.uuid(),
        order.vehicle_id.as_str(),
        order.vin,
        order.license_plate,
        order.state.status.as_str(),
        order.bid.map(|it| it.max_bid.dollars()),
        order.bid.map(|it| it.auction_date.instant()),
        order.bid.map(|it| it.order_cutoff_at.instant()),
        order.created_at,
        Owner::Partner.as_str(),
        now.offset_minutes(),
        placed.vehicle,
        author.actor,
        order.id.to_string(),
        author.request_id.to_string(),
        placed.user,
        placed.key,
        placed.location,
        placed.reply,
    )
    .execute(&mut **tx)
    .await?;
    match completed.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

/// Records that the partner cancelled a locked order, with its standing as it was, and the audit row.
pub(crate) async fn record_cancelled(
    tx: &mut Tx,
    author: &Author,
    order: &Order,
    reason: CancellationReason,
) -> Result<(), sqlx::Error> {
    let now = Stamp::kst(order.updated_at);
    sqlx::query!(
        r#"
        with cancelled as (
            update orders
            set status = $3, cancellation_reason = $4, final_is_highest = $5, final_highest_bid_usd = $6,
                updated_at = $7
            where id = $1 and partner_id = $2
        ), step as (
            insert into order_history (order_id, n, status, by, occurred_at, occurred_offset_minutes, recorded_at)
            select $1, max(n) + 1, $3, $8, $7, $9, $7 from order_history where order_id = $1
        )
        insert into audit_log (recorded_at, actor, partner_id, action, subject, request_id)
        values ($7, $10, $2, 'order.cancelled', $11, $12)
        "#,
        order.id.uuid(),
        author.partner.uuid(),
        order.state.status.as_str(),
        reason.as_str(),
        order.bid.map(|it| it.standing.is_highest),
        order.bid.map(|it| it.standing.highest_bid.dollars()),
        order.updated_at,
        Owner::Partner.as_str(),
        now.offset_minutes(),
        author.actor,
        order.id.to_string(),
        author.request_id.to_string(),
    )
    .execute(&mut **tx)
    .await
    .map(drop)
}
