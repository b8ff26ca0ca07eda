//! Handlers of the two lists: a partner's orders, and the steps of one order.

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
    filter::{Filter, Sort},
    rendered::RenderedOrder,
    state::OrderStatus,
    store,
    view::{HistoryView, OrderView},
};
use crate::{
    app::App,
    errors::{ApiError, Fault, IssueKind},
    http::{
        cursor::ListQuery,
        describe,
        extract::{FromQuery, FromText, Name, Params, Query},
        page::{IDS_MAX, Page, PageQuery, RenderedPage, read_sort},
        path::Id,
    },
    idempotency,
    request::Caller,
    values::{id::OrderId, string_enum::StringEnum},
};

/// The query parameters of `GET /v1/orders`.
#[derive(Debug)]
pub(super) struct ListOrders {
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
pub(super) async fn list_orders(
    State(app): State<App>,
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
    let after: Option<store::Place> = page.after(app.cursors(), &list_query)?;

    let mut connection = app.acquire().await?;
    let rows = store::list(
        &mut connection,
        partner,
        &filter,
        sort,
        after.as_ref(),
        page.rows(),
    )
    .await?;
    let (texts, next) = page.cut(rows, app.cursors(), &list_query)?;
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
#[utoipa::path(get, path = "/v1/orders/{id}/history", tag = "orders", params(Id::<OrderId>, PageQuery), responses(
    (status = 200, description = "A page of steps.", body = OrderStepList),
    (status = 404, description = "order_not_found"),
))]
pub(super) async fn list_order_history(
    State(app): State<App>,
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
    let after: Option<i32> = page.after(app.cursors(), &list_query)?;
    let mut connection = app.acquire().await?;
    let steps = store::list_history(
        &mut connection,
        partner,
        id,
        after.unwrap_or(0),
        page.rows(),
    )
    .await?;
    let steps = steps.ok_or_else(|| ApiError::no_order(id))?;
    let page: Page<HistoryView> =
        Page::of(steps, &page, app.cursors(), &list_query, |last| last.n)?;
    Ok(page.answer(&uri))
}
