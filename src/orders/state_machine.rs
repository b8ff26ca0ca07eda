//! The state machine of an order: every transition, the parties that may make it, and the states it leads from and to.
//! Pure.

use super::model::Shipment;
use crate::values::{
    money::Usd,
    string_enum::{StringEnum, string_enum},
    timestamp::Timestamp,
};

string_enum! {
    /// The status of an order.
    OrderStatus {
        /// Accepted; LMN has not acted on it yet.
        Proceed = "proceed",
        /// LMN is buying the vehicle.
        Acquiring = "acquiring",
        /// LMN has bought the vehicle; payment is owed.
        Secured = "secured",
        /// The vehicle is being exported and shipped.
        Shipping = "shipping",
        /// The vehicle was delivered. Terminal.
        Delivered = "delivered",
        /// Cancelled before LMN acted. Terminal.
        Cancelled = "cancelled",
        /// The vehicle could not be bought. Terminal.
        Failed = "failed",
    }
}

string_enum! {
    /// The sub-status of a shipping order.
    FulfillmentDetail {
        /// In export processing in Korea: papers and customs.
        ExportProcessing = "export_processing",
        /// Ready for pickup by the carrier.
        AwaitingPickup = "awaiting_pickup",
        /// At sea or on the road.
        InTransit = "in_transit",
        /// In customs at the destination.
        Customs = "customs",
    }
}

string_enum! {
    /// The reason why an order failed.
    FailureReason {
        /// The auction passed before LMN began to buy.
        AuctionPassed = "auction_passed",
        /// A bidder outside LMN bid more.
        Outbid = "outbid",
        /// Another partner bid more.
        OutbidInternally = "outbid_internally",
        /// The vehicle is no longer available.
        VehicleUnavailable = "vehicle_unavailable",
        /// The auction was cancelled.
        AuctionCancelled = "auction_cancelled",
    }
}

string_enum! {
    /// The reason why an order was cancelled.
    CancellationReason {
        /// The partner cancelled it.
        PartnerCancelled = "partner_cancelled",
        /// The auction was moved to a date whose order cutoff had already passed.
        AuctionRescheduledTooSoon = "auction_rescheduled_too_soon",
        /// The auction was cancelled.
        AuctionCancelled = "auction_cancelled",
        /// The seller withdrew the vehicle.
        SellerWithdrew = "seller_withdrew",
    }
}

string_enum! {
    /// The party that makes a step.
    Owner {
        /// The partner, through this API.
        Partner = "partner",
        /// LMN's staff and systems.
        Operator = "operator",
        /// A scheduled job.
        Automatic = "automatic",
    }
}

string_enum! {
    /// An action of a partner on an order.
    Action {
        /// Cancel the order, with `DELETE /v1/orders/{id}`.
        Cancel = "cancel",
        /// Report that the vehicle is in transit.
        InTransit = "in_transit",
        /// Report that the vehicle is in customs.
        Customs = "customs",
        /// Report that the vehicle was delivered.
        Delivered = "delivered",
    }
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The status.
    pub status: OrderStatus,
    /// The sub-status, set once the order is `shipping`.
    pub fulfillment: Option<FulfillmentDetail>,
}

/// A transition of an order, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Cancel the order.
    Cancel(CancellationReason),
    /// Begin to buy the vehicle.
    Acquire,
    /// Record that the vehicle was bought.
    Secure {
        /// The price that LMN paid, at most the bid.
        purchase_price: Usd,
        /// The fee of the auction house in US dollars, zero or more.
        auction_fee: i32,
    },
    /// Fail the order.
    Fail(FailureReason),
    /// Begin to ship the vehicle.
    Ship,
    /// Set the sub-status while shipping.
    Fulfill(FulfillmentDetail),
    /// Change the shipment details, which leaves the state as it is.
    Shipment(ShipmentChange),
    /// Record the delivery.
    Deliver,
}

/// A change of shipment details. A field that is `None` is left unchanged, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Shipment`")]
pub struct ShipmentChange {
    pub vessel_name: Option<Option<String>>,
    pub bl_number: Option<Option<String>>,
    pub port_of_loading: Option<Option<String>>,
    pub port_of_discharge: Option<Option<String>>,
    pub etd: Option<Option<Timestamp>>,
    pub eta: Option<Option<Timestamp>>,
}

/// The reason why the state machine refuses a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another party makes this transition, whatever the state.
    NotAuthorized,
    /// The transition is not possible from this state.
    OutOfSequence,
}

/// The reason why a transition cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The state machine does not allow it.
    #[error("the order is `{}`, which does not allow this step", .0.status.as_str())]
    Refused(State, Refused),
    /// LMN never pays more than the bid.
    #[error("the purchase price is above the bid of {0}")]
    PriceAboveBid(Usd),
    /// The vehicle was bought for another order.
    #[error("the vehicle is secured by another order")]
    SecuredByAnother(State),
    /// An event cannot be serialized, which is a bug.
    #[error("an event cannot be serialized: {0}")]
    Unwritable(String),
}

