//! Placing: what must be looked at, and what is recorded.

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::{
    model::{Market, Order},
    state::Owner,
};
use crate::{
    audit::model::Author,
    database::{Tx, column::usd},
    id::{OrderId, PartnerId, VehicleId},
    stamp::Stamp,
    vehicles::{
        model::{PricePoint, Vehicle},
        row::{VehicleRow, vehicle_columns},
    },
    word::Word,
};

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
    partner: PartnerId,
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
            values (lmn_now(0), $14, $2, 'order.placed', $15, $16)
        )
        update idempotency_keys set order_id = $1, reply_location = $19, reply_body = $20
        where partner_id = $2 and key = $18
        "#,
        order.id.uuid(),
        partner.uuid(),
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
