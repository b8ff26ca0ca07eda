//! `POST /operator/v1/events/{id}/replay` and `POST /operator/v1/partners/{id}/replay`: sends events again.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::partner_changes::find;
use crate::{
    errors::{ApiError, Fault, IssueKind},
    events::{self, model::EventView},
    http::{
        body::Input,
        extract::{Id, Query},
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    request::OperatorCaller,
    values::{
        id::{EventId, PartnerId},
        timestamp::Timestamp,
    },
    webhooks::{
        changes::{redeliver, replay},
        store::Range,
    },
};

/// The maximum number of events that one request sends again.
const EVENTS_MAX: i64 = 10_000;

/// Sends an event again, outside its order's sequence.
#[utoipa::path(post, path = "/operator/v1/events/{id}/replay", tag = "webhooks", params(Id::<EventId>), responses(
    (status = 202, description = "The event with the state of its delivery.", body = EventView),
    (status = 404, description = "event_not_found webhook_endpoint_not_found"),
))]
pub(crate) async fn replay_event(
    caller: OperatorCaller,
    mut write: Write,
    _: Query<()>,
    Id(id): Id<EventId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let owner = events::store::find_any_owner(tx, id).await?;
    let partner = owner.ok_or_else(|| ApiError::no_event(id))?;
    let event = redeliver(tx, &caller.actor(), partner, id).await?;
    let reply = Reply::json(StatusCode::ACCEPTED, &EventView::from(event))?;
    write.commit(reply).await
}

/// The events to send again. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct ReplayEvents {
    /// The start of the range, inclusive, by the partner's clock.
    since: Timestamp,
    /// The end of the range, exclusive.
    until: Timestamp,
    /// Whether the events are only counted; false if omitted.
    dry_run: Option<bool>,
}

impl FromBody for ReplayEvents {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let (since, until) = (fields.timestamp("since"), fields.timestamp("until"));
        let dry_run = fields.optional_bool("dry_run");
        let (since, until) = (since?, until?);
        if since.instant() >= until.instant() {
            let fault = Fault::new(IssueKind::OutOfRange, "`until` must be later than `since`");
            fields.complain("until", fault);
            return None;
        }
        Some(Self {
            since,
            until,
            dry_run,
        })
    }
}

/// The number of events that are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedEvents {
    partner_id: PartnerId,
    events: u64,
    /// Whether they were only counted.
    dry_run: bool,
}

/// Sends the events of a partner in a time range again, at most 10,000, those of an order one after the other.
///
/// Events that are pending are left out. A dry run only counts the events.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/replay", tag = "webhooks", params(Id::<PartnerId>),
    request_body = ReplayEvents, responses(
        (status = 200, description = "The number of events.", body = ReplayedEvents),
        (status = 404, description = "partner_not_found webhook_endpoint_not_found"),
    ))]
pub(crate) async fn replay_events(
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), ReplayEvents>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    find(tx, id).await?;
    let range = Range {
        since: body.since.instant(),
        until: body.until.instant(),
    };
    let (mut events, _) = replay(tx, &actor, id, range, (0, EVENTS_MAX + 1), true).await?;
    if events > EVENTS_MAX.unsigned_abs() {
        let message = format!("the range has more than {EVENTS_MAX} events; choose a shorter one");
        let fault = Fault::new(IssueKind::TooMany, message);
        return Err(fault.at("until", None).into());
    }
    let dry_run = body.dry_run.unwrap_or_default();
    if !dry_run {
        (events, _) = replay(tx, &actor, id, range, (0, EVENTS_MAX), false).await?;
    }
    let replayed = ReplayedEvents {
        partner_id: id,
        events,
        dry_run,
    };
    write.commit(Reply::json(StatusCode::OK, &replayed)?).await
}
