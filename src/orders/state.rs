//! The state table of an order (contract, section 7): every step there is, whose it is, and from where.

use crate::word::{Word, words};

words! {
    /// Where an order is.
    OrderStatus {
        /// Accepted; LMN has not acted on it yet.
        Proceed = "proceed",
        /// LMN is buying.
        Acquiring = "acquiring",
        /// Bought; money is owed.
        Secured = "secured",
        /// On its way.
        Shipping = "shipping",
        /// Handed over. Terminal.
        Delivered = "delivered",
        /// Called off before LMN acted. Terminal.
        Cancelled = "cancelled",
        /// Not to be had. Terminal.
        Failed = "failed",
    }
}

words! {
    /// Where a shipping order is.
    FulfillmentDetail {
        /// Papers and customs in Korea.
        ExportProcessing = "export_processing",
        /// Ready for the carrier.
        AwaitingPickup = "awaiting_pickup",
        /// At sea or on the road.
        InTransit = "in_transit",
        /// In customs at the destination.
        Customs = "customs",
    }
}

words! {
    /// Why an order failed.
    FailureReason {
        /// The auction passed and LMN had not begun to buy.
        AuctionPassed = "auction_passed",
        /// Somebody outside bid more.
        Outbid = "outbid",
        /// Another partner bid more.
        OutbidInternally = "outbid_internally",
        /// The car is gone.
        VehicleUnavailable = "vehicle_unavailable",
        /// The auction was called off.
        AuctionCancelled = "auction_cancelled",
    }
}

words! {
    /// Why an order was cancelled.
    CancellationReason {
        /// The partner's wish.
        PartnerCancelled = "partner_cancelled",
        /// A new auction date left no time before the cutoff.
        AuctionRescheduledTooSoon = "auction_rescheduled_too_soon",
        /// The auction was called off.
        AuctionCancelled = "auction_cancelled",
        /// The seller took the car back.
        SellerWithdrew = "seller_withdrew",
    }
}

words! {
    /// Who makes a step.
    Owner {
        /// The partner, through this API.
        Partner = "partner",
        /// LMN's people and systems.
        Operator = "operator",
        /// Time itself.
        Automatic = "automatic",
    }
}

words! {
    /// What a partner can do with an order.
    Action {
        /// DELETE it.
        Cancel = "cancel",
        /// Report that it is in transit.
        InTransit = "in_transit",
        /// Report that it is in customs.
        Customs = "customs",
        /// Report that it was delivered.
        Delivered = "delivered",
    }
}

/// Where an order is, as far as the table is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The status.
    pub status: OrderStatus,
    /// The sub-status: there from `shipping` on.
    pub fulfillment: Option<FulfillmentDetail>,
}

/// A step of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Call it off.
    Cancel(CancellationReason),
    /// Begin to buy.
    Acquire,
    /// Have bought.
    Secure,
    /// Give it up.
    Fail(FailureReason),
    /// Begin to ship.
    Ship,
    /// Move on while shipping.
    Fulfill(FulfillmentDetail),
    /// Hand over.
    Deliver,
}

/// Why a step is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is somebody else's, whatever the state.
    NotYours,
    /// It does not lead away from this state.
    OutOfSequence,
}

impl State {
    /// Where every order begins.
    pub const FIRST: Self = Self {
        status: OrderStatus::Proceed,
        fulfillment: None,
    };

    /// Makes a step: the table itself.
    pub fn step(self, step: Step, by: Owner) -> Result<Self, Refused> {
        use OrderStatus::{Acquiring, Cancelled, Delivered, Failed, Proceed, Secured, Shipping};
        if !step.owners().contains(&by) {
            return Err(Refused::NotYours);
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

    /// Learns more about the shipment: the operator's, while shipping, and no step.
    pub fn known_better(self, by: Owner) -> Result<Self, Refused> {
        match (by, self.status) {
            (Owner::Operator, OrderStatus::Shipping) => Ok(self),
            (Owner::Operator, _) => Err(Refused::OutOfSequence),
            (Owner::Partner | Owner::Automatic, _) => Err(Refused::NotYours),
        }
    }

    /// Returns what the partner can do from here: each action that is listed succeeds, each other one is refused.
    pub fn allowed_actions(self) -> Vec<Action> {
        let allowed = |action: &Action| self.step(action.step(), Owner::Partner).is_ok();
        Action::ALL.iter().copied().filter(allowed).collect()
    }
}

impl Step {
    /// Returns who may make it.
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
    /// Returns the step that the action is.
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

    /// The contract's table, written out again: from, to, step, owners.
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
    fn every_step_from_every_state_by_everyone_is_as_the_contract_says() {
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
                        _ if !owners.contains(&by.as_str()) => Err(Refused::NotYours),
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
    fn the_sub_status_follows_the_steps_and_stays() {
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
    fn a_partner_can_cancel_at_first_and_report_while_shipping() {
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
