//! Filters and sort orders of a partner's list of orders, and their SQL. Values are always bound parameters.

use std::fmt::Write;

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::state::OrderStatus;
use crate::values::{
    id::{OrderId, PartnerId},
    string_enum::StringEnum,
    timestamp::Timestamp,
};

/// The filters of a list of orders. Every filter that is set must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// With one of these ids. Ids that do not exist are left out.
    pub(crate) ids: Option<Vec<OrderId>>,
    /// With one of these statuses.
    pub(crate) status: Vec<OrderStatus>,
    /// For this vehicle. Text that is not a vehicle id matches no order.
    pub(crate) vehicle_id: Option<String>,
    /// Accepted at or after this time.
    pub(crate) from: Option<Timestamp>,
    /// Accepted before this time.
    pub(crate) to: Option<Timestamp>,
    /// Placed or changed by the request with this idempotency key.
    pub(crate) idempotency_key: Option<Uuid>,
}

impl Filter {
    /// Appends ` and …` for every filter that is set.
    pub(crate) fn push(&self, partner: PartnerId, query: &mut QueryBuilder<Postgres>) {
        if let Some(ids) = &self.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            query.push(" and id = any(").push_bind(ids).push(")");
        }
        if !self.status.is_empty() {
            let status: Vec<&str> = self.status.iter().map(|it| it.as_str()).collect();
            query.push(" and status = any(").push_bind(status).push(")");
        }
        if let Some(vehicle) = &self.vehicle_id {
            query.push(" and vehicle_id = ").push_bind(vehicle.clone());
        }
        if let Some(from) = self.from {
            query.push(" and created_at >= ").push_bind(from.instant());
        }
        if let Some(to) = self.to {
            query.push(" and created_at < ").push_bind(to.instant());
        }
        if let Some(key) = self.idempotency_key {
            query.push(
                " and id = (select order_id from idempotency_keys as keys where keys.partner_id = ",
            );
            query
                .push_bind(partner.uuid())
                .push(" and keys.key = ")
                .push_bind(key)
                .push(")");
        }
    }

    /// Returns the canonical form of the filters. The order and repetition of values within a filter do not change it.
    pub(crate) fn canonical(&self) -> String {
        let mut ids = self.ids.clone();
        if let Some(ids) = &mut ids {
            ids.sort();
            ids.dedup();
        }
        let mut status: Vec<_> = self.status.iter().map(|it| it.as_str()).collect();
        status.sort_unstable();
        status.dedup();
        let millis = |stamp: Option<Timestamp>| stamp.map(|it| it.instant().timestamp_millis());
        let mut text = String::new();
        // Writing to a string cannot fail. The debug format quotes strings, so that no value can be read as two.
        let _ = write!(
            text,
            "ids={ids:?};status={status:?};vehicle_id={:?};from={:?};to={:?};idempotency_key={:?}",
            self.vehicle_id,
            millis(self.from),
            millis(self.to),
            self.idempotency_key,
        );
        text
    }
}

/// The sort orders of the list. Each compares a time, then the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Newest first, by the time of acceptance.
    CreatedDesc,
    /// Oldest first, by the time of acceptance.
    CreatedAsc,
    /// Earliest auction first, orders on buy-now vehicles last.
    AuctionDateAsc,
    /// Most recently changed first.
    UpdatedDesc,
}

impl Sort {
    /// All sort orders with their names. The first is the default.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("created_desc", Self::CreatedDesc),
        ("created_asc", Self::CreatedAsc),
        ("auction_date_asc", Self::AuctionDateAsc),
        ("updated_desc", Self::UpdatedDesc),
    ];

    /// Returns the column of the time. It is indexed.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::CreatedDesc | Self::CreatedAsc => "created_at",
            Self::AuctionDateAsc => "auction_order",
            Self::UpdatedDesc => "updated_at",
        }
    }

    /// Returns the SQL direction, and the operator that selects the rows after a position.
    pub(crate) fn direction(self) -> (&'static str, &'static str) {
        match self {
            Self::CreatedAsc | Self::AuctionDateAsc => ("asc", ">"),
            Self::CreatedDesc | Self::UpdatedDesc => ("desc", "<"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_the_order_of_values_but_not_their_fields() {
        let id = OrderId::new(chrono::DateTime::UNIX_EPOCH);
        let base = Filter {
            ids: Some(vec![id]),
            status: vec![OrderStatus::Failed, OrderStatus::Proceed],
            ..Filter::default()
        };
        let reordered = Filter {
            ids: Some(vec![id, id]),
            status: vec![OrderStatus::Proceed, OrderStatus::Failed],
            ..Filter::default()
        };
        assert_eq!(base.canonical(), reordered.canonical());
        let at = Timestamp::parse("2026-04-01T00:00:00+09:00").ok();
        let same_instant = Timestamp::parse("2026-03-31T15:00:00+00:00").ok();
        let canonical = |to| {
            Filter {
                to,
                ..Filter::default()
            }
            .canonical()
        };
        assert_eq!(canonical(at), canonical(same_instant));
        for other in [
            Filter {
                ids: Some(Vec::new()),
                ..Filter::default()
            },
            Filter {
                to: at,
                ..Filter::default()
            },
            Filter {
                from: at,
                ..Filter::default()
            },
            Filter {
                vehicle_id: Some("a".into()),
                ..Filter::default()
            },
            Filter {
                idempotency_key: Some(Uuid::nil()),
                ..Filter::default()
            },
        ] {
            assert_ne!(other.canonical(), Filter::default().canonical());
        }
    }
}
