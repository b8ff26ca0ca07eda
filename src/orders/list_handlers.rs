//! Handlers that read orders: one order, its vehicle, its history and its events, and the list of orders.

use axum::{
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use utoipa::{
    IntoParams, PartialSchema,
    openapi::{
        RefOr, Schema,
        path::{Parameter, ParameterIn},
    },
};
use uuid::Uuid;

use super::{
    state_machine::OrderStatus,
    store::{self, Filter, Position, ReadOrders, Sort},
    view::{HistoryView, OrderView, RenderedOrder},
};
use crate::{
    database::{Batcher, Database},
    errors::{ApiError, Asked, Fault, IssueKind},
    events::{self, model::EventView, store::Direction},
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
        page::{IDS_MAX, Page, PageQuery, RenderedPage, read_sort},
        text::{FromText, Name},
    },
    idempotency,
    request::Caller,
    values::{id::OrderId, string_enum::StringEnum},
    vehicles::view::VehicleView,
};

/// Returns one order.
///
/// `allowed_actions` lists what you can do with it now. Its `ETag` also changes with other partners' bids.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", params(Id::<OrderId>, Conditional), responses(
    (status = 200, description = "The order.", body = OrderView),
    (status = 404, description = "order_not_found"),
))]
pub(crate) async fn get_order(
    State(orders): State<Batcher<ReadOrders>>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let order = orders.read((caller.partner(), id)).await?;
    let order = order.ok_or_else(|| ApiError::no_order(id))?;
    conditional.answer_bytes(order.into_bytes())
}

/// Returns the vehicle as it was when the order was placed.
///
/// It never changes, even if the vehicle is changed or withdrawn later.
#[utoipa::path(get, path = "/v1/orders/{id}/vehicle", tag = "orders", params(Id::<OrderId>, Conditional), responses(
    (status = 200, description = "The vehicle.", body = VehicleView),
    (status = 404, description = "order_not_found order_vehicle_snapshot_not_found"),
))]
pub(crate) async fn get_order_vehicle(
    State(database): State<Database>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let found = store::find_snapshot(&mut connection, caller.partner(), id).await?;
    let snapshot = found
        .ok_or_else(|| ApiError::no_order(id))?
        .ok_or_else(|| ApiError::OrderVehicleSnapshotNotFound(Asked::new(id)))?;
    conditional.answer_bytes(snapshot.into())
}

/// The query parameters of `GET /v1/orders`.
#[derive(Debug)]
pub(crate) struct ListOrders {
    filter: Filter,
    sort: (&'static str, Sort),
    page: PageQuery,
}

impl FromQuery for ListOrders {
    fn from_query(params: &mut Params) -> Option<Self> {
        let ids = params.has("ids").then(|| {
            let ids: Vec<Name> = params.csv("ids", IDS_MAX);
            ids.iter()
                .filter_map(|Name(text)| OrderId::parse(text))
                .collect()
        });
        let filter = Filter {
            ids,
            status: params.csv("status", OrderStatus::ALL.len()),
            vehicle_id: params.get("vehicle_id").map(|Name(text)| text),
            from: params.get("from"),
            to: params.get("to"),
            idempotency_key: params.get("idempotency_key").map(|IdempotencyKey(key)| key),
        };
        if params.has("from") && !params.has("to") {
            let fault = Fault::new(IssueKind::Requires, "`from` requires `to`");
            params.issues().push(fault.expected("to").at("from", None));
        }
        if filter
            .from
            .zip(filter.to)
            .is_some_and(|(from, to)| from.instant() > to.instant())
        {
            let fault = Fault::new(IssueKind::OutOfRange, "`from` is later than `to`");
            params.issues().push(fault.at("from", None));
        }
        let sort = read_sort(params, Sort::ALL);
        let page = PageQuery::read(params);
        Some(Self {
            filter,
            sort: sort?,
            page,
        })
    }
}

impl IntoParams for ListOrders {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        use describe::{csv, query, time};
        let statuses = OrderStatus::ALL.len();
        let mut parameters = vec![
            csv::<Name>(
                "ids",
                IDS_MAX,
                "Only these orders. Ids that do not exist are left out.",
            ),
            time("from", "Accepted at or after this time. Requires `to`."),
            time("to", "Accepted before this time."),
            csv::<OrderStatus>("status", statuses, "Orders with one of these statuses."),
            query::<Name>("vehicle_id", "Orders for this vehicle."),
            query::<IdempotencyKey>(
                "idempotency_key",
                "The order that the request with this key placed or changed: a list of zero or one.",
            ),
            describe::sort(
                Sort::ALL,
                "The sort order. `auction_date_asc` puts orders on buy-now vehicles last.",
            ),
        ];
        parameters.extend(PageQuery::into_params(parameter_in));
        parameters
    }
}

