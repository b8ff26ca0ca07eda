//! [`Operator`]: the operator's commands on orders and vehicles.

use chrono::{DateTime, Utc};
use lmn_partner_api::{
    audit::model::Author,
    database::Database,
    id::{OrderId, RequestId, VehicleId},
    money::Usd,
    orders::{
        advance::Advance,
        auction::AuctionError,
        operator::{self, Concerned},
        outcome::AuctionOutcome,
    },
    stamp::Stamp,
};

/// An operator at the command line.
#[derive(Clone)]
pub struct Operator {
    database: Database,
    pub author: Author,
}

/// Returns a step that secures a vehicle, with amounts in USD.
pub fn secure(price: i64, fee: i32) -> Advance {
    Advance::Secure {
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
            author: Author {
                actor: "operator:test".into(),
                request_id: RequestId::random(),
            },
        }
    }

    pub async fn advance(
        &self,
        order: &str,
        step: &Advance,
    ) -> Result<Vec<Concerned>, AuctionError> {
        let order = OrderId::parse(order).expect("it is an id");
        operator::advance(&self.database, &self.author, order, step).await
    }

    /// Makes several steps; panics if one is refused.
    pub async fn takes(&self, order: &str, steps: &[Advance]) {
        for step in steps {
            self.advance(order, step)
                .await
                .unwrap_or_else(|error| panic!("{step:?}: {error}"));
        }
    }

    pub async fn settle(
        &self,
        vehicle: &str,
        outcome: AuctionOutcome,
    ) -> Result<Vec<Concerned>, AuctionError> {
        operator::settle(&self.database, &self.author, &vehicle(vehicle), outcome).await
    }

    pub async fn reschedule(
        &self,
        vehicle: &str,
        date: &str,
    ) -> Result<Vec<Concerned>, AuctionError> {
        let date: DateTime<Utc> = Stamp::parse(date).expect("it is a time").instant();
        operator::reschedule(&self.database, &self.author, &vehicle(vehicle), date).await
    }

    pub async fn reprice(&self, vehicle: &str, price: i64) -> Result<Vec<Concerned>, AuctionError> {
        let price = Usd::new(price).expect("it is an amount");
        operator::reprice(&self.database, &self.author, &vehicle(vehicle), price).await
    }

    pub async fn withdraw(&self, vehicle: &str) -> Result<Vec<Concerned>, AuctionError> {
        operator::withdraw(&self.database, &self.author, &vehicle(vehicle)).await
    }

    pub async fn restore(&self, vehicle: &str) -> Result<Vec<Concerned>, AuctionError> {
        operator::restore(&self.database, &self.author, &vehicle(vehicle)).await
    }

    pub async fn relist(&self, vehicle: &str) -> Result<Vec<Concerned>, AuctionError> {
        operator::relist(&self.database, &self.author, &vehicle(vehicle)).await
    }
}

fn vehicle(id: &str) -> VehicleId {
    VehicleId::parse(id).expect("it is an id")
}
