//! Steps of existing orders, with their data. Pure.
//!
//! [`LockedOrder`] is a locked order with the steps and events that are still to be recorded. Partners, operators and
//! scheduled jobs make every step through it, so no step lacks its history entry or, unless a partner makes it, its
//! event.

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
        model::{EventKind, NewEvent},
        view::{Data, Payload},
    },
    values::{
        id::{EventId, PartnerId},
        money::Usd,
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
};

/// A step with its data.
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
    /// Change the shipment details.
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

impl ShipmentChange {
    /// Applies the change to a shipment.
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

/// The reason why a step cannot be made.
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

/// The time and the notes of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it happened, with the UTC offset of the place.
    pub occurred_at: Timestamp,
    /// Notes given with it.
    pub notes: Option<String>,
}

/// A step that is still to be recorded in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The state that it led to.
    pub state: State,
    /// The party that made it.
    pub by: Owner,
    /// Its time and notes.
    pub report: Report,
}

/// A locked order.
#[derive(Debug, Clone)]
pub(crate) struct LockedOrder {
    /// The partner that placed it.
    pub partner: PartnerId,
    /// The order, with the steps made so far.
    pub order: Order,
    /// The current time of the partner's clock.
    pub now: DateTime<Utc>,
    /// Its number in the order of acceptance, which decides between equal bids.
    pub accepted_no: i64,
    /// Whether the vehicle was bought for another order.
    pub is_secured_by_another: bool,
    /// The number of its events, which is the sequence number of the last one.
    pub last_sequence: i32,
    /// Its state when it was locked.
    pub before: State,
    /// The steps made since then.
    pub steps: Vec<Made>,
    /// The events added since then.
    pub events: Vec<NewEvent>,
}

impl LockedOrder {
    /// Makes a step that happens now and has no notes.
    pub(crate) fn advance(
        &mut self,
        advance: &Transition,
        by: Owner,
    ) -> Result<(), TransitionError> {
        let report = Report {
            occurred_at: Timestamp::kst(self.now),
            notes: None,
        };
        self.advance_as_told(advance, by, report)
    }

    /// Makes a step with the given time and notes. A step that changes nothing is not recorded, and is no error.
    pub(crate) fn advance_as_told(
        &mut self,
        advance: &Transition,
        by: Owner,
        report: Report,
    ) -> Result<(), TransitionError> {
        let was = self.order.state;
        let refused = |refused| TransitionError::Refused(was, refused);
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
        // Partners get no events for their own steps.
        if by != Owner::Partner {
            self.happen(&match was.status == state.status {
                true => EventKind::FulfillmentUpdated {
                    previous_fulfillment_detail: was.fulfillment,
                },
                false => EventKind::StatusChanged {
                    previous_status: was.status,
                },
            })?;
        }
        Ok(())
    }

    /// Applies the data of a step to the order.
    fn take(&mut self, advance: &Transition) -> Result<(), TransitionError> {
        let order = &mut self.order;
        match advance {
            Transition::Cancel(reason) => order.cancellation_reason = Some(*reason),
            Transition::Fail(reason) => order.failure_reason = Some(*reason),
            Transition::Secure {
                purchase_price,
                auction_fee,
            } => {
                if self.is_secured_by_another {
                    return Err(TransitionError::SecuredByAnother(order.state));
                }
                if let Some(bid) = order.bid.filter(|bid| *purchase_price > bid.max_bid) {
                    return Err(TransitionError::PriceAboveBid(bid.max_bid));
                }
                order.purchase_price_usd = Some(*purchase_price);
                order.auction_fee_usd = Some(*auction_fee);
            }
            Transition::Shipment(change) => change.apply(&mut order.shipment),
            Transition::Acquire
            | Transition::Ship
            | Transition::Fulfill(_)
            | Transition::Deliver => {}
        }
        Ok(())
    }

    /// Adds an event that contains the order in its current state.
    pub(crate) fn happen(&mut self, happening: &EventKind) -> Result<(), serde_json::Error> {
        let id = EventId::new(self.now);
        let sequence = self.last_sequence + 1;
        let payload = Payload {
            id,
            event_type: happening.event_type(),
            sequence: Some(sequence),
            occurred_at: Timestamp::kst(self.now),
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

    /// Returns whether a step was made or an event added since the order was locked.
    pub(crate) fn is_touched(&self) -> bool {
        !self.steps.is_empty() || !self.events.is_empty()
    }

    /// Returns whether the order has an active bid: one in `proceed` or `acquiring`.
    pub(crate) fn is_bidding(&self) -> bool {
        let active = [OrderStatus::Proceed, OrderStatus::Acquiring];
        self.order.bid.is_some() && active.contains(&self.order.state.status)
    }
}

/// Updates the standing of the active bids on one vehicle.
///
/// The highest bid leads, and of equal bids the one accepted first.
pub(crate) fn rank_bids(held: &mut [LockedOrder]) {
    let mut bidding: Vec<_> = held.iter_mut().filter(|it| it.is_bidding()).collect();
    let key = |it: &LockedOrder| {
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

impl Transition {
    /// Returns the name of the step in the details of an error.
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

    /// Returns the step of the state machine; a change of shipment details has none.
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
