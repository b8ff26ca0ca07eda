//! Locked orders: the effects of a transition on an order, and the event that it makes. Pure.
//!
//! [`LockedOrder`] is a locked order with the steps and events that are still to be recorded. Partners, operators and
//! scheduled jobs make every transition through it, so no transition lacks its history entry or, unless a partner makes
//! it, its event.

use chrono::{DateTime, Utc};

use super::{
    event::{EventData, EventKind},
    model::{AuctionOutcome, Order, Standing},
    state_machine::{
        CancellationReason, FailureReason, OrderStatus, Owner, Refused, State, Transition,
        TransitionError,
    },
    view::OrderView,
};
use crate::{
    events::{self, model::NewEvent},
    values::{
        id::{EventId, PartnerId},
        money::Usd,
        timestamp::Timestamp,
    },
};

/// The time and the notes of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// When it happened, with the UTC offset of the place.
    pub occurred_at: Timestamp,
    /// Notes given with it.
    pub notes: Option<String>,
}

/// A step that is still to be recorded in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewStep {
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
    /// The order, with the transitions made so far.
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
    pub steps: Vec<NewStep>,
    /// The events added since then.
    pub events: Vec<NewEvent>,
}

impl LockedOrder {
    /// Makes a transition that happens now and has no notes.
    pub(crate) fn apply(
        &mut self,
        transition: &Transition,
        by: Owner,
    ) -> Result<(), TransitionError> {
        let report = Report {
            occurred_at: Timestamp::kst(self.now),
            notes: None,
        };
        self.apply_reported(transition, by, report)
    }