/// An idempotency key as a query parameter.
struct IdempotencyKey(Uuid);

impl FromText for IdempotencyKey {
    fn from_text(text: &str) -> Result<Self, Fault> {
        let message = "the value must be a UUID v4 in its 36-character form";
        let fault = || Fault::new(IssueKind::InvalidFormat, message).expected("UUID v4");
        idempotency::model::read_key(text)
            .map(Self)
            .ok_or_else(fault)
    }
}

impl PartialSchema for IdempotencyKey {
    fn schema() -> RefOr<Schema> {
        describe::uuid_v4().into()
    }
}

/// One page of orders.
type OrderList = Page<OrderView>;

/// Lists your orders.
///
/// Filters are combined with AND, the values of one filter with OR.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", params(ListOrders), responses(
    (status = 200, description = "A page of orders.", body = OrderList),
))]
pub(crate) async fn list_orders(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListOrders>,
) -> Result<Response, ApiError> {
    let ListOrders {
        filter,
        sort: (sort_name, sort),
        page,
    } = query;
    let partner = caller.partner();
    let list_query = ListQuery {
        list: "orders",
        owner: Some(partner),
        sort: sort_name,
        filters: filter.canonical(),
    };
    let after: Option<Position> = page.after(&cursors, &list_query)?;

    let mut connection = database.acquire().await?;
    let rows = store::list(
        &mut connection,
        partner,
        &filter,
        sort,
        after.as_ref(),
        page.rows(),
    )
    .await?;
    let (texts, next) = page.cut(rows, &cursors, &list_query)?;
    Ok(page_of_orders(&texts, next.as_deref(), &uri))
}

/// Returns a page of rendered orders.
fn page_of_orders(orders: &[RenderedOrder], next_cursor: Option<&str>, uri: &Uri) -> Response {
    const ORDER_BYTES: usize = 700;
    let mut rows = Vec::with_capacity(orders.len() * ORDER_BYTES);
    for (n, order) in orders.iter().enumerate() {
        if n > 0 {
            rows.push(b',');
        }
        order.rendered.write(order.standing, &mut rows);
    }
    RenderedPage::joined(&rows, next_cursor, uri).into_response()
}

/// One page of steps.
type OrderStepList = Page<HistoryView>;

/// Lists the steps of an order, oldest first.
///
/// The first step is the order's placement; `by` says whether you, LMN or a scheduled job took a step.
#[utoipa::path(get, path = "/v1/orders/{id}/history", tag = "orders", params(Id::<OrderId>, PageQuery), responses(
    (status = 200, description = "A page of steps.", body = OrderStepList),
    (status = 404, description = "order_not_found"),
))]
pub(crate) async fn list_order_history(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(page): Query<PageQuery>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let partner = caller.partner();
    let list_query = ListQuery {
        list: "order_history",
        owner: Some(partner),
        sort: "n",
        filters: id.to_string(),
    };
    let after: Option<i32> = page.after(&cursors, &list_query)?;
    let mut connection = database.acquire().await?;
    let steps = store::list_history(
        &mut connection,
        partner,
        id,
        after.unwrap_or(0),
        page.rows(),
    )
    .await?;
    let steps = steps.ok_or_else(|| ApiError::no_order(id))?;
    let page: Page<HistoryView> = Page::of(steps, &page, &cursors, &list_query, |last| last.n)?;
    Ok(page.answer(&uri))
}

/// One page of events.
type EventList = Page<EventView>;

/// Lists the events of one order, newest first.
///
/// Changes that you make yourself, such as a cancellation, have no events.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "events", params(Id::<OrderId>, PageQuery), responses(
    (status = 200, description = "A page of events.", body = EventList),
    (status = 404, description = "order_not_found"),
))]
pub(crate) async fn list_order_events(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(page): Query<PageQuery>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let filter = events::store::Filter {
        order: Some(id),
        ..events::store::Filter::default()
    };
    let partner = caller.partner();
    let list_query = events::handlers::list_query(partner, &filter, None);
    let last = page.after(&cursors, &list_query)?;
    let mut connection = database.acquire().await?;
    let order = store::find(&mut connection, partner, id).await?;
    order.ok_or_else(|| ApiError::no_order(id))?;
    let (back, rows) = (Direction::Back, page.rows());
    let found = events::store::list(&mut connection, partner, &filter, back, last, rows);
    events::handlers::page_of_events(&cursors, &uri, &list_query, &page, found.await?)
}
