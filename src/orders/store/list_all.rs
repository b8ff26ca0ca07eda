//! The list of the orders of all partners, for the operator: its filters, and one page of it.

use std::fmt::Write;

use chrono::{NaiveDate, TimeDelta};
use sqlx::{Postgres, QueryBuilder};

use super::{
    super::state_machine::OrderStatus,
    list::{DONE, OPEN, Position, Sort, is_done},
    lock::interval,
    read::{OwnedOrder, OwnedRow},
};
use crate::{
    database::Connection,
    values::{
        id::{OrderId, PartnerId},
        string_enum::StringEnum,
        timestamp::Timestamp,
    },
    vehicles::model::Source,
};

/// The filters of a list of all orders. Every filter that is set must match.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllFilter {
    /// Of this partner.
    pub(crate) partner: Option<PartnerId>,
    /// With one of these statuses.
    pub(crate) status: Vec<OrderStatus>,
    /// For a vehicle of one of these sources.
    pub(crate) source: Vec<Source>,
    /// For this vehicle. Text that is not a vehicle id matches no order.
    pub(crate) vehicle_id: Option<String>,
    /// With an auction on this day in Korea or later.
    pub(crate) auction_date_from: Option<NaiveDate>,
    /// With an auction on this day in Korea or earlier.
    pub(crate) auction_date_to: Option<NaiveDate>,
    /// Accepted at or after this time.
    pub(crate) from: Option<Timestamp>,
    /// Accepted before this time.
    pub(crate) to: Option<Timestamp>,
    /// Shipping for at least this time.
    pub(crate) overdue: Option<TimeDelta>,
    /// With this id, VIN, license plate, vehicle or external user.
    pub(crate) text: Option<String>,
}

impl AllFilter {
    /// Returns the canonical form of the filters. The order and repetition of values within a filter do not change it.
    pub(crate) fn canonical(&self) -> String {
        let millis =
            |timestamp: Option<Timestamp>| timestamp.map(|it| it.instant().timestamp_millis());
        let mut text = String::new();
        // Writing to a string cannot fail. The debug format quotes strings, so that no value can be read as two.
        let _ = write!(
            text,
            "partner={:?};status={:?};source={:?};vehicle_id={:?};auction={:?}..{:?};from={:?};to={:?};overdue={};q={:?}",
            self.partner.map(|it| it.to_string()),
            words_once(&self.status),
            words_once(&self.source),
            self.vehicle_id,
            self.auction_date_from,
            self.auction_date_to,
            millis(self.from),
            millis(self.to),
            self.overdue.is_some(),
            self.text,
        );
        text
    }

    /// Returns whether a filter is set that finds few orders by an index.
    fn is_search(&self) -> bool {
        let searches = (&self.vehicle_id, &self.overdue, &self.text);
        !matches!(searches, (None, None, None))
    }

    /// Returns whether the list is limited to some days of auctions.
    fn has_auction_dates(&self) -> bool {
        self.auction_date_from.is_some() || self.auction_date_to.is_some()
    }

    /// Appends ` and …` for every filter that is set, except that of statuses.
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(partner) = self.partner {
            query.push(" and partner_id = ").push_bind(partner.uuid());
        }
        if !self.source.is_empty() {
            // A look-up for each order: joined, the whole catalogue could be read.
            query.push(
                " and (select source from vehicles where vehicles.id = orders.vehicle_id) = any(",
            );
            query.push_bind(words_once(&self.source)).push(")");
        }
        if let Some(day) = self.auction_date_from {
            let begin = Timestamp::midnight_in_korea(day).instant();
            query.push(" and auction_order < timestamptz 'infinity' and auction_order >= ");
            query.push_bind(begin);
        }
        if let Some(day) = self.auction_date_to {
            let end = Timestamp::midnight_in_korea(day).instant() + TimeDelta::days(1);
            query.push(" and auction_order < ").push_bind(end);
        }
        // An id begins with the time of acceptance.
        if let Some(from) = self.from {
            let first = OrderId::first_at(from.instant());
            query.push(" and id >= ").push_bind(first.uuid());
        }
        if let Some(to) = self.to {
            let first = OrderId::first_at(to.instant());
            query.push(" and id < ").push_bind(first.uuid());
        }
        self.push_searches(query);
    }

    /// Appends ` and …` for the filters that find few orders, each by an index.
    fn push_searches(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(vehicle) = &self.vehicle_id {
            query.push(" and id = any(array(select id from orders where vehicle_id = ");
            query.push_bind(vehicle.clone()).push("))");
        }
        if let Some(overdue) = self.overdue {
            query.push(
                " and id = any(array(
                     select orders.id from orders join partners on partners.id = partner_id
                     where orders.status = 'shipping'
                       and shipping_since <= (select lmn_now(max(clock_offset_seconds)) from partners) - ",
            );
            query.push_bind(interval(overdue));
            query.push(" and shipping_since <= lmn_now(clock_offset_seconds) - ");
            query.push_bind(interval(overdue)).push("))");
        }
        if let Some(text) = &self.text {
            match OrderId::parse(text) {
                Some(id) => {
                    query.push(" and id = ").push_bind(id.uuid());
                }
                None => push_text(text, query),
            }
        }
    }
}

