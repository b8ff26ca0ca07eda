//! Handlers of events: `GET /v1/events`, `GET /v1/events/{id}` and `GET /v1/events/{id}/attempts`.

use axum::{extract::State, http::Uri, response::Response};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    model::{AttemptView, DeliveryStatus, Event, EventType, EventView},
    store::{self, Direction, Filter},
};
use crate::{
    database::Database,
    errors::ApiError,
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
        page::{Page, PageQuery},
    },
    request::Caller,
    values::id::{EventId, PartnerId},
};

/// Maximum values of one filter.
const VALUES_MAX: usize = 100;
/// An id before those of all events: `after` it, a feed begins at its first event.
const BEFORE_ALL: &str = "evt_00000000000000000000000000";

/// One page of events.
type EventList = Page<EventView>;
/// The attempts to deliver an event.
type AttemptList = Page<AttemptView>;

/// The query parameters of `GET /v1/events`.
#[derive(Debug)]
pub(crate) struct ListEvents {
    filter: Filter,
    /// The id of the event after which the feed is read.
    after: Option<String>,
    page: PageQuery,
}

impl FromQuery for ListEvents {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            filter: Filter {
                order: None,
                types: params.csv("type", VALUES_MAX),
                delivery_status: params.csv("delivery_status", VALUES_MAX),
            },
            after: params.text("after"),
            page: PageQuery::read(params),
        })
    }
}

impl IntoParams for ListEvents {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let after = "Read the feed, oldest first, after this event; after `evt_00000000000000000000000000` it is read from \
                     its beginning. No new event ever appears before one that was returned.";
        let mut all = vec![
            describe::csv::<EventType>("type", VALUES_MAX, "Events of one of these types."),
            describe::csv::<DeliveryStatus>(
                "delivery_status",
                VALUES_MAX,
                "Events with one of these delivery statuses.",
            ),
            describe::query::<EventId>("after", after),
        ];
        all.extend(PageQuery::into_params(parameter_in));
        all
    }
}

/// Lists your events, newest first; with `after`, oldest first.
///
/// Read with `after`, the list is a feed: store the id of the last event that you have processed, and ask for those after
/// it. No event ever appears before one that was already returned.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(ListEvents), responses(
    (status = 200, description = "A page of events.", body = EventList),
    (status = 404, description = "event_not_found"),
))]
pub(crate) async fn list_events(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListEvents>,
) -> Result<Response, ApiError> {
    let ListEvents {
        filter,
        after,
        page,
    } = query;
    let list_query = list_query(caller.partner(), &filter, after.as_deref());
    // An invalid cursor is refused before anything is read.
    let last = page.after(&cursors, &list_query)?;
    let direction = match after {
        Some(_) => Direction::Forth,
        None => Direction::Back,
    };
    let beyond = match (last, &after) {
        (Some(last), _) => Some(last),
        (None, Some(id)) => Some(position_of(&database, caller.partner(), id).await?),
        (None, None) => None,
    };
    let mut connection = database.acquire().await?;
    let rows = page.rows();
    let events = store::list(
        &mut connection,
        caller.partner(),
        &filter,
        direction,
        beyond,
        rows,
    );
    page_of_events(&cursors, &uri, &list_query, &page, events.await?)
}

/// Returns a page of events.
pub(crate) fn page_of_events(
    cursors: &Cursors,
    uri: &Uri,
    list_query: &ListQuery,
    page: &PageQuery,
    events: Vec<Event>,
) -> Result<Response, ApiError> {
    let page: Page<EventView> = Page::of(events, page, cursors, list_query, |last| last.position)?;
    Ok(page.answer(uri))
}

/// Returns the list that a cursor is bound to. The feed (with `after`) is another list than the newest events.
pub(crate) fn list_query(partner: PartnerId, filter: &Filter, after: Option<&str>) -> ListQuery {
    ListQuery {
        list: "events",
        owner: Some(partner),
        sort: after.map_or("newest", |_| "feed"),
        filters: format!("{} {after:?}", filter.canonical()),
    }
}

/// Returns the position of an event in the partner's feed.
async fn position_of(database: &Database, partner: PartnerId, id: &str) -> Result<i64, ApiError> {
    if id == BEFORE_ALL {
        return Ok(0);
    }
    let unknown = || ApiError::no_event(id);
    let id = EventId::parse(id).ok_or_else(unknown)?;
    let mut connection = database.acquire().await?;
    let event = store::find(&mut connection, partner, id).await?;
    Ok(event.ok_or_else(unknown)?.position)
}

/// Returns one event.
///
/// `payload` is the event as it is sent to your endpoint; the other members are the status of its delivery.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events", params(Id::<EventId>, Conditional), responses(
    (status = 200, description = "The event.", body = EventView),
    (status = 404, description = "event_not_found"),
))]
pub(crate) async fn get_event(
    State(database): State<Database>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<EventId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let event = store::find(&mut connection, caller.partner(), id).await?;
    let event = event.ok_or_else(|| ApiError::no_event(id))?;
    conditional.answer(&EventView::from(event))
}

/// Lists the last 20 attempts to deliver an event, newest first.
///
/// Redeliveries count as attempts. An attempt that LMN abandoned before your endpoint responded is not listed; the event
/// is sent again. The bodies of your endpoint's responses are not stored.
#[utoipa::path(get, path = "/v1/events/{id}/attempts", tag = "events", params(Id::<EventId>), responses(
    (status = 200, description = "The attempts, always on one page.", body = AttemptList),
    (status = 404, description = "event_not_found"),
))]
pub(crate) async fn list_event_attempts(
    State(database): State<Database>,
    caller: Caller,
    uri: Uri,
    _: Query<()>,
    Id(id): Id<EventId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let attempts = store::list_attempts(&mut connection, caller.partner(), id).await?;
    let attempts = attempts.ok_or_else(|| ApiError::no_event(id))?;
    let page = AttemptList {
        data: attempts.into_iter().map(AttemptView::from).collect(),
        next_cursor: None,
    };
    Ok(page.answer(&uri))
}
