//! What is done with an order that is there: the steps of the table with what they bring along. Pure.
//!
//! [`Held`] is an order under its lock, with everything that is about to happen to it. Whoever makes a step, partner,
//! operator or time, makes it here, so no step can forget its history or its event (contract, sections 7 and 8).

use chrono::{DateTime, Utc};
use serde_json::value::to_raw_value;

use super::{
    model::{Order, Shipment, Standing},
    state::{
        Action, CancellationReason, FailureReason, FulfillmentDetail, OrderStatus, Owner, Refused,
        State, Step,
    },
    view::OrderView,
};
use crate::{
    events::{
        model::{Happening, NewEvent},
        view::{Data, Payload},
    },
    id::{EventId, PartnerId},
    money::Usd,
    stamp::Stamp,
    word::Word,
};

/// A step with what it brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// Call it off.
    Cancel(CancellationReason),
    /// Begin to buy.
    Acquire,
    /// Have bought.
    Secure {
        /// What LMN paid: at most the bid.
        purchase_price: Usd,
        /// What the auction house charged, in US dollars: zero or more.
        auction_fee: i32,
    },
    /// Give it up.
    Fail(FailureReason),
    /// Begin to ship.
    Ship,
    /// Move on while shipping.
    Fulfill(FulfillmentDetail),
    /// Know the shipment better.
    Shipment(ShipmentChange),
    /// Hand over.
    Deliver,
}

/// What becomes known of a shipment; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Shipment`")]
pub struct ShipmentChange {
    pub vessel_name: Option<Option<String>>,
    pub bl_number: Option<Option<String>>,
    pub port_of_loading: Option<Option<String>>,
    pub port_of_discharge: Option<Option<String>>,
    pub etd: Option<Option<Stamp>>,
    pub eta: Option<Option<Stamp>>,
}

impl ShipmentChange {
    /// Makes the change.
    fn apply(&self, shipment: &mut Shipment) {
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

/// Why a step is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// The table does not have it.
    #[error("the order is `{}`, and this step does not lead on from there", .0.status.as_str())]
    Refused(State, Refused),
    /// LMN never pays more than was bid.
    #[error("the purchase price is above the bid of {0}")]
    PriceAboveBid(Usd),
    /// The car was bought for somebody else.
    #[error("the car is secured by another order")]
    SecuredByAnother(State),
    /// A bug: what happened cannot be told.
    #[error("an event cannot be written: {0}")]
    Unwritable(String),
}

impl From<serde_json::Error> for AdvanceError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unwritable(error.to_string())
    }
}

/// When and how a step was told, where that is not just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it happened, in the time of its place.
    pub occurred_at: Stamp,
    /// What was said of it.
    pub notes: Option<String>,
}

/// A step of the history that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// Where it led.
    pub state: State,
    /// Who made it.
    pub by: Owner,
    /// When, and what was said of it.
    pub report: Report,
}

/// An order under its lock.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Whose it is.
    pub partner: PartnerId,
    /// The order as it is by now.
    pub order: Order,
    /// What time it is for its partner.
    pub now: DateTime<Utc>,
    /// Its place among the bids on the car: which was accepted first.
    pub accepted_no: i64,
    /// Whether the car was bought for another order.
    pub is_secured_by_another: bool,
    /// How many events it has had.
    pub last_sequence: i32,
    /// Its state when it was locked.
    pub before: State,
    /// The steps made since.
    pub steps: Vec<Made>,
    /// The events since.
    pub events: Vec<NewEvent>,
}

impl Held {
    /// Makes a step now.
    pub(crate) fn advance(&mut self, advance: &Advance, by: Owner) -> Result<(), AdvanceError> {
        let report = Report {
            occurred_at: Stamp::kst(self.now),
            notes: None,
        };
        self.advance_as_told(advance, by, report)
    }

    /// Makes a step as it was told. Moving on to where the order is already is no step, and no error.
    pub(crate) fn advance_as_told(
        &mut self,
        advance: &Advance,
        by: Owner,
        report: Report,
    ) -> Result<(), AdvanceError> {
        let was = self.order.state;
        let refused = |refused| AdvanceError::Refused(was, refused);
        let state = match advance.step() {
            Some(step) => was.step(step, by).map_err(refused)?,
            None => was.known_better(by).map_err(refused)?,
        };
        let before = self.order.shipment.clone();
        self.take(advance)?;
        if state == was && self.order.shipment == before {
            return Ok(());
        }
        self.order.state = state;
        self.order.updated_at = self.now;
        if state != was {
            self.steps.push(Made { state, by, report });
        }
        // What a partner does it knows already.
        if by != Owner::Partner {
            self.happen(&match was.status == state.status {
                true => Happening::FulfillmentUpdated {
                    previous_fulfillment_detail: was.fulfillment,
                },
                false => Happening::StatusChanged {
                    previous_status: was.status,
                },
            })?;
        }
        Ok(())
    }

