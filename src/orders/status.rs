//! `POST /v1/orders/{id}/status`: the partner's reports on a shipping order.

use axum::{http::StatusCode, response::Response};
use chrono::TimeDelta;
use utoipa::ToSchema;

use super::{
    answer::reply,
    state::{FulfillmentDetail, OrderStatus, Owner, Refused},
    transition::{Report, Transition},
    transitions,
    view::OrderView,
};
use crate::{
    clock,
    errors::{ApiError, Fault, IssueKind},
    http::{
        extract::Input,
        fields::{Fields, FromBody},
        path::Id,
    },
    idempotency::Write,
    request::Caller,
    values::{id::OrderId, timestamp::Timestamp},
};

/// Maximum time by which a report may be ahead of the partner's time, because clocks differ.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);
/// Maximum characters of the notes.
const NOTES_CHARACTERS_MAX: usize = 2_000;

/// The request body.
#[derive(Debug)]
pub(super) struct ReportStatus {
    reported: Reported,
    report: Report,
}

/// The reported status or sub-status.
#[derive(Debug, Clone, Copy)]
enum Reported {
    Status(OrderStatus),
    Fulfillment(FulfillmentDetail),
}

impl Reported {
    /// Returns the step, or `None` for a status or sub-status that only LMN sets, whatever the order's state.
    fn step(self) -> Option<Transition> {
        match self {
            Self::Status(OrderStatus::Delivered) => Some(Transition::Deliver),
            Self::Fulfillment(
                detail @ (FulfillmentDetail::InTransit | FulfillmentDetail::Customs),
            ) => Some(Transition::Fulfill(detail)),
            Self::Status(_) | Self::Fulfillment(_) => None,
        }
    }
}

impl FromBody for ReportStatus {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.exactly_one(&["status", "fulfillment_detail"]);
        let status = fields.optional_word("status").map(Reported::Status);
        let fulfillment = fields.optional_word("fulfillment_detail");
        let occurred_at = fields.stamp("occurred_at");
        let notes = fields.optional_text("notes", NOTES_CHARACTERS_MAX);
        Some(Self {
            reported: status.or(fulfillment.map(Reported::Fulfillment))?,
            report: Report {
                occurred_at: occurred_at?,
                notes,
            },
        })
    }
}

/// The report: exactly one of `status` and `fulfillment_detail`. Unknown members are ignored.
#[derive(ToSchema)]
#[schema(as = ReportStatus)]
#[expect(dead_code, reason = "schema only, read by `ReportStatus`")]
struct ReportShape {
    /// `delivered`. Only LMN sets the other statuses.
    status: Option<OrderStatus>,
    /// `in_transit` or `customs`, in either order or not at all. Only LMN sets the other sub-statuses.
    fulfillment_detail: Option<FulfillmentDetail>,
    /// When it happened, with the UTC offset of the place; at most 5 minutes ahead of the current time.
    occurred_at: Timestamp,
    /// Notes for the history of the order.
    #[schema(max_length = 2000)]
    notes: Option<String>,
}

/// Reports the sub-status of a shipping order, or its delivery.
///
/// Repeating the current sub-status changes nothing.
#[utoipa::path(post, path = "/v1/orders/{id}/status", tag = "orders", params(Id::<OrderId>), request_body = ReportShape,
    responses(
        (status = 200, description = "The order.", body = OrderView),
        (status = 403, description = "invalid_status_transition"),
        (status = 404, description = "order_not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(super) async fn report_status(
    caller: Caller,
    mut write: Write,
    Input((), body): Input<(), ReportStatus>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let ReportStatus { reported, report } = body;
    let tx = write.tx();
    let now = clock::store::now(tx, caller.partner()).await?;
    if report.occurred_at.instant() > now + AHEAD_MAX {
        return Err(from_the_future(report.occurred_at));
    }
    let held = transitions::hold(tx, Some(caller.partner()), id).await?;
    let mut held = held.ok_or_else(|| ApiError::no_order(id))?;
    let step = reported.step();
    let step = step.ok_or_else(|| Refused::NotAuthorized.answer(held.order.state))?;
    held.advance_as_told(&step, Owner::Partner, report)
        .map_err(transitions::TransitionFailed::from)
        .map_err(|error| ApiError::from(error).requesting(step.word()))?;
    transitions::record(tx, &caller.actor(), std::slice::from_ref(&held)).await?;
    write.commit(reply(StatusCode::OK, held.order)?).await
}

fn from_the_future(occurred_at: Timestamp) -> ApiError {
    let message = "`occurred_at` is more than 5 minutes ahead of the current time";
    let fault = Fault::new(IssueKind::OutOfRange, message);
    fault
        .at("occurred_at", Some(&occurred_at.to_string()))
        .into()
}
