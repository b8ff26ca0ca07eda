//! API errors for commands of the operator API that are refused.

use crate::{
    errors::{ApiError, Fault, IssueKind, payloads::RefusalReason},
    orders::{
        operator::AuctionError, refusals::refusal, state_machine::TransitionError,
        transitions::TransitionFailed,
    },
};

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