    /// Makes a transition with the given time and notes. One that changes nothing is not recorded, and is no error.
    pub(crate) fn apply_reported(
        &mut self,
        transition: &Transition,
        by: Owner,
        report: Report,
    ) -> Result<(), TransitionError> {
        let was = self.order.state;
        let state = was
            .after(transition, by)
            .map_err(|refused| TransitionError::Refused(was, refused))?;
        let shipment = self.order.shipment.clone();
        self.set_data(transition)?;
        if state == was && self.order.shipment == shipment {
            return Ok(());
        }
        self.order.state = state;
        self.order.updated_at = self.now;
        if state != was {
            self.steps.push(NewStep { state, by, report });
        }
        // Partners get no events for their own steps.
        if by != Owner::Partner {
            self.add_event(&match was.status == state.status {
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

    /// Applies the data of a transition to the order.
    fn set_data(&mut self, transition: &Transition) -> Result<(), TransitionError> {
        let order = &mut self.order;
        match transition {
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

    /// Ends the order with the outcome of its vehicle's auction, or secures it for the winner.
    ///
    /// An order in `proceed` is cancelled, or passes through `acquiring`.
    pub(crate) fn end(
        &mut self,
        outcome: AuctionOutcome,
        is_winner: bool,
    ) -> Result<(), TransitionError> {
        let transition = match (outcome, self.order.state.status) {
            (AuctionOutcome::Won { price, fee }, _) if is_winner => Transition::Secure {
                purchase_price: price,
                auction_fee: fee,
            },
            (AuctionOutcome::Won { .. }, _) => Transition::Fail(FailureReason::OutbidInternally),
            (AuctionOutcome::Outbid, _) => Transition::Fail(FailureReason::Outbid),
            (AuctionOutcome::Cancelled, OrderStatus::Proceed) => {
                Transition::Cancel(CancellationReason::AuctionCancelled)
            }
            (AuctionOutcome::Cancelled, _) => Transition::Fail(FailureReason::AuctionCancelled),
            (AuctionOutcome::Withdrawn, OrderStatus::Proceed) => {
                Transition::Cancel(CancellationReason::SellerWithdrew)
            }
            (AuctionOutcome::Withdrawn, _) => Transition::Fail(FailureReason::VehicleUnavailable),
        };
        self.apply_through_acquiring(&transition)
    }

    /// Makes a transition of the operator. An order in `proceed` is acquired first, unless it is to be cancelled.
    pub(crate) fn apply_through_acquiring(
        &mut self,
        transition: &Transition,
    ) -> Result<(), TransitionError> {
        let is_cancelled = matches!(transition, Transition::Cancel(_));
        if self.order.state.status == OrderStatus::Proceed && !is_cancelled {
            self.apply(&Transition::Acquire, Owner::Operator)?;
        }
        self.apply(transition, Owner::Operator)
    }

    /// Moves the auction. Cancels the order if its cutoff is now past, else returns the event to add to it.
    pub(crate) fn move_auction(
        &mut self,
        date: Timestamp,
    ) -> Result<Option<EventKind>, TransitionError> {
        let now = self.now;
        let bid = self.order.bid.as_mut();
        let Some(bid) = bid.filter(|bid| bid.auction_date != date) else {
            return Ok(None);
        };
        let kind = EventKind::AuctionRescheduled {
            previous_auction_date: bid.auction_date,
        };
        let was_open = now < bid.order_cutoff_at.instant();
        bid.auction_date = date;
        bid.order_cutoff_at = date.order_cutoff();
        let is_closed = now >= bid.order_cutoff_at.instant();
        self.order.updated_at = now;
        if was_open && is_closed && self.order.state.status == OrderStatus::Proceed {
            self.add_event(&kind)?;
            let reason = CancellationReason::AuctionRescheduledTooSoon;
            self.apply(&Transition::Cancel(reason), Owner::Operator)?;
            return Ok(None);
        }
        Ok(Some(kind))
    }

    /// Corrects the amounts of an order that is `secured` or later. Equal amounts change nothing.
    pub(crate) fn correct_amounts(
        &mut self,
        purchase_price: Usd,
        auction_fee: i32,
    ) -> Result<(), TransitionError> {
        let order = &mut self.order;
        let previous_amounts = order.amounts();
        // Only an order that is not bought yet has no amounts.
        if previous_amounts.purchase_price_usd.is_none() {
            let refused = Refused::OutOfSequence;
            return Err(TransitionError::Refused(order.state, refused));
        }
        if let Some(bid) = order.bid.filter(|bid| purchase_price > bid.max_bid) {
            return Err(TransitionError::PriceAboveBid(bid.max_bid));
        }
        order.purchase_price_usd = Some(purchase_price);
        order.auction_fee_usd = Some(auction_fee);
        if order.amounts() == previous_amounts {
            return Ok(());
        }
        order.updated_at = self.now;
        let kind = EventKind::AmountsCorrected { previous_amounts };
        Ok(self.add_event(&kind)?)
    }

    /// Adds an event that contains the order in its current state.
    pub(crate) fn add_event(&mut self, kind: &EventKind) -> Result<(), serde_json::Error> {
        let id = EventId::new(self.now);
        let event_type = kind.event_type();
        let sequence = self.last_sequence + 1;
        let data = EventData {
            order: OrderView::from(self.order.clone()),
            kind,
        };
        self.events.push(NewEvent {
            id,
            partner: self.partner,
            of_order: Some((self.order.id, sequence)),
            event_type,
            new_vehicle_id: kind.new_vehicle_id().cloned(),
            occurred_at: self.now,
            payload: events::model::render(id, event_type, Some(sequence), self.now, &data)?,
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

    /// Returns whether the order's bid leads.
    pub(super) fn is_leading(&self) -> bool {
        self.order.bid.is_some_and(|bid| bid.standing.is_highest)
    }
}

/// Updates the standing of the active bids on one vehicle.
///
/// The highest bid leads, and of equal bids the one accepted first.
pub(crate) fn rank_bids(orders: &mut [LockedOrder]) {
    let mut bidding: Vec<_> = orders.iter_mut().filter(|it| it.is_bidding()).collect();
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
    for it in &mut bidding {
        let is_highest = it.order.id == leader;
        if let Some(bid) = &mut it.order.bid {
            bid.standing = Standing {
                is_highest,
                highest_bid,
            };
        }
    }
}