impl From<serde_json::Error> for TransitionError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unwritable(error.to_string())
    }
}

impl State {
    /// The state of a new order.
    pub const FIRST: Self = Self {
        status: OrderStatus::Proceed,
        fulfillment: None,
    };

    /// Returns the state that a transition leads to. This is the transition table.
    pub fn after(self, transition: &Transition, by: Owner) -> Result<Self, Refused> {
        use OrderStatus::{Acquiring, Cancelled, Delivered, Failed, Proceed, Secured, Shipping};
        if !transition.owners().contains(&by) {
            return Err(Refused::NotAuthorized);
        }
        let same = self.fulfillment;
        let (status, fulfillment) = match (self.status, transition) {
            (Proceed, Transition::Cancel(_)) => (Cancelled, same),
            (Proceed, Transition::Fail(FailureReason::AuctionPassed)) => (Failed, same),
            (Proceed, Transition::Acquire) => (Acquiring, same),
            (Acquiring, Transition::Secure { .. }) => (Secured, same),
            (Acquiring, Transition::Fail(reason)) if *reason != FailureReason::AuctionPassed => {
                (Failed, same)
            }
            (Secured, Transition::Ship) => (Shipping, Some(FulfillmentDetail::ExportProcessing)),
            (Shipping, Transition::Fulfill(detail)) => (Shipping, Some(*detail)),
            (Shipping, Transition::Shipment(_)) => (Shipping, same),
            (Shipping, Transition::Deliver) => (Delivered, same),
            _ => return Err(Refused::OutOfSequence),
        };
        Ok(Self {
            status,
            fulfillment,
        })
    }

    /// Returns the actions that the partner can take: every listed action succeeds, every other one is refused.
    pub fn allowed_actions(self) -> Vec<Action> {
        let allowed = |action: &Action| self.after(&action.transition(), Owner::Partner).is_ok();
        Action::ALL.iter().copied().filter(allowed).collect()
    }
}

impl Transition {
    /// Returns the parties that may make the transition.
    pub fn owners(&self) -> &'static [Owner] {
        use Owner::{Automatic, Operator, Partner};
        match self {
            Self::Cancel(CancellationReason::PartnerCancelled)
            | Self::Fulfill(FulfillmentDetail::InTransit | FulfillmentDetail::Customs)
            | Self::Deliver => &[Partner],
            Self::Cancel(
                CancellationReason::AuctionRescheduledTooSoon
                | CancellationReason::AuctionCancelled
                | CancellationReason::SellerWithdrew,
            ) => &[Operator, Automatic],
            Self::Fail(FailureReason::AuctionPassed) => &[Automatic],
            Self::Fail(
                FailureReason::Outbid
                | FailureReason::OutbidInternally
                | FailureReason::VehicleUnavailable
                | FailureReason::AuctionCancelled,
            )
            | Self::Acquire
            | Self::Secure { .. }
            | Self::Ship
            | Self::Fulfill(
                FulfillmentDetail::ExportProcessing | FulfillmentDetail::AwaitingPickup,
            )
            | Self::Shipment(_) => &[Operator],
        }
    }

    /// Returns the name of the transition in the details of an error.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cancel(_) => Action::Cancel.as_str(),
            Self::Acquire => OrderStatus::Acquiring.as_str(),
            Self::Secure { .. } => OrderStatus::Secured.as_str(),
            Self::Fail(_) => OrderStatus::Failed.as_str(),
            Self::Ship => OrderStatus::Shipping.as_str(),
            Self::Fulfill(detail) => detail.as_str(),
            Self::Shipment(_) => "shipment",
            Self::Deliver => Action::Delivered.as_str(),
        }
    }
}

impl ShipmentChange {
    /// Applies the change to a shipment.
    pub(super) fn apply(&self, shipment: &mut Shipment) {
        set(&mut shipment.vessel_name, &self.vessel_name);
        set(&mut shipment.bl_number, &self.bl_number);
        set(&mut shipment.port_of_loading, &self.port_of_loading);
        set(&mut shipment.port_of_discharge, &self.port_of_discharge);
        set(&mut shipment.etd, &self.etd);
        set(&mut shipment.eta, &self.eta);
    }
}

fn set<T: Clone>(field: &mut Option<T>, change: &Option<Option<T>>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}

