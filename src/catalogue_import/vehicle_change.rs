//! [`VehicleChange`]: a change of one vehicle by LMN's staff or, in the sandbox, by a partner.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::effects::{reprice_vehicles, reschedule_vehicles, restore_vehicle, withdraw_vehicles};
use crate::{
    audit::Actor,
    database::{Database, Tx, clock},
    orders::{
        locked_order::LockedOrder,
        model::AuctionOutcome,
        operator::{self, AffectedOrder, AuctionError},
    },
    values::{
        id::{PartnerId, VehicleId},
        money::Usd,
    },
};

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
