//! Changes of vehicles and their effects on orders: new dates and prices, withdrawals, re-listings.
//!
//! A [`VehicleChange`] changes one vehicle with its effects. The import changes thousands of vehicles at a time; it locks
//! them and changes their rows itself, and applies only the effects.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::{
    audit::Actor,
    database::{Database, Tx, clock},
    orders::{
        self,
        event::EventKind,
        locked_order::{LockedOrder, rank_bids},
        model::AuctionOutcome,
        operator::{self, AffectedOrder, AuctionError},
        state_machine::{OrderStatus, TransitionError},
        transitions::{self, TransitionFailed},
    },
    values::{
        id::{OrderId, PartnerId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
    vehicles::{
        self,
        model::{LockedVehicle, WithdrawnBy},
        render::render,
    },
};

/// Records an event for partners that ordered a vehicle before it was listed again.
pub async fn record_relisting(
    database: &Database,
    actor: &Actor,
    vehicle: &VehicleId,
) -> Result<Vec<AffectedOrder>, AuctionError> {
    let mut tx = database.begin().await?;
    let orders = relist(&mut tx, std::slice::from_ref(vehicle)).await?;
    transitions::record(&mut tx, actor, &orders).await?;
    tx.commit().await?;
    Ok(AffectedOrder::all(&orders))
}

/// Moves auctions to other dates, and updates the orders that bid on the vehicles.
///
/// If this moves a cutoff from the future into the past, orders in `proceed` are cancelled.
pub(super) async fn reschedule_vehicles(
    tx: &mut Tx,
    actor: &Actor,
    dates: &HashMap<VehicleId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles: Vec<_> = dates.keys().cloned().collect();
    let found = vehicles::store::lock(tx, &vehicles).await?;
    if found.len() < dates.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    if !found.iter().all(LockedVehicle::is_upcoming) {
        return Err(AuctionError::NoOpenAuction);
    }
    let mut orders = transitions::lock_open_orders(tx, &vehicles).await?;
    move_auctions(&mut orders, dates)?;
    vehicles::store::set_auction_dates(tx, dates, now).await?;
    render(tx, &vehicles).await?;
    transitions::record(tx, actor, &orders).await?;
    Ok(orders)
}

/// Changes the listing prices of vehicles, and adds events to their orders in `proceed`.
pub(super) async fn reprice_vehicles(
    tx: &mut Tx,
    actor: &Actor,
    prices: &HashMap<VehicleId, Usd>,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles: Vec<_> = prices.keys().cloned().collect();
    let found = vehicles::store::lock(tx, &vehicles).await?;
    if found.len() < prices.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let changes = found.into_iter().filter_map(|vehicle| {
        let now = *prices.get(&vehicle.id)?;
        let before = vehicle.listing_usd;
        Some((vehicle.id, PriceChange { before, now }))
    });
    let mut orders = transitions::lock_open_orders(tx, &vehicles).await?;
    add_price_events(&mut orders, &changes.collect())?;
    vehicles::store::set_prices(tx, prices, now).await?;
    render(tx, &vehicles).await?;
    transitions::record(tx, actor, &orders).await?;
    Ok(orders)
}

/// Withdraws vehicles from the catalogue, and ends their open orders, including those without a bid.
pub(super) async fn withdraw_vehicles(
    tx: &mut Tx,
    actor: &Actor,
    vehicles: &[VehicleId],
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    if vehicles::store::lock(tx, vehicles).await?.len() < vehicles.len() {
        return Err(AuctionError::NoSuchVehicle);
    }
    let mut orders = transitions::lock_open_orders(tx, vehicles).await?;
    for order in &mut orders {
        order.end(AuctionOutcome::Withdrawn, false)?;
    }
    vehicles::store::set_withdrawn(tx, vehicles, WithdrawnBy::Operator, now).await?;
    transitions::record(tx, actor, &orders).await?;
    Ok(orders)
}

/// Puts a withdrawn vehicle back into the catalogue, and adds events for the partners that ordered it before.
pub(super) async fn restore_vehicle(
    tx: &mut Tx,
    actor: &Actor,
    vehicle: &VehicleId,
    now: DateTime<Utc>,
) -> Result<Vec<LockedOrder>, AuctionError> {
    let vehicles = std::slice::from_ref(vehicle);
    let locked = vehicles::store::lock(tx, vehicles).await?.pop();
    let locked = locked.ok_or(AuctionError::NoSuchVehicle)?;
    if locked.withdrawn_at.is_none() {
        return Err(AuctionError::NotWithdrawn);
    }
    let bought = orders::store::find_bought(tx, &[vehicle.as_str()]).await?;
    if !bought.is_empty() {
        return Err(AuctionError::Bought);
    }
    vehicles::store::set_restored(tx, vehicle, now).await?;
    render(tx, vehicles).await?;
    let mut orders = Vec::new();
    if locked.is_on_offer() {
        orders = relist(tx, vehicles).await?;
    }
    transitions::record(tx, actor, &orders).await?;
    Ok(orders)
}

/// A change of a vehicle's listing price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PriceChange {
    /// The old price.
    pub before: Usd,
    /// The new price.
    pub now: Usd,
}

/// Moves the auctions of locked orders, and adds an event to each order.
///
/// If this moves a cutoff from the future into the past, orders in `proceed` are cancelled.
pub(crate) fn move_auctions(
    orders: &mut [LockedOrder],
    dates: &HashMap<VehicleId, DateTime<Utc>>,
) -> Result<(), TransitionError> {
    let mut moved = BTreeMap::new();
    for order in orders.iter_mut() {
        if let Some(date) = dates.get(&order.order.vehicle_id)
            && let Some(kind) = order.move_auction(Timestamp::kst(*date))?
        {
            moved.insert(order.order.id, kind);
        }
    }
    // The other events come after the cancellations, so that they show the standing among the remaining bids.
    orders.sort_by(|one, other| one.order.vehicle_id.cmp(&other.order.vehicle_id));
    orders
        .chunk_by_mut(|one, other| one.order.vehicle_id == other.order.vehicle_id)
        .for_each(rank_bids);
    for order in orders {
        if let Some(kind) = moved.get(&order.order.id) {
            order.add_event(kind)?;
        }
    }
    Ok(())
}

