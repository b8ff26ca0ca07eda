//! SQL of events. Every read for a partner is scoped by it, and values are always bound parameters.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{FromRow, Postgres, QueryBuilder, types::Json};
use uuid::Uuid;

use super::model::{ATTEMPTS_KEPT, DeliveryAttempt, DeliveryStatus, Event, EventType, NewEvent};
use crate::{
    database::{
        Connection, Tx,
        column::{InvalidColumn, optional_word, word},
    },
    values::{
        id::{EventId, OrderId, PartnerId},
        string_enum::StringEnum,
    },
};

/// A new event as a row of the statement's JSON parameter.
#[derive(Debug, Serialize)]
struct NewRow<'a> {
    n: usize,
    id: Uuid,
    partner_id: Uuid,
    order_id: Option<Uuid>,
    sequence: Option<i32>,
    event_type: &'a str,
    new_vehicle_id: Option<&'a str>,
    occurred_at: DateTime<Utc>,
    payload: &'a str,
}

/// Appends events to their partners' feeds. This is the last step of a transaction before its commit.
///
/// It assigns the next positions of each partner, partners in the order of their ids, and keeps the feeds locked until
/// the commit. That is short, and only delivery queues are locked after the feeds. The row of a feed also has the event
/// types that the partner's endpoint selects: a selected event waits in the delivery queue of its order, a test in a
/// queue of its own.
pub(crate) async fn append(tx: &mut Tx, events: &[&NewEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = events.iter().zip(0..).map(new_row).collect();
    let is_due = sqlx::query_scalar!(
        r#"
        with fresh as materialized (
            select * from jsonb_to_recordset($1::jsonb) as it(
                n bigint, id uuid, partner_id uuid, order_id uuid, sequence integer, event_type text,
                new_vehicle_id text, occurred_at timestamptz, payload text)
        ), counted as (
            select partner_id, count(*) as events from fresh group by partner_id
        ), feed as (
            insert into event_feeds (partner_id, last_position)
            select partner_id, events from counted order by partner_id
            on conflict (partner_id) do update set last_position = event_feeds.last_position + excluded.last_position
            returning partner_id, last_position, has_endpoint, event_types, lmn_now_of(partner_id) as now
        ), placed as materialized (
            select fresh.*, coalesce(order_id, id) as queue_id,
                   last_position - events + row_number() over (partition by partner_id order by n) as position,
                   has_endpoint and (event_types is null or event_type = 'webhook.test'
                                     or event_type = any(event_types)) as is_wanted, now
            from fresh join counted using (partner_id) join feed using (partner_id)
        ), written as (
            insert into events (id, partner_id, position, order_id, sequence, type, new_vehicle_id, occurred_at,
                                payload, delivery_status, queue_id)
            select id, partner_id, position, order_id, sequence, event_type, new_vehicle_id, occurred_at,
                   payload::json, case when is_wanted then 'pending' else 'delivery_skipped' end,
                   case when is_wanted then queue_id end
            from placed
        ), queues as (
            -- Who takes a queue away at this moment is waited for, and then there is a new one.
            insert into delivery_queues (id, partner_id, event_id, due_at)
            -- Who takes the clock back while this waits for the feed has moved the queues that there were.
            select distinct on (queue_id) queue_id, partner_id, id, least(occurred_at, now)
            from placed where is_wanted
            order by queue_id, sequence
            on conflict (id) do update set partner_id = excluded.partner_id
            returning id
        )
        select exists (select from queues) as "is_due!"
        "#,
        Json(&rows) as _,
    )
    .fetch_one(&mut **tx)
    .await?;
    if is_due {
        tx.announce_deliveries();
    }
    Ok(())
}

fn new_row<'a>((event, n): (&&'a NewEvent, usize)) -> NewRow<'a> {
    NewRow {
        n,
        id: event.id.uuid(),
        partner_id: event.partner.uuid(),
        order_id: event.of_order.map(|it| it.0.uuid()),
        sequence: event.of_order.map(|it| it.1),
        event_type: event.event_type.as_str(),
        new_vehicle_id: event.new_vehicle_id.as_ref().map(|id| id.as_str()),
        occurred_at: event.occurred_at,
        payload: &event.payload,
    }
}

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
    /// Returns whether types or delivery statuses select the events.
    fn is_by_words(&self) -> bool {
        !self.types.is_empty() || !self.delivery_status.is_empty()
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

/// Returns each word once; all of them if `words` is empty.
fn words_once<W: StringEnum>(words: &[W]) -> Vec<&'static str> {
    let is_wanted = |it: &&W| words.is_empty() || words.contains(it);
    let wanted = W::ALL.iter().filter(is_wanted);
    wanted.map(|it| it.as_str()).collect()
}

/// The columns of an [`EventRow`], as text for statements on `events`.
macro_rules! event_columns {
    () => {
        "id, position, type, order_id, sequence, occurred_at, delivery_status, attempts, last_attempt_at,
         last_response_code, payload::text,
         (select error from delivery_attempts where event_id = events.id and number = events.attempts) as last_error,
         (select due_at from delivery_queues
          where event_id = events.id
            and exists (select from webhook_endpoints
                        where webhook_endpoints.partner_id = events.partner_id and enabled)) as next_attempt_at"
    };
}