/// Appends ` and …` for the orders with a VIN, license plate, external user or vehicle.
///
/// Done orders are found by an index of each column. Open ones have none, so that placing an order maintains no further
/// index: all of them are read.
fn push_text(text: &str, query: &mut QueryBuilder<Postgres>) {
    query.push(" and id = any(array(select id from orders where vehicle_id = ");
    query.push_bind(text.to_owned());
    for column in ["vin", "license_plate", "external_user_id"] {
        query.push(format_args!(
            " union all select id from orders where {DONE} and {column} = "
        ));
        query.push_bind(text.to_owned());
    }
    query.push(format_args!(
        " union all select id from orders where {OPEN} and "
    ));
    query.push_bind(text.to_owned());
    query.push(" in (vin, license_plate, external_user_id)))");
}

/// Returns each word once, in the order of the enumeration.
fn words_once<W: StringEnum>(words: &[W]) -> Vec<&'static str> {
    let is_wanted = |it: &&W| words.contains(it);
    let wanted = W::ALL.iter().filter(is_wanted);
    wanted.map(|it| it.as_str()).collect()
}

/// Lists up to `limit` orders after a position, each with its own position.
///
/// Like that of a partner's list, the statement is built at run time.
pub(crate) async fn list_all(
    conn: &mut Connection,
    filter: &AllFilter,
    sort: Sort,
    after: Option<&Position>,
    limit: i64,
) -> Result<Vec<(OwnedOrder, Position)>, sqlx::Error> {
    let page = Page {
        filter,
        sort,
        after,
        limit,
    };
    let mut query = page.statement();
    let rows: Vec<OwnedRow> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(OwnedRow::into_order).collect()
}

/// A page to read, from which its statement is built.
struct Page<'a> {
    filter: &'a AllFilter,
    sort: Sort,
    after: Option<&'a Position>,
    limit: i64,
}

