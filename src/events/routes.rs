//! `GET /v1/events`, `GET /v1/events/{id}`, `GET /v1/orders/{id}/events`.

use axum::{Router, extract::State, http::Uri, response::Response, routing::get};

use super::{
    filter::Filter,
    store::{self, Direction},
    view::EventView,
};
use crate::{
    app::App,
    error::ApiError,
    gate::caller::Caller,
    http::{
        etag::Conditional,
        extract::{FromQuery, Params, Path, Query},
        page::{Page, PageQuery, Walk},
    },
    id::{EventId, OrderId, PartnerId},
    orders,
};

/// Words in one filter.
const VALUES_MAX: usize = 100;
/// The name before all events: `after` it, a feed begins at its first one.
const BEFORE_ALL: &str = "evt_00000000000000000000000000";

/// Routes of this feature.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/events", get(list_events))
        .route("/v1/events/{id}", get(get_event))
        .route("/v1/orders/{id}/events", get(list_order_events))
}

/// What `GET /v1/events` takes.
#[derive(Debug)]
struct ListEvents {
    filter: Filter,
    /// Read the feed forth from here.
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

/// Lists the partner's events, newest first; `after` one of them, oldest first.
async fn list_events(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListEvents>,
) -> Result<Response, ApiError> {
    let start = match &query.after {
        Some(id) => Some(position_of(&app, caller.partner(), id).await?),
        None => None,
    };
    list(
        &app,
        caller.partner(),
        &uri,
        &query.filter,
        start,
        &query.page,
    )
    .await
}

/// Lists the events of one order, newest first.
async fn list_order_events(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    Query(page): Query<PageQuery>,
    Path(id): Path<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let order = orders::store::find(&mut connection, caller.partner(), id).await?;
    order.ok_or(ApiError::OrderNotFound)?;
    drop(connection);
    let filter = Filter {
        order: Some(id),
        ..Filter::default()
    };
    list(&app, caller.partner(), &uri, &filter, None, &page).await
}

/// Reads a page: forth from `start`, if there is one, else back from the newest event.
async fn list(
    app: &App,
    partner: PartnerId,
    uri: &Uri,
    filter: &Filter,
    start: Option<i64>,
    page: &PageQuery,
) -> Result<Response, ApiError> {
    let (direction, sort) = match start {
        Some(_) => (Direction::Forth, "feed"),
        None => (Direction::Back, "newest"),
    };
    let walk = Walk {
        list: "events",
        owner: Some(partner),
        sort,
        filters: format!("{} {start:?}", filter.canonical()),
    };
    let last: Option<i64> = page.after(app.cursors(), &walk)?;
    let mut connection = app.db().acquire().await?;
    let beyond = last.or(start);
    let events = store::list(
        &mut connection,
        partner,
        filter,
        direction,
        beyond,
        page.rows(),
    )
    .await?;
    let page: Page<EventView> = Page::of(events, page, app.cursors(), &walk, |last| last.position)?;
    Ok(page.answer(uri))
}

/// Returns the place of an event in the partner's feed.
async fn position_of(app: &App, partner: PartnerId, id: &str) -> Result<i64, ApiError> {
    if id == BEFORE_ALL {
        return Ok(0);
    }
    let id = EventId::parse(id).ok_or(ApiError::EventNotFound)?;
    let mut connection = app.db().acquire().await?;
    let event = store::find(&mut connection, partner, id).await?;
    Ok(event.ok_or(ApiError::EventNotFound)?.position)
}

/// Shows one event.
async fn get_event(
    State(app): State<App>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Path(id): Path<EventId>,
) -> Result<Response, ApiError> {
    let mut connection = app.db().acquire().await?;
    let event = store::find(&mut connection, caller.partner(), id).await?;
    conditional.answer(&EventView::from(event.ok_or(ApiError::EventNotFound)?))
}