/// A row of `events`.
#[derive(Debug, FromRow)]
struct EventRow {
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
    last_error: Option<String>,
    next_attempt_at: Option<DateTime<Utc>>,
    payload: String,
}

impl EventRow {
    /// Converts the row to an event. The error names an invalid row.
    fn into_model(self) -> Result<Event, sqlx::Error> {
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
            last_error: optional_word(row.last_error.as_deref())?,
            next_attempt_at: row.next_attempt_at,
            payload: RawValue::from_string(row.payload).map_err(InvalidColumn::new)?,
        })
    }
}

/// The direction in which a feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Newest event first.
    Back,
    /// Oldest event first.
    Forth,
}

/// Lists up to `limit` events of a partner after a position, in the direction of reading.
pub(crate) async fn list(
    conn: &mut Connection,
    partner: PartnerId,
    filter: &Filter,
    direction: Direction,
    beyond: Option<i64>,
    limit: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    let (order, comes_after) = match direction {
        Direction::Back => ("desc", "<"),
        Direction::Forth => ("asc", ">"),
    };
    let end = format!(" order by position {order} limit {limit}");
    let push_scope = |query: &mut QueryBuilder<Postgres>| {
        query.push("partner_id = ").push_bind(partner.uuid());
        if let Some(order) = filter.order {
            query.push(" and order_id = ").push_bind(order.uuid());
        }
        if let Some(position) = beyond {
            query.push(format_args!(" and position {comes_after} "));
            query.push_bind(position);
        }
    };
    let mut query = QueryBuilder::new(concat!("select ", event_columns!(), " from events where "));
    if filter.is_by_words() {
        push_pages(&mut query, filter, &end, push_scope);
    } else {
        push_scope(&mut query);
    }
    query.push(&end);
    let rows: Vec<EventRow> = query.build_query_as().fetch_all(conn).await?;
    rows.into_iter().map(EventRow::into_model).collect()
}

/// Appends a condition: the events of one page, merged from a page of each type and delivery status.
///
/// An index has the events of each type and status in order, so rare events do not read the partner's whole feed. The words
/// are literals: with parameters PostgreSQL makes one plan for frequent and rare ones, which may walk the feed.
fn push_pages(
    query: &mut QueryBuilder<Postgres>,
    filter: &Filter,
    end: &str,
    push_scope: impl Fn(&mut QueryBuilder<Postgres>),
) {
    query.push("id = any(array(select id from (");
    let mut separator = "";
    for event_type in words_once(&filter.types) {
        for status in words_once(&filter.delivery_status) {
            query.push(format_args!(
                "{separator}(select id, position from events where type = '{event_type}' and delivery_status = '{status}' and "
            ));
            push_scope(query);
            query.push(end).push(")");
            separator = " union all ";
        }
    }
    query.push(format_args!(") as found{end}))"));
}

/// Finds an event of a partner.
pub(crate) async fn find(
    conn: &mut Connection,
    partner: PartnerId,
    id: EventId,
) -> Result<Option<Event>, sqlx::Error> {
    let row: Option<EventRow> = sqlx::query_as(concat!(
        "select ",
        event_columns!(),
        " from events where partner_id = $1 and id = $2"
    ))
    .bind(partner.uuid())
    .bind(id.uuid())
    .fetch_optional(conn)
    .await?;
    row.map(EventRow::into_model).transpose()
}

/// Lists the kept attempts to deliver an event of a partner, newest first. Returns `None` if there is no such event.
pub(crate) async fn list_attempts(
    conn: &mut Connection,
    partner: PartnerId,
    id: EventId,
) -> Result<Option<Vec<DeliveryAttempt>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select attempted_at as "attempted_at?", response_code as "response_code?", error as "error?: String",
               duration_ms as "duration_ms?"
        from events left join delivery_attempts on event_id = events.id
        where partner_id = $1 and events.id = $2
        order by number desc
        limit $3
        "#,
        partner.uuid(),
        id.uuid(),
        i64::from(ATTEMPTS_KEPT),
    )
    .fetch_all(conn)
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut attempts = Vec::with_capacity(rows.len());
    for row in rows {
        // The row of an event without attempts has none of these.
        if let Some((at, duration_ms)) = row.attempted_at.zip(row.duration_ms) {
            attempts.push(DeliveryAttempt {
                at,
                response_code: row.response_code,
                error: optional_word(row.error.as_deref())?,
                duration_ms,
            });
        }
    }
    Ok(Some(attempts))
}

/// Finds the partner that an event belongs to, for the operator.
pub(crate) async fn find_any_owner(
    conn: &mut Connection,
    id: EventId,
) -> Result<Option<PartnerId>, sqlx::Error> {
    let owner = sqlx::query_scalar!("select partner_id from events where id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(owner.map(PartnerId::from))
}
