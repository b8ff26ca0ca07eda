//! What can be asked of a partner's events, and the where-clause that asks it, always with binds.

use sqlx::{Postgres, QueryBuilder};

use super::model::{DeliveryStatus, EventType};
use crate::{id::OrderId, word::Word};

/// Which events: every part that is there must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Of this order.
    pub order: Option<OrderId>,
    /// Of one of these types.
    pub types: Vec<EventType>,
    /// With a delivery that is this far.
    pub delivery_status: Vec<DeliveryStatus>,
}

impl Filter {
    /// Appends ` and …` for every part in use.
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

    /// Returns the filter as a cursor is bound to it: the order within a list does not matter.
    pub(crate) fn canonical(&self) -> String {
        let mut parts = [words(&self.types), words(&self.delivery_status)];
        parts.iter_mut().for_each(|part| part.sort_unstable());
        format!("{:?} {parts:?}", self.order.map(|it| it.to_string()))
    }
}

fn words<W: Word>(words: &[W]) -> Vec<&'static str> {
    words.iter().map(|it| it.as_str()).collect()
}