/// Adds an event to the orders in `proceed` whose vehicles have new prices.
pub(crate) fn add_price_events(
    orders: &mut [LockedOrder],
    changes: &HashMap<VehicleId, PriceChange>,
) -> Result<(), TransitionError> {
    for order in orders {
        let change = changes.get(&order.order.vehicle_id);
        let change = change.filter(|it| it.before != it.now);
        if let Some(PriceChange { before, now }) = change.copied()
            && order.order.state.status == OrderStatus::Proceed
        {
            order.add_event(&EventKind::PriceUpdated {
                previous_listing_usd: before,
                listing_usd: now,
            })?;
        }
    }
    Ok(())
}

/// Adds an event to former orders of vehicles that are listed again: to the latest one of each partner.
///
/// Returns these orders, locked. The caller records the events.
pub(crate) async fn relist(
    tx: &mut Tx,
    vehicles: &[VehicleId],
) -> Result<Vec<LockedOrder>, TransitionFailed> {
    if orders::store::find_former(tx, vehicles).await?.is_empty() {
        return Ok(Vec::new());
    }
    orders::store::lock_relisting(tx).await?;
    let mut former = orders::store::find_former(tx, vehicles).await?;
    let ids = loop {
        let ids = ids_of(&former);
        let listed: Vec<_> = ids.iter().copied().collect();
        orders::store::lock_alone(tx, &listed).await?;
        // While this waited for the locks, a later order may have ended, which is then the latest one.
        former = orders::store::find_former(tx, vehicles).await?;
        if ids_of(&former) == ids {
            break listed;
        }
    };
    let mut relisted = BTreeMap::<_, Vec<_>>::new();
    for (order, new_vehicle_id) in former {
        relisted.entry(order).or_default().push(new_vehicle_id);
    }
    let mut locked = orders::store::read_locked(tx, &ids).await?;
    for order in &mut locked {
        for new_vehicle_id in relisted.remove(&order.order.id).unwrap_or_default() {
            let added = order.add_event(&EventKind::ReAuctioned { new_vehicle_id });
            added.map_err(TransitionError::from)?;
        }
    }
    Ok(locked)
}

fn ids_of(former: &[(OrderId, VehicleId)]) -> BTreeSet<OrderId> {
    former.iter().map(|(order, _)| *order).collect()
}

/// A change of one vehicle.
#[derive(Debug, Clone, Copy)]
pub enum VehicleChange {
    /// The result of its auction.
    Settle(AuctionOutcome),
    /// Another time of its auction.
    Reschedule(DateTime<Utc>),
    /// Another listing price.
    Reprice(Usd),
    /// Its withdrawal from the catalogue, which ends its open orders.
    Withdraw,
    /// Its return to the catalogue.
    Restore,
}

impl VehicleChange {
    /// Returns the requested action in the details of an error.
    pub(crate) fn requested(self) -> &'static str {
        match self {
            Self::Settle(_) => "auction-result",
            Self::Reschedule(_) => "reschedule",
            Self::Reprice(_) => "price",
            Self::Withdraw => "withdraw",
            Self::Restore => "restore",
        }
    }

    /// Returns the action in the audit log.
    fn action(self) -> &'static str {
        match self {
            Self::Settle(_) => operator::SETTLED,
            Self::Reschedule(_) => "vehicle.rescheduled",
            Self::Reprice(_) => "vehicle.repriced",
            Self::Withdraw => "vehicle.withdrawn",
            Self::Restore => "vehicle.restored",
        }
    }

    /// Makes the change within a transaction, with its effects on orders and its audit row. Returns the locked orders.
    ///
    /// `partner` is the partner that makes it in the sandbox.
    pub(crate) async fn make(
        self,
        tx: &mut Tx,
        actor: &Actor,
        partner: Option<PartnerId>,
        vehicle: &VehicleId,
    ) -> Result<Vec<LockedOrder>, AuctionError> {
        // All partners read vehicles, so their times are in real time.
        let now = clock::real_now(tx).await?;
        let orders = match self {
            Self::Settle(outcome) => {
                operator::record_result(tx, actor, vehicle, outcome, now).await?
            }
            Self::Reschedule(date) => {
                let dates = HashMap::from([(vehicle.clone(), date)]);
                reschedule_vehicles(tx, actor, &dates, now).await?
            }
            Self::Reprice(price) => {
                let prices = HashMap::from([(vehicle.clone(), price)]);
                reprice_vehicles(tx, actor, &prices, now).await?
            }
            Self::Withdraw => {
                let vehicles = std::slice::from_ref(vehicle);
                withdraw_vehicles(tx, actor, vehicles, now).await?
            }
            Self::Restore => restore_vehicle(tx, actor, vehicle, now).await?,
        };
        operator::audit_vehicle(tx, actor, partner, self.action(), vehicle, now).await?;
        Ok(orders)
    }

    /// Makes the change in a transaction of its own.
    pub async fn commit(
        self,
        database: &Database,
        actor: &Actor,
        vehicle: &VehicleId,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        let mut tx = database.begin().await?;
        let orders = self.make(&mut tx, actor, None, vehicle).await?;
        tx.commit().await?;
        Ok(AffectedOrder::all(&orders))
    }
}