    /// Takes over what a step brings along.
    fn take(&mut self, advance: &Advance) -> Result<(), AdvanceError> {
        let order = &mut self.order;
        match advance {
            Advance::Cancel(reason) => order.cancellation_reason = Some(*reason),
            Advance::Fail(reason) => order.failure_reason = Some(*reason),
            Advance::Secure {
                purchase_price,
                auction_fee,
            } => {
                if self.is_secured_by_another {
                    return Err(AdvanceError::SecuredByAnother(order.state));
                }
                if let Some(bid) = order.bid.filter(|bid| *purchase_price > bid.max_bid) {
                    return Err(AdvanceError::PriceAboveBid(bid.max_bid));
                }
                order.purchase_price_usd = Some(*purchase_price);
                order.auction_fee_usd = Some(*auction_fee);
            }
            Advance::Shipment(change) => change.apply(&mut order.shipment),
            Advance::Acquire | Advance::Ship | Advance::Fulfill(_) | Advance::Deliver => {}
        }
        Ok(())
    }

    /// Writes down an event, with the order as it is read at this moment.
    pub(crate) fn happen(&mut self, happening: &Happening) -> Result<(), serde_json::Error> {
        let id = EventId::new(self.now);
        let sequence = self.last_sequence + 1;
        let payload = Payload {
            id,
            event_type: happening.event_type(),
            sequence: Some(sequence),
            occurred_at: Stamp::kst(self.now),
            data: Data {
                order: &to_raw_value(&OrderView::from(self.order.clone()))?,
                happening,
            },
        };
        self.events.push(NewEvent {
            id,
            partner: self.partner,
            of_order: Some((self.order.id, sequence)),
            event_type: happening.event_type(),
            new_vehicle_id: happening.new_vehicle_id().cloned(),
            occurred_at: self.now,
            payload: serde_json::to_string(&payload)?,
        });
        self.last_sequence = sequence;
        Ok(())
    }

    /// Says whether anything happened to it.
    pub(crate) fn is_touched(&self) -> bool {
        !self.steps.is_empty() || !self.events.is_empty()
    }

    /// Says whether the order competes for its car.
    pub(crate) fn is_bidding(&self) -> bool {
        let active = [OrderStatus::Proceed, OrderStatus::Acquiring];
        self.order.bid.is_some() && active.contains(&self.order.state.status)
    }
}

/// Tells the orders that still compete for a car how they stand among themselves.
///
/// The highest bid leads, and of equal ones the one accepted first.
pub(crate) fn rank_bids(held: &mut [Held]) {
    let mut bidding: Vec<_> = held.iter_mut().filter(|it| it.is_bidding()).collect();
    let key = |it: &Held| {
        (
            it.order.bid.map(|bid| bid.max_bid),
            std::cmp::Reverse(it.accepted_no),
        )
    };
    let leader = bidding.iter().max_by_key(|it| key(it));
    let leader = leader.and_then(|it| Some((it.order.id, it.order.bid?.max_bid)));
    let Some((leader, highest_bid)) = leader else {
        return;
    };
    for held in &mut bidding {
        let is_highest = held.order.id == leader;
        if let Some(bid) = &mut held.order.bid {
            bid.standing = Standing {
                is_highest,
                highest_bid,
            };
        }
    }
}

impl Advance {
    /// Returns what it is called where it is refused.
    pub(crate) fn word(&self) -> &'static str {
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

    /// Returns the step of the table; a better known shipment is none.
    fn step(&self) -> Option<Step> {
        Some(match self {
            Self::Cancel(reason) => Step::Cancel(*reason),
            Self::Acquire => Step::Acquire,
            Self::Secure { .. } => Step::Secure,
            Self::Fail(reason) => Step::Fail(*reason),
            Self::Ship => Step::Ship,
            Self::Fulfill(detail) => Step::Fulfill(*detail),
            Self::Shipment(_) => return None,
            Self::Deliver => Step::Deliver,
        })
    }
}
