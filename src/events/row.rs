//! Rows of `events`, and their conversion to the model.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::FromRow;
use uuid::Uuid;

use super::model::Event;
use crate::{
    database::column::{InvalidColumn, word},
    values::id::{EventId, OrderId},
};

/// The columns of an [`EventRow`], as text for statements on `events`.
macro_rules! event_columns {
    () => {
        "id, position, type, order_id, sequence, occurred_at, delivery_status, attempts, last_attempt_at,
         last_response_code, payload::text,
         (select due_at from delivery_queues
          where event_id = events.id
            and exists (select from webhook_endpoints
                        where webhook_endpoints.partner_id = events.partner_id and enabled)) as next_attempt_at"
    };
}
pub(super) use event_columns;

/// A row of `events`.
#[derive(Debug, FromRow)]
pub(super) struct EventRow {
    id: Uuid,
    position: i64,
    #[sqlx(rename = "type")]
    event_type: String,
    order_id: Option<Uuid>,
    sequence: Option<i32>,
    occurred_at: DateTime<Utc>,
    delivery_status: String,
    attempts: i32,
    last_attempt_at: Option<DateTime<Utc>>,
    last_response_code: Option<i32>,
    next_attempt_at: Option<DateTime<Utc>>,
    payload: String,
}

impl EventRow {
    /// Converts the row to an event. The error names an invalid row.
    pub(super) fn into_model(self) -> Result<Event, sqlx::Error> {
        let id = EventId::from(self.id);
        Event::try_from(self).map_err(|error| error.in_row("events", id))
    }
}

impl TryFrom<EventRow> for Event {
    type Error = InvalidColumn;

    fn try_from(row: EventRow) -> Result<Self, InvalidColumn> {
        Ok(Self {
            id: row.id.into(),
            position: row.position,
            event_type: word(&row.event_type)?,
            order: row.order_id.map(OrderId::from),
            sequence: row.sequence,
            occurred_at: row.occurred_at,
            delivery_status: word(&row.delivery_status)?,
            attempts: row.attempts,
            last_attempt_at: row.last_attempt_at,
            last_response_code: row.last_response_code,
            next_attempt_at: row.next_attempt_at,
            payload: RawValue::from_string(row.payload).map_err(InvalidColumn::new)?,
        })
    }
}
