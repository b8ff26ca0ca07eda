//! Statements that place an order: in one statement, or by a read and a write under the vehicle's lock.

use std::time::Duration;

use uuid::Uuid;

use super::super::{model::Order, view::Rendered};
use crate::{
    audit::Actor,
    database::{
        Connection, Tx, acknowledged,
        column::{InvalidColumn, optional_word, usd},
    },
    idempotency::{AtOnce, Claim, StoredReply},
    orders::placing::Market,
    values::id::{OrderId, PartnerId, VehicleId},
    vehicles::model::{AuctionState, Offer},
};

/// Maximum age of a decision that the SQL function `place_order` still records.
pub(crate) const DECISION_AGE_MAX: Duration = Duration::from_secs(1);

/// Reads a locked vehicle and the other facts that decide whether it can be ordered. They hold until the commit.
pub(crate) async fn find_market(
    tx: &mut Tx,
    partner: PartnerId,
    vehicle: &VehicleId,
) -> Result<Option<(Offer, Market)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select vin, license_plate, listing_usd, auction_date, auction_result, auction_result_at,
               withdrawn_at is null as "is_listed!",
               lmn_now(clock_offset_seconds) as "now!",
               (select id from orders
                where partner_id = partners.id and vehicle_id = vehicles.id
                  and status in ('proceed', 'acquiring', 'secured', 'shipping')) as open_order,
               (select max_bid_usd from orders
                where vehicle_id = vehicles.id and status in ('proceed', 'acquiring') and max_bid_usd is not null
                order by max_bid_usd desc limit 1) as "highest_bid: i32",
               exists (select from orders
                       where vehicle_id = vehicles.id and status in ('secured', 'shipping', 'delivered')) as "is_sold!"
        from partners cross join vehicles
        where partners.id = $1 and vehicles.id = $2
        "#,
        partner.uuid(),
        vehicle.as_str(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let invalid = |error: InvalidColumn| error.in_row("vehicles", vehicle);
    let result = optional_word(row.auction_result.as_deref()).map_err(invalid)?;
    let auction = row
        .auction_date
        .zip(result)
        .map(|(date, result)| AuctionState {
            date,
            result,
            result_at: row.auction_result_at,
        });
    let offer = Offer {
        vehicle_id: vehicle.clone(),
        vin: row.vin,
        license_plate: row.license_plate,
        listing_usd: usd(row.listing_usd).map_err(invalid)?,
        auction,
        is_listed: row.is_listed,
    };
    let market = Market {
        now: row.now,
        open_order: row.open_order.map(OrderId::from),
        highest_bid: row.highest_bid.map(usd).transpose().map_err(invalid)?,
        is_sold: row.is_sold,
    };
    Ok(Some((offer, market)))
}

/// An order to place, and the data that is stored with it.
#[derive(Debug)]
pub(crate) struct NewOrder<'a> {
    /// The order.
    pub order: &'a Order,
    /// The actor of the order, with the request.
    pub actor: &'a Actor,
    /// The user in the partner's organization that the order is for.
    pub user: Option<&'a str>,
    /// The rendered order, stored for reads.
    pub rendered: &'a Rendered,
    /// The reply's `Location`.
    pub location: &'a str,
    /// The reply's body.
    pub reply: &'a [u8],
}

/// Places an order in one statement: verifies the facts that it was decided on, and records it with its key and reply.
///
/// The statement is its own transaction. If one of the facts does not hold, it changes nothing.
pub(crate) async fn place_in_one_round_trip(
    conn: &mut Connection,
    partner: PartnerId,
    claim: &Claim,
    row_version: u32,
    new: &NewOrder<'_>,
) -> Result<AtOnce, sqlx::Error> {
    let order = new.order;
    // A reply that is sent again waits for a synchronous standby like the first one, see `ReadReplies`.
    let placed = sqlx::query!(
        r#"
        select outcome as "outcome!", first_fingerprint, first_vehicle, first_location, first_reply,
               case when outcome = 'key_used' then
                   (select case when current_setting('synchronous_standby_names') <> ''
                                then pg_logical_emit_message(true, 'lmn', ''::text)::text end) end as replicated_to
        from place_order($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        "#,
        partner.uuid(),
        claim.key,
        claim.fingerprint.as_bytes(),
        order.id.uuid(),
        order.vehicle_id.as_str(),
        row_version.to_string(),
        order.created_at,
        order.vin.as_deref(),
        order.license_plate.as_deref(),
        order.bid.map(|it| it.max_bid.dollars()),
        order.bid.map(|it| it.auction_date.instant()),
        order.bid.map(|it| it.order_cutoff_at.instant()),
        new.user,
        new.actor.actor,
        new.actor.request_id.to_string(),
        new.rendered.as_str(),
        new.location,
        new.reply,
    )
    .fetch_one(conn);
    let row = acknowledged(placed).await?;
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
///
/// The vehicle must be rendered: its JSON is stored with the order.
pub(crate) async fn record_order(
    tx: &mut Tx,
    partner: PartnerId,
    key: Uuid,
    new: &NewOrder<'_>,
    market: &Market,
) -> Result<(), sqlx::Error> {
    let order = new.order;
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
            values ($1, $2, $3, $4, $5, 'proceed', $6::integer, $7, $8, $9::text, $10, $11, lmn_now(0), $17,
                    $6::integer is not null and $12, $13, $13)
        ), snapshot as (
            insert into order_vehicles (order_id, vehicle) select $1, detail from vehicles where id = $3
        )
        update idempotency_keys set order_id = $1, reply_location = $15, reply_body = $16
        where partner_id = $2 and key = $14
        "#,
        order.id.uuid(),
        partner.uuid(),
        order.vehicle_id.as_str(),
        order.vin,
        order.license_plate,
        order.bid.map(|it| it.max_bid.dollars()),
        order.bid.map(|it| it.auction_date.instant()),
        order.bid.map(|it| it.order_cutoff_at.instant()),
        new.user,
        new.actor.actor,
        new.actor.request_id.to_string(),
        market.highest_bid.is_some(),
        order.created_at,
        key,
        new.location,
        new.reply,
        new.rendered.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    match completed.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}
