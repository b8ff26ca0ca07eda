//! API errors of orders: an order that cannot be placed, a transition that is refused, and an operator's command that is
//! refused.

use super::{
    operator::AuctionError,
    placing::PlaceError,
    state_machine::{Refused, State, TransitionError},
    transitions::TransitionFailed,
};
use crate::{
    errors::{
        ApiError, Fault, IssueKind,
        payloads::{
            DuplicateOrder, InvalidStatusTransition, MissingMaxBid, PastOrderCutoff, RefusalReason,
            VehicleUnavailable,
        },
    },
    values::{id::VehicleId, string_enum::StringEnum, timestamp::Timestamp},
};

impl PlaceError {
    /// Returns the error for an order for `vehicle_id` that is refused at `now`.
    pub(super) fn answer(self, vehicle_id: &VehicleId, now: Timestamp) -> ApiError {
        match self {
            Self::VehicleUnavailable => VehicleUnavailable {
                vehicle_id: vehicle_id.clone(),
            }
            .into(),
            Self::MissingMaxBid {
                listing_usd,
                received,
            } => MissingMaxBid {
                listing_usd,
                received,
            }
            .into(),
            Self::BidOnBuyNow(number) => {
                let message = "this vehicle is sold at its price and takes no bid";
                let fault = Fault::new(IssueKind::InvalidValue, message).expected("null");
                fault
                    .at("max_bid_amount_usd", Some(&number.to_string()))
                    .into()
            }
            Self::PastCutoff { cutoff_at } => PastOrderCutoff { cutoff_at, now }.into(),
            Self::Duplicate(existing_order_id) => DuplicateOrder { existing_order_id }.into(),
        }
    }
}

impl From<TransitionFailed> for ApiError {
    #[track_caller]
    fn from(error: TransitionFailed) -> Self {
        match error {
            TransitionFailed::Step(TransitionError::Refused(state, refused)) => {
                refused.answer(state)
            }
            TransitionFailed::Step(TransitionError::PriceAboveBid(bid)) => {
                let message = format!("`purchase_price_usd` is above the bid of {bid}");
                let fault = Fault::new(IssueKind::OutOfRange, message);
                fault.at("purchase_price_usd", None).into()
            }
            TransitionFailed::Step(TransitionError::SecuredByAnother(state)) => {
                refusal(RefusalReason::OutOfSequence, Some(state))
            }
            TransitionFailed::Step(error @ TransitionError::Unwritable(_)) => Self::internal(error),
            TransitionFailed::Database(error) => error.into(),
        }
    }
}

impl Refused {
    /// Returns the error for a transition that is refused in `state`.
    pub(super) fn answer(self, state: State) -> ApiError {
        let reason = match self {
            Self::NotAuthorized => RefusalReason::PartnerNotAuthorized,
            Self::OutOfSequence => RefusalReason::OutOfSequence,
        };
        refusal(reason, Some(state))
    }
}

/// Returns the error with the order's status and the actions that its partner can take; without an order, there are
/// none.
pub(crate) fn refusal(reason: RefusalReason, state: Option<State>) -> ApiError {
    let actions = state.into_iter().flat_map(State::allowed_actions);
    let fulfillment = state.and_then(|it| it.fulfillment);
    let refusal = InvalidStatusTransition {
        reason,
        current_status: state.map(|it| it.status.as_str()),
        current_fulfillment_detail: fulfillment.map(StringEnum::as_str),
        allowed_actions: actions.map(StringEnum::as_str).collect(),
    };
    refusal.into()
}

/// Returns the API error for a command on a vehicle or an order that is refused.
///
/// `subject` is the id that was sent, and `price` the member with the price.
#[track_caller]
pub(crate) fn refuse(error: AuctionError, subject: &str, price: &'static str) -> ApiError {
    match error {
        AuctionError::NoSuchVehicle => ApiError::no_vehicle(subject),
        AuctionError::NoSuchOrder => ApiError::no_order(subject),
        AuctionError::Transition(TransitionFailed::Step(TransitionError::PriceAboveBid(bid))) => {
            let message = format!("`{price}` is above the bid of {bid}");
            Fault::new(IssueKind::OutOfRange, message)
                .at(price, None)
                .into()
        }
        AuctionError::Transition(failed) => {
            let explanation = failed.to_string();
            ApiError::from(failed).explaining(explanation)
        }
        AuctionError::NoOpenAuction
        | AuctionError::NotHeld(_)
        | AuctionError::OtherResult
        | AuctionError::NoBids
        | AuctionError::NotClosed(_)
        | AuctionError::NotWithdrawn
        | AuctionError::Bought => refusal(RefusalReason::OutOfSequence, None).explaining(error),
    }
}
