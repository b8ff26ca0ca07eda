//! Events as partners read them: as they are sent, and in lists beside what became of them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::model::{DeliveryStatus, Event, EventType, Happening};
use crate::{
    id::{EventId, OrderId},
    stamp::Stamp,
};

/// The contract's `Event`: what is sent to the partner's endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Payload<'a> {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub sequence: Option<i32>,
    pub occurred_at: Stamp,
    pub data: Data<'a>,
}

/// The order as it was read at that version, and what happened to it.
#[derive(Debug, Serialize)]
pub(crate) struct Data<'a> {
    pub order: &'a RawValue,
    #[serde(flatten)]
    pub happening: &'a Happening,
}

/// An event in a list.
#[derive(Debug, Serialize)]
pub(crate) struct EventView {
    pub id: EventId,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub order_id: Option<OrderId>,
    pub sequence: Option<i32>,
    pub occurred_at: Stamp,
    pub delivery_status: DeliveryStatus,
    pub attempts: i32,
    pub last_attempt_at: Option<Stamp>,
    pub last_response_code: Option<i32>,
    pub next_attempt_at: Option<Stamp>,
    pub payload: Box<RawValue>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            event_type: event.event_type,
            order_id: event.order,
            sequence: event.sequence,
            occurred_at: Stamp::kst(event.occurred_at),
            delivery_status: event.delivery_status,
            attempts: event.attempts,
            last_attempt_at: event.last_attempt_at.map(Stamp::kst),
            last_response_code: event.last_response_code,
            next_attempt_at: event.next_attempt_at.map(Stamp::kst),
            payload: event.payload,
        }
    }
}
