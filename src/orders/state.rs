//! The state machine of an order: every step, the parties that may make it, and the states it leads from and to.

use crate::values::string_enum::{StringEnum, string_enum};

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

/// A step of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Cancel the order.
    Cancel(CancellationReason),
    /// Begin to buy the vehicle.
    Acquire,
    /// Record that the vehicle was bought.
    Secure,
    /// Fail the order.
    Fail(FailureReason),
    /// Begin to ship the vehicle.
    Ship,
    /// Set the sub-status while shipping.
    Fulfill(FulfillmentDetail),
    /// Record the delivery.
    Deliver,
}

/// The reason why a step is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Another party makes this step, whatever the state.
    NotAuthorized,
    /// The step is not possible from this state.
    OutOfSequence,
}

impl State {
    /// The state of a new order.
    pub const FIRST: Self = Self {
        status: OrderStatus::Proceed,
        fulfillment: None,
    };

    /// Returns the state that a step leads to. This is the transition table.
    pub fn step(self, step: Step, by: Owner) -> Result<Self, Refused> {
        use OrderStatus::{Acquiring, Cancelled, Delivered, Failed, Proceed, Secured, Shipping};
        if !step.owners().contains(&by) {
            return Err(Refused::NotAuthorized);
        }
        let status = match (self.status, step) {
            (Proceed, Step::Cancel(_)) => Cancelled,
            (Proceed, Step::Fail(FailureReason::AuctionPassed)) => Failed,
            (Proceed, Step::Acquire) => Acquiring,
            (Acquiring, Step::Secure) => Secured,
            (Acquiring, Step::Fail(reason)) if reason != FailureReason::AuctionPassed => Failed,
            (Secured, Step::Ship) | (Shipping, Step::Fulfill(_)) => Shipping,
            (Shipping, Step::Deliver) => Delivered,
            _ => return Err(Refused::OutOfSequence),
        };
        let fulfillment = match step {
            Step::Ship => Some(FulfillmentDetail::ExportProcessing),
            Step::Fulfill(detail) => Some(detail),
            Step::Cancel(_) | Step::Acquire | Step::Secure | Step::Fail(_) | Step::Deliver => {
                self.fulfillment
            }
        };
        Ok(Self {
            status,
            fulfillment,
        })
    }

    /// Returns the state after a change of shipment details, which leaves it as it is.
    ///
    /// Only the operator may change them, and only while the order is `shipping`.
    pub fn known_better(self, by: Owner) -> Result<Self, Refused> {
        match (by, self.status) {
            (Owner::Operator, OrderStatus::Shipping) => Ok(self),
            (Owner::Operator, _) => Err(Refused::OutOfSequence),
            (Owner::Partner | Owner::Automatic, _) => Err(Refused::NotAuthorized),
        }
    }

    /// Returns the actions that the partner can take: every listed action succeeds, every other one is refused.
    pub fn allowed_actions(self) -> Vec<Action> {
        let allowed = |action: &Action| self.step(action.step(), Owner::Partner).is_ok();
        Action::ALL.iter().copied().filter(allowed).collect()
    }
}

impl Step {
    /// Returns the parties that may make the step.
    pub fn owners(self) -> &'static [Owner] {
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
            | Self::Secure
            | Self::Ship
            | Self::Fulfill(
                FulfillmentDetail::ExportProcessing | FulfillmentDetail::AwaitingPickup,
            ) => &[Operator],
        }
    }
}

impl Action {
    /// Returns the step that the action makes.
    pub fn step(self) -> Step {
        match self {
            Self::Cancel => Step::Cancel(CancellationReason::PartnerCancelled),
            Self::InTransit => Step::Fulfill(FulfillmentDetail::InTransit),
            Self::Customs => Step::Fulfill(FulfillmentDetail::Customs),
            Self::Delivered => Step::Deliver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transition table, written out independently: from, to, step, owners.
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
        shipping  delivered deliver                               partner";

    fn steps() -> Vec<(String, Step)> {
        let mut steps = vec![
            ("acquire".to_owned(), Step::Acquire),
            ("secure".to_owned(), Step::Secure),
            ("ship".to_owned(), Step::Ship),
            ("deliver".to_owned(), Step::Deliver),
        ];
        steps.extend(
            CancellationReason::ALL
                .iter()
                .map(|it| (format!("cancel:{}", it.as_str()), Step::Cancel(*it))),
        );
        steps.extend(
            FailureReason::ALL
                .iter()
                .map(|it| (format!("fail:{}", it.as_str()), Step::Fail(*it))),
        );
        steps.extend(
            FulfillmentDetail::ALL
                .iter()
                .map(|it| (format!("fulfill:{}", it.as_str()), Step::Fulfill(*it))),
        );
        steps
    }

    #[test]
    fn every_step_from_every_state_by_every_owner_follows_the_table() {
        let table: Vec<Vec<&str>> = TABLE
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        let mut allowed = 0;
        for status in OrderStatus::ALL {
            for (name, step) in steps() {
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
                    let result = state.step(step, *by).map(|it| it.status.as_str());
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
    fn sub_status_follows_the_steps_and_is_kept_after_delivery() {
        use FulfillmentDetail::{Customs, ExportProcessing, InTransit};
        let secured = State {
            status: OrderStatus::Secured,
            fulfillment: None,
        };
        let shipping = secured.step(Step::Ship, Owner::Operator).unwrap();
        assert_eq!(shipping.fulfillment, Some(ExportProcessing));
        let customs = shipping
            .step(Step::Fulfill(Customs), Owner::Partner)
            .unwrap();
        let transit = customs
            .step(Step::Fulfill(InTransit), Owner::Partner)
            .unwrap();
        let delivered = transit.step(Step::Deliver, Owner::Partner).unwrap();
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
