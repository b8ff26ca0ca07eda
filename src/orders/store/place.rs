//! Placing: what must be looked at, and what is recorded, in one statement or under the vehicle's lock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Row, postgres::PgRow};
use uuid::Uuid;

use super::super::{
    model::{Market, Order},
    rendered::Rendered,
};
use crate::{
    audit::model::Author,
    database::{Connection, Tx, column::usd},
    id::{OrderId, PartnerId, VehicleId},
    idempotency::{AtOnce, Claim, StoredReply},
    vehicles::{
        model::{PricePoint, Vehicle},
        row::{VehicleRow, vehicle_columns},
    },
};

/// How old a decision may be that `place_order` still records.
pub(crate) const DECISION_AGE_MAX: Duration = Duration::from_secs(1);

/// A vehicle and its market as one row.
#[derive(Debug, FromRow)]
struct LookRow {
    #[sqlx(flatten)]
    vehicle: VehicleRow,
    now: DateTime<Utc>,
    open_order: Option<Uuid>,
    highest_bid: Option<i32>,
    is_sold: bool,
}

/// A vehicle as it stands in the catalogue, for an order that is decided without a lock.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The vehicle.
    pub vehicle: Vehicle,
    /// Its prices, the present one last.
    pub prices: Vec<PricePoint>,
    /// The version of its row: every change makes another.
    pub row_version: String,
}

/// What there is to know before an order is decided without a lock.
#[derive(Debug)]
pub(crate) enum Found {
    /// The key did something before.
    KeyUsed(StoredReply),
    /// The key is free, and the vehicle is offered.
    Offer(Box<Offer>),
    /// The key is free, and the vehicle is not offered.
    Nothing,
}

/// Finds what a key did, and if it did nothing, the vehicle that its order is for. Nothing is locked.
pub(crate) async fn find_offer(
    conn: &mut Connection,
    claim: &Claim,
    vehicle: &VehicleId,
) -> Result<Found, sqlx::Error> {
    let row: PgRow = sqlx::query(concat!(
        "select used.*, offer.*
         from (values ($1::uuid, $2::uuid)) as claim (partner_id, key)
         left join lateral (
             select fingerprint, reply_location, reply_body, orders.vehicle_id as ordered_vehicle
             from idempotency_keys left join orders on orders.id = order_id
             where idempotency_keys.partner_id = claim.partner_id and idempotency_keys.key = claim.key
         ) as used on true
         left join lateral (
             select ",
        vehicle_columns!(),
        ", vehicles.xmin::text as row_version
             from vehicles
             where id = $3 and withdrawn_at is null and used.fingerprint is null
         ) as offer on true"
    ))
    .bind(claim.partner.uuid())
    .bind(claim.key)
    .bind(vehicle.as_str())
    .fetch_one(conn)
    .await?;
    if let Some(fingerprint) = row.try_get("fingerprint")? {
        let vehicle: Option<&str> = row.try_get("ordered_vehicle")?;
        let body: Vec<u8> = row.try_get("reply_body")?;
        return Ok(Found::KeyUsed(StoredReply {
            fingerprint,
            vehicle_id: vehicle.and_then(VehicleId::parse),
            location: row.try_get("reply_location")?,
            body: body.into(),
        }));
    }
    let Some(row_version) = row.try_get("row_version")? else {
        return Ok(Found::Nothing);
    };
    let (vehicle, prices) = VehicleRow::from_row(&row)?.into_model_with_prices()?;
    Ok(Found::Offer(Box::new(Offer {
        vehicle,
        prices,
        row_version,
    })))
}

/// Looks at a locked vehicle and what else must be known to order it; it holds until the commit.
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
        let (vehicle, history) = row.vehicle.into_model_with_prices()?;
        Ok((vehicle, history, market))
    })
    .transpose()
}

