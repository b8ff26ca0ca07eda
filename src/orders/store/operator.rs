//! Reads for LMN's staff: the bids on the vehicles whose auctions are in a span of time, the vehicles to acquire, and the
//! recorded result of an auction.

use chrono::{DateTime, Utc};

use super::super::model::{AuctionEnd, AuctionOutcome, RecordedResult};
use crate::{
    database::{
        Connection,
        column::{InvalidColumn, usd, vehicle_id, word},
    },
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
    vehicles::model::{AuctionResult, Source, WithdrawnBy},
};

/// The bids on one vehicle.
#[derive(Debug, Clone)]
pub(crate) struct VehicleBids {
    /// The vehicle.
    pub(crate) vehicle_id: VehicleId,
    /// The number of orders that bid on it.
    pub(crate) orders: i64,
    /// The highest bid.
    pub(crate) highest_bid: Usd,
    /// The second highest bid, which is of another partner.
    pub(crate) second_bid: Option<Usd>,
    /// The order that leads: of equal bids the one accepted first.
    pub(crate) leader: OrderId,
    /// The leader's partner.
    pub(crate) partner: PartnerId,
    /// The name of the leader's partner.
    pub(crate) partner_name: String,
    /// The order cutoff.
    pub(crate) order_cutoff_at: Timestamp,
}

/// Lists up to `limit` vehicles with bids whose auctions are from `begin` until before `end`, of some sources or of all
/// if none is given, by source, time and lot number.
///
/// The index of bids by their auction begins with the partner, so the bids of each partner are found by it.
pub(crate) async fn list_bids(
    conn: &mut Connection,
    (begin, end): (DateTime<Utc>, DateTime<Utc>),
    sources: &[Source],
    limit: i64,
) -> Result<Vec<VehicleBids>, sqlx::Error> {
    let sources: Vec<String> = sources.iter().map(|it| it.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"
        with bids as materialized (
            select orders.id, partner_id, name, vehicle_id, max_bid_usd, auction_date, order_cutoff_at,
                   row_number() over (partition by vehicle_id order by max_bid_usd desc, accepted_no) as place,
                   count(*) over (partition by vehicle_id) as orders
            from partners
            join orders on orders.partner_id = partners.id
            where auction_date >= $1 and auction_date < $2
              and status in ('proceed', 'acquiring') and max_bid_usd is not null
        )
        select leader.vehicle_id as "vehicle_id!", leader.orders as "orders!",
               leader.max_bid_usd::integer as "highest_bid_usd!", second.max_bid_usd::integer as "second_bid_usd?",
               leader.id as "id!", leader.partner_id as "partner_id!", leader.name as "partner_name!",
               leader.order_cutoff_at as "order_cutoff_at!"
        from bids as leader
        join vehicles on vehicles.id = leader.vehicle_id
        left join bids as second on second.vehicle_id = leader.vehicle_id and second.place = 2
        where leader.place = 1 and (cardinality($3::text[]) = 0 or vehicles.source = any($3))
        order by vehicles.source, leader.auction_date, vehicles.lot_number, leader.vehicle_id
        limit $4
        "#,
        begin,
        end,
        &sources,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let bids = rows.into_iter().map(|row| {
        Ok(VehicleBids {
            vehicle_id: vehicle_id(&row.vehicle_id)?,
            orders: row.orders,
            highest_bid: usd(row.highest_bid_usd)?,
            second_bid: row.second_bid_usd.map(usd).transpose()?,
            leader: row.id.into(),
            partner: row.partner_id.into(),
            partner_name: row.partner_name,
            order_cutoff_at: Timestamp::kst(row.order_cutoff_at),
        })
    });
    bids.collect()
}

/// Lists up to `limit` vehicles with active bids whose auction is in `[from, to)`, those with orders in `proceed` first.
///
/// Like those of the bid sheet, the bids of each partner are found by the index of bids by their auction.
pub(crate) async fn list_auctioned(
    conn: &mut Connection,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    source: Option<Source>,
    limit: i64,
) -> Result<Vec<VehicleId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"
        select orders.vehicle_id
        from partners
        join orders on orders.partner_id = partners.id
        join vehicles on vehicles.id = orders.vehicle_id
        where orders.status in ('proceed', 'acquiring') and orders.max_bid_usd is not null
          and orders.auction_date >= $1 and orders.auction_date < $2 and ($3::text is null or vehicles.source = $3)
        group by orders.vehicle_id
        order by bool_or(orders.status = 'proceed') desc, orders.vehicle_id
        limit $4
        "#,
        from,
        to,
        source.map(StringEnum::as_str),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let ids = ids.iter().map(|id| Ok(vehicle_id(id)?));
    ids.collect()
}

/// Finds what is recorded of the result of a vehicle's auction; `None` if there is no such vehicle.
///
/// The result of LMN's orders is that of the order that was bought, or else of the last one that ended by a result.
pub(crate) async fn find_result(
    conn: &mut Connection,
    vehicle: &VehicleId,
) -> Result<Option<RecordedResult>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select vehicles.auction_result, vehicles.withdrawn_by, ended.result as "result?", ended.price as "price?: i32",
               ended.fee as "fee?: i32"
        from vehicles
        left join lateral (
            select case
                       when status in ('secured', 'shipping', 'delivered') then 'won'
                       when failure_reason = 'outbid' then 'outbid'
                       when failure_reason = 'auction_cancelled' or cancellation_reason = 'auction_cancelled'
                           then 'cancelled'
                       else 'withdrawn'
                   end as result,
                   purchase_price_usd as price, auction_fee_usd as fee
            from orders
            where vehicle_id = vehicles.id and orders.auction_date = vehicles.auction_date
              and (status in ('secured', 'shipping', 'delivered')
                   or failure_reason in ('outbid', 'vehicle_unavailable', 'auction_cancelled')
                   or cancellation_reason in ('auction_cancelled', 'seller_withdrew'))
            order by purchase_price_usd is not null desc, updated_at desc
            limit 1
        ) as ended on true
        where vehicles.id = $1
        "#,
        vehicle.as_str(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let ended = match row.result.as_deref().map(word).transpose()? {
        None => None,
        Some(AuctionEnd::Won) => match row.price.zip(row.fee) {
            Some((price, fee)) => Some(AuctionOutcome::Won {
                price: usd(price)?,
                fee,
            }),
            None => return Err(InvalidColumn::new("a bought order without amounts").into()),
        },
        Some(AuctionEnd::Outbid) => Some(AuctionOutcome::Outbid),
        Some(AuctionEnd::Cancelled) => Some(AuctionOutcome::Cancelled),
        Some(AuctionEnd::Withdrawn) => Some(AuctionOutcome::Withdrawn),
    };
    let is = |text: Option<String>, word: &str| text.is_some_and(|it| it == word);
    Ok(Some(RecordedResult {
        ended,
        is_sold: is(row.auction_result, AuctionResult::Sold.as_str()),
        is_withdrawn: is(row.withdrawn_by, WithdrawnBy::Operator.as_str()),
    }))
}
