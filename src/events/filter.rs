//! Filters of a partner's list of events, and their SQL. Values are always bound parameters.

use sqlx::{Postgres, QueryBuilder};

use super::model::{DeliveryStatus, EventType};
use crate::values::{id::OrderId, string_enum::StringEnum};

/// The filters of a list of events. Every filter that is set must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of one of these types.
    pub types: Vec<EventType>,
    /// With one of these delivery statuses.
    pub delivery_status: Vec<DeliveryStatus>,
}

impl Filter {
    /// Appends ` and …` for every filter that is set.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(order) = self.order {
            query.push(" and order_id = ").push_bind(order.uuid());
        }
        if !self.types.is_empty() {
            query
                .push(" and type = any(")
                .push_bind(words(&self.types))
                .push(")");
        }
        if !self.delivery_status.is_empty() {
            query.push(" and delivery_status = any(");
            query.push_bind(words(&self.delivery_status)).push(")");
        }
    }

    /// Returns the canonical form of the filters, to which a cursor is bound. The order of values does not change it.
    pub(crate) fn canonical(&self) -> String {
        let mut parts = [words(&self.types), words(&self.delivery_status)];
        parts.iter_mut().for_each(|part| part.sort_unstable());
        format!("{:?} {parts:?}", self.order.map(|it| it.to_string()))
    }
}

fn words<W: StringEnum>(words: &[W]) -> Vec<&'static str> {
    words.iter().map(|it| it.as_str()).collect()
}
