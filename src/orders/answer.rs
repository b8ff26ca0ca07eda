//! Responses of the order routes: the reply to a write, and the error of a refused step.

use axum::http::StatusCode;

use super::{
    model::Order,
    state::{Refused, State},
    transition::TransitionError,
    transitions::TransitionFailed,
    view::OrderView,
};
use crate::{
    errors::{ApiError, Fault, IssueKind, Refusal},
    idempotency::Reply,
    values::string_enum::StringEnum,
};

/// Returns the reply to a write that placed or changed an order.
pub(crate) fn reply(status: StatusCode, order: Order) -> Result<Reply, ApiError> {
    let id = order.id;
    let reply = Reply::json(status, &OrderView::from(order))?;
    Ok(Reply {
        order: Some(id),
        ..reply
    })
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
                Self::OutOfSequence(refusal(state))
            }
            TransitionFailed::Step(error @ TransitionError::Unwritable(_)) => Self::internal(error),
            TransitionFailed::Database(error) => error.into(),
        }
    }
}

impl Refused {
    /// Returns the error for a step that is refused in `state`.
    pub(crate) fn answer(self, state: State) -> ApiError {
        match self {
            Self::NotAuthorized => ApiError::NotThePartnersStep(refusal(state)),
            Self::OutOfSequence => ApiError::OutOfSequence(refusal(state)),
        }
    }
}

/// Returns the details of the error: the order's status, and the actions that its partner can take.
pub(crate) fn refusal(state: State) -> Refusal {
    let actions = state.allowed_actions().into_iter();
    Refusal {
        current_status: Some(state.status.as_str()),
        current_fulfillment_detail: state.fulfillment.map(StringEnum::as_str),
        requested_action: None,
        allowed_actions: actions.map(StringEnum::as_str).collect(),
    }
}
