//! [`Operator`]: the operator's commands on orders and vehicles.

use chrono::{DateTime, Utc};
use lmn_partner_api::{
    audit::Actor,
    catalogue_import::effects::{self, VehicleChange},
    database::Database,
    orders::{
        model::AuctionOutcome,
        operator::{self, AffectedOrder, AuctionError},
        state_machine::Transition,
    },
    values::{
        id::{OrderId, RequestId, VehicleId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// An operator at the command line.
#[derive(Clone)]
pub struct Operator {
    database: Database,
    pub actor: Actor,
}

/// Returns a step that secures a vehicle, with amounts in USD.
pub fn secure(price: i64, fee: i32) -> Transition {
    Transition::Secure {
        purchase_price: Usd::new(price).expect("it is an amount"),
        auction_fee: fee,
    }
}

/// Returns the outcome of a won auction, with amounts in USD.
pub fn won(price: i64, fee: i32) -> AuctionOutcome {
    AuctionOutcome::Won {
        price: Usd::new(price).expect("it is an amount"),
        fee,
    }
}

impl Operator {
    pub fn at(database: &Database) -> Self {
        Self {
            database: database.clone(),
            actor: Actor {
                actor: "operator:test".into(),
                request_id: RequestId::random(),
            },
        }
    }

    pub async fn advance(
        &self,
        order: &str,
        step: &Transition,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        let order = OrderId::parse(order).expect("it is an id");
        operator::change_order(&self.database, &self.actor, order, step).await
    }

    /// Makes several steps; panics if one is refused.
    pub async fn takes(&self, order: &str, steps: &[Transition]) {
        for step in steps {
            self.advance(order, step)
                .await
                .unwrap_or_else(|error| panic!("{step:?}: {error}"));
        }
    }

    /// Takes an order from `proceed` to `shipping`, which makes three events.
    pub async fn ships(&self, order: &str) {
        let steps = [Transition::Acquire, secure(11_000, 0), Transition::Ship];
        self.takes(order, &steps).await;
    }

    pub async fn settle(
        &self,
        vehicle: &str,
        outcome: AuctionOutcome,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        operator::settle(&self.database, &self.actor, &vehicle_id(vehicle), outcome).await
    }

    pub async fn reschedule(
        &self,
        vehicle: &str,
        date: &str,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        let date: DateTime<Utc> = Timestamp::parse(date).expect("it is a time").instant();
        self.change(vehicle, VehicleChange::Reschedule(date)).await
    }

    pub async fn reprice(
        &self,
        vehicle: &str,
        price: i64,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        let price = Usd::new(price).expect("it is an amount");
        self.change(vehicle, VehicleChange::Reprice(price)).await
    }

    pub async fn withdraw(&self, vehicle: &str) -> Result<Vec<AffectedOrder>, AuctionError> {
        self.change(vehicle, VehicleChange::Withdraw).await
    }

    pub async fn restore(&self, vehicle: &str) -> Result<Vec<AffectedOrder>, AuctionError> {
        self.change(vehicle, VehicleChange::Restore).await
    }

    async fn change(
        &self,
        vehicle: &str,
        change: VehicleChange,
    ) -> Result<Vec<AffectedOrder>, AuctionError> {
        change
            .commit(&self.database, &self.actor, &vehicle_id(vehicle))
            .await
    }

    pub async fn relist(&self, vehicle: &str) -> Result<Vec<AffectedOrder>, AuctionError> {
        effects::record_relisting(&self.database, &self.actor, &vehicle_id(vehicle)).await
    }
}

fn vehicle_id(id: &str) -> VehicleId {
    VehicleId::parse(id).expect("it is an id")
}