/// An order that is placed, and what is kept with it.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    /// The order.
    pub order: &'a Order,
    /// Who places it, and under which request.
    pub author: &'a Author,
    /// Whom in the partner's organisation it is for.
    pub user: Option<&'a str>,
    /// The order as it is kept for reading.
    pub rendered: &'a Rendered,
    /// The vehicle as it is shown now.
    pub snapshot: &'a str,
    /// The reply's `Location`.
    pub location: &'a str,
    /// The reply's body.
    pub reply: &'a [u8],
}

/// Places an order in one statement: verifies what it was decided on, and records it with its key and its reply.
///
/// The statement is its own transaction. It decides nothing: where a premise does not hold it changes nothing.
pub(crate) async fn place_at_once(
    conn: &mut Connection,
    claim: &Claim,
    row_version: &str,
    placed: &Placed<'_>,
) -> Result<AtOnce, sqlx::Error> {
    let order = placed.order;
    let row = sqlx::query!(
        r#"
        select outcome as "outcome!", first_fingerprint, first_vehicle, first_location, first_reply
        from place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
        "#,
        claim.partner.uuid(),
        claim.key,
        claim.fingerprint.as_bytes(),
        order.id.uuid(),
        order.vehicle_id.as_str(),
        row_version,
        order.created_at,
        order.vin.as_deref(),
        order.license_plate.as_deref(),
        order.bid.map(|it| it.max_bid.dollars()),
        order.bid.map(|it| it.auction_date.instant()),
        order.bid.map(|it| it.order_cutoff_at.instant()),
        placed.user,
        placed.author.actor,
        placed.author.request_id.to_string(),
        placed.rendered.as_str(),
        placed.snapshot,
        placed.location,
        placed.reply,
    )
    .fetch_one(conn)
    .await?;
    match row.outcome.as_str() {
        "placed" => Ok(AtOnce::Done),
        "undecided" => Ok(AtOnce::Undecided),
        _ => Ok(AtOnce::KeyUsed(StoredReply {
            fingerprint: row.first_fingerprint.unwrap_or_default(),
            vehicle_id: row.first_vehicle.as_deref().and_then(VehicleId::parse),
            location: row.first_location,
            body: row.first_reply.unwrap_or_default().into(),
        })),
    }
}

/// Records an order that was decided under the lock of its vehicle, and the reply under its bound key.
pub(crate) async fn record(
    tx: &mut Tx,
    partner: PartnerId,
    key: Uuid,
    placed: &Placed<'_>,
    market: &Market,
) -> Result<(), sqlx::Error> {
    let order = placed.order;
    let completed = sqlx::query!(
        r#"
        with contested as (
            update orders set is_contested = true
            where vehicle_id = $3 and status in ('proceed', 'acquiring') and max_bid_usd is not null
              and not is_contested and $6::integer is not null
        ), placed as (
            insert into orders (id, partner_id, vehicle_id, vin, license_plate, status, max_bid_usd, auction_date,
                                order_cutoff_at, external_user_id, placed_by, request_id, placed_at, rendered,
                                is_contested, created_at, updated_at)
            values ($1, $2, $3, $4, $5, 'proceed', $6::integer, $7, $8, $9::text, $10, $11, lmn_now(0), $18,
                    $6::integer is not null and $12, $13, $13)
        ), snapshot as (
            insert into order_vehicles (order_id, vehicle) values ($1, $14)
        )
        update idempotency_keys set order_id = $1, reply_location = $16, reply_body = $17
        where partner_id = $2 and key = $15
        "#,
        order.id.uuid(),
        partner.uuid(),
        order.vehicle_id.as_str(),
        order.vin,
        order.license_plate,
        order.bid.map(|it| it.max_bid.dollars()),
        order.bid.map(|it| it.auction_date.instant()),
        order.bid.map(|it| it.order_cutoff_at.instant()),
        placed.user,
        placed.author.actor,
        placed.author.request_id.to_string(),
        market.highest_bid.is_some(),
        order.created_at,
        placed.snapshot,
        key,
        placed.location,
        placed.reply,
        placed.rendered.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    match completed.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}