impl Page<'_> {
    fn statement(&self) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("with ");
        match self.is_by_status() {
            true => self.push_by_status(&mut query),
            false => self.push_in_order(&mut query),
        }
        let column = self.sort.column();
        query.push(format_args!(
            " select rendered, is_highest_bid, current_max_bid_usd, nullif(orders.{column}, 'infinity'), orders.id,
                     partner_id, name, external_user_id
              from orders_with_standing as orders join partners on partners.id = partner_id
              where orders.id = any(array(select id from page))"
        ));
        self.push_order(&mut query, "orders.");
        query
    }

    /// Returns whether the orders of each status are read by themselves.
    ///
    /// Done orders of a status have an index for each sort, which placing an order does not maintain. Without a status,
    /// those of every status are read, except where another index has the order of the list: that of the ids, or a
    /// partner's own.
    fn is_by_status(&self) -> bool {
        let filter = self.filter;
        let has_other_index =
            filter.partner.is_some() || (self.column().is_none() && !filter.has_auction_dates());
        !filter.is_search() && (!filter.status.is_empty() || !has_other_index)
    }

    /// Returns the column by which the list is sorted before the id; `None` if the id alone sorts it.
    fn column(&self) -> Option<&'static str> {
        let is_by_id = matches!(self.sort, Sort::CreatedAsc | Sort::CreatedDesc)
            && self.filter.partner.is_none();
        (!is_by_id).then(|| self.sort.column())
    }

    /// Returns the columns that the page needs of each order.
    fn selected(&self) -> String {
        match self.column() {
            Some(column) => format!("id, {column}"),
            None => "id".to_owned(),
        }
    }

    /// Appends `page` in the order of the sort.
    fn push_in_order(&self, query: &mut QueryBuilder<Postgres>) {
        query.push("page as (select id from orders where true");
        if !self.filter.status.is_empty() {
            query.push(" and status = any(");
            query.push_bind(words_once(&self.filter.status)).push(")");
        }
        self.push_rest(query);
        self.push_order(query, "");
        query.push(")");
    }

    /// Appends `page`, for which the orders of each status are read by themselves, so that a rare status does not read the
    /// whole history. All open orders are read, as in a partner's list. Without a status in the filter, all are read.
    fn push_by_status(&self, query: &mut QueryBuilder<Postgres>) {
        let selected = self.selected();
        let filter = &self.filter.status;
        let is_wanted = |it: &OrderStatus| filter.is_empty() || filter.contains(it);
        let statuses = OrderStatus::ALL.iter().copied().filter(is_wanted);
        let (done, open): (Vec<_>, Vec<_>) = statuses.partition(|it| is_done(*it));
        let mut separator = "";
        if !open.is_empty() {
            query.push(format_args!(
                "open_orders as materialized (select {selected} from orders where {OPEN} and status = any("
            ));
            query.push_bind(words_once(&open)).push(")");
            self.push_rest(query);
            query.push(format_args!(
                "), found as ((select {selected} from open_orders"
            ));
            self.push_order(query, "");
            query.push(")");
            separator = " union all ";
        } else {
            query.push("found as (");
        }
        for status in done {
            // As a literal: a plan for any status could walk the history for a rare one.
            query.push(format_args!(
                "{separator}(select {selected} from orders where {DONE} and status = '{}'",
                status.as_str()
            ));
            self.push_rest(query);
            self.push_order(query, "");
            query.push(")");
            separator = " union all ";
        }
        query.push("), page as (select id from found");
        self.push_order(query, "");
        query.push(")");
    }

    /// Appends ` and …` for the filters other than that of statuses, and the position.
    fn push_rest(&self, query: &mut QueryBuilder<Postgres>) {
        self.filter.push(query);
        let Some(after) = self.after else {
            return;
        };
        match self.column() {
            Some(column) => self.sort.push_after(after, column, query),
            None => {
                let (_, comes_after) = self.sort.direction();
                query.push(format_args!(" and id {comes_after} "));
                query.push_bind(after.1.uuid());
            }
        }
    }

    /// Appends the order, with a prefix for each column, and the limit, which is part of the text as in a partner's list.
    fn push_order(&self, query: &mut QueryBuilder<Postgres>, prefix: &str) {
        let (direction, _) = self.sort.direction();
        query.push(" order by ");
        if let Some(column) = self.column() {
            query.push(format_args!("{prefix}{column} {direction}, "));
        }
        let limit = self.limit;
        query.push(format_args!("{prefix}id {direction} limit {limit}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_the_order_of_values_but_not_their_fields() {
        let status = |status: &[OrderStatus]| AllFilter {
            status: status.to_vec(),
            ..AllFilter::default()
        };
        let (failed, proceed) = (OrderStatus::Failed, OrderStatus::Proceed);
        assert_eq!(
            status(&[failed, proceed]).canonical(),
            status(&[proceed, failed, failed]).canonical()
        );
        let day = NaiveDate::from_ymd_opt(2026, 4, 20);
        for other in [
            status(&[failed]),
            AllFilter {
                partner: Some(PartnerId::new(chrono::DateTime::UNIX_EPOCH)),
                ..AllFilter::default()
            },
            AllFilter {
                source: vec![Source::Glovis],
                ..AllFilter::default()
            },
            AllFilter {
                vehicle_id: Some("a".into()),
                ..AllFilter::default()
            },
            AllFilter {
                auction_date_from: day,
                ..AllFilter::default()
            },
            AllFilter {
                auction_date_to: day,
                ..AllFilter::default()
            },
            AllFilter {
                overdue: Some(TimeDelta::days(90)),
                ..AllFilter::default()
            },
            AllFilter {
                text: Some("a".into()),
                ..AllFilter::default()
            },
        ] {
            assert_ne!(other.canonical(), AllFilter::default().canonical());
        }
    }
}