impl Action {
    /// Returns the transition that the action makes.
    pub fn transition(self) -> Transition {
        match self {
            Self::Cancel => Transition::Cancel(CancellationReason::PartnerCancelled),
            Self::InTransit => Transition::Fulfill(FulfillmentDetail::InTransit),
            Self::Customs => Transition::Fulfill(FulfillmentDetail::Customs),
            Self::Delivered => Transition::Deliver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transition table, written out independently: from, to, transition, owners.
    const TABLE: &str = "
        proceed   cancelled cancel:partner_cancelled              partner
        proceed   cancelled cancel:auction_rescheduled_too_soon   operator automatic
        proceed   cancelled cancel:auction_cancelled              operator automatic
        proceed   cancelled cancel:seller_withdrew                operator automatic
        proceed   failed    fail:auction_passed                   automatic
        proceed   acquiring acquire                               operator
        acquiring secured   secure                                operator
        acquiring failed    fail:outbid                           operator
        acquiring failed    fail:outbid_internally                operator
        acquiring failed    fail:vehicle_unavailable              operator
        acquiring failed    fail:auction_cancelled                operator
        secured   shipping  ship                                  operator
        shipping  shipping  fulfill:export_processing             operator
        shipping  shipping  fulfill:awaiting_pickup               operator
        shipping  shipping  fulfill:in_transit                    partner
        shipping  shipping  fulfill:customs                       partner
        shipping  shipping  shipment                              operator
        shipping  delivered deliver                               partner";

    fn transitions() -> Vec<(String, Transition)> {
        let secure = Transition::Secure {
            purchase_price: Usd::new(10_000).unwrap(),
            auction_fee: 0,
        };
        let shipment = Transition::Shipment(ShipmentChange::default());
        let mut transitions = vec![
            ("acquire".to_owned(), Transition::Acquire),
            ("secure".to_owned(), secure),
            ("ship".to_owned(), Transition::Ship),
            ("shipment".to_owned(), shipment),
            ("deliver".to_owned(), Transition::Deliver),
        ];
        transitions.extend(
            CancellationReason::ALL
                .iter()
                .map(|it| (format!("cancel:{}", it.as_str()), Transition::Cancel(*it))),
        );
        transitions.extend(
            FailureReason::ALL
                .iter()
                .map(|it| (format!("fail:{}", it.as_str()), Transition::Fail(*it))),
        );
        transitions.extend(
            FulfillmentDetail::ALL
                .iter()
                .map(|it| (format!("fulfill:{}", it.as_str()), Transition::Fulfill(*it))),
        );
        transitions
    }

    #[test]
    fn every_transition_from_every_state_by_every_owner_follows_the_table() {
        let table: Vec<Vec<&str>> = TABLE
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        let mut allowed = 0;
        for status in OrderStatus::ALL {
            for (name, transition) in transitions() {
                let row = table
                    .iter()
                    .find(|row| row[0] == status.as_str() && row[2] == name);
                let owners: Vec<&str> =
                    table.iter().find(|row| row[2] == name).unwrap()[3..].to_vec();
                for by in Owner::ALL {
                    let state = State {
                        status: *status,
                        fulfillment: None,
                    };
                    let result = state.after(&transition, *by).map(|it| it.status.as_str());
                    let expected = match row {
                        _ if !owners.contains(&by.as_str()) => Err(Refused::NotAuthorized),
                        Some(row) => Ok(row[1]),
                        None => Err(Refused::OutOfSequence),
                    };
                    assert_eq!(result, expected, "{status:?} {name} {by:?}");
                    allowed += usize::from(result.is_ok());
                }
            }
        }
        assert_eq!(
            allowed,
            table.iter().map(|row| row.len() - 3).sum::<usize>()
        );
    }

    #[test]
    fn sub_status_follows_the_transitions_and_is_kept_after_delivery() {
        use FulfillmentDetail::{Customs, ExportProcessing, InTransit};
        let secured = State {
            status: OrderStatus::Secured,
            fulfillment: None,
        };
        let shipping = secured.after(&Transition::Ship, Owner::Operator).unwrap();
        assert_eq!(shipping.fulfillment, Some(ExportProcessing));
        let customs = shipping
            .after(&Transition::Fulfill(Customs), Owner::Partner)
            .unwrap();
        let transit = customs
            .after(&Transition::Fulfill(InTransit), Owner::Partner)
            .unwrap();
        let delivered = transit.after(&Transition::Deliver, Owner::Partner).unwrap();
        assert_eq!(
            delivered,
            State {
                status: OrderStatus::Delivered,
                fulfillment: Some(InTransit)
            }
        );
    }

    #[test]
    fn partner_can_cancel_before_lmn_acts_and_report_while_shipping() {
        for status in OrderStatus::ALL {
            let actions: Vec<_> = State {
                status: *status,
                fulfillment: None,
            }
            .allowed_actions()
            .iter()
            .map(|it| it.as_str())
            .collect();
            let expected: &[&str] = match status.as_str() {
                "proceed" => &["cancel"],
                "shipping" => &["in_transit", "customs", "delivered"],
                _ => &[],
            };
            assert_eq!(actions, expected, "{status:?}");
        }
    }
}
