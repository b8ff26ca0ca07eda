//! The bids on the vehicles whose auctions are in a span of time, for the operator.

use chrono::{DateTime, Utc};

use crate::{
    database::{
        Connection,
        column::{usd, vehicle_id},
    },
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
    vehicles::model::Source,
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
