//! `GET /operator/v1/orders` and `GET /operator/v1/orders/{id}`: the orders of all partners, and one with its whole story.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde_json::value::RawValue;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    csv::{self, Column},
    partners::find_partner,
    view::{OperatorOrder, OrderStory},
};
use crate::{
    audit,
    database::{Connection, Database},
    errors::{ApiError, Fault, IssueKind},
    events,
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
        page::{Page, PageQuery, read_sort},
        text::Name,
    },
    orders::{
        jobs::OVERDUE,
        state_machine::OrderStatus,
        store::{self, AllFilter, Position, Sort},
    },
    request::OperatorCaller,
    values::{id::OrderId, string_enum::StringEnum, timestamp::Timestamp},
    vehicles::model::Source,
};

/// The most steps, events and changes of one order that its story shows.
const ENTRIES_MAX: i64 = 1_000;

/// The columns of the list as CSV.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("partner", "/partner/name"),
    ("external_user_id", "/external_user_id"),
    ("vehicle_id", "/vehicle_id"),
    ("vin", "/vin"),
    ("license_plate", "/license_plate"),
    ("status", "/status"),
    ("fulfillment_detail", "/fulfillment_detail"),
    ("max_bid_amount_usd", "/max_bid_amount_usd"),
    ("is_highest_bid", "/is_highest_bid"),
    ("current_max_bid_usd", "/current_max_bid_usd"),
    ("purchase_price_usd", "/amounts/purchase_price_usd"),
    ("auction_fee_usd", "/amounts/auction_fee_usd"),
    ("auction_date", "/auction_date"),
    ("order_cutoff_at", "/order_cutoff_at"),
    ("failure_reason", "/failure_reason"),
    ("cancellation_reason", "/cancellation_reason"),
    ("vessel_name", "/shipment/vessel_name"),
    ("bl_number", "/shipment/bl_number"),
    ("port_of_loading", "/shipment/port_of_loading"),
    ("port_of_discharge", "/shipment/port_of_discharge"),
    ("etd", "/shipment/etd"),
    ("eta", "/shipment/eta"),
    ("created_at", "/created_at"),
    ("updated_at", "/updated_at"),
];

/// The query parameters of `GET /operator/v1/orders`.
#[derive(Debug)]
pub(crate) struct ListAllOrders {
    /// The id or name of a partner.
    partner: Option<String>,
    filter: AllFilter,
    sort: (&'static str, Sort),
    page: PageQuery,
}

impl FromQuery for ListAllOrders {
    fn from_query(params: &mut Params) -> Option<Self> {
        let partner = params.get("partner").map(|Name(text)| text);
        let filter = AllFilter {
            partner: None,
            status: params.csv("status", OrderStatus::ALL.len()),
            source: params.csv("source", Source::ALL.len()),
            vehicle_id: params.get("vehicle_id").map(|Name(text)| text),
            auction_date_from: params.get("auction_date_from"),
            auction_date_to: params.get("auction_date_to"),
            from: params.get("from"),
            to: params.get("to"),
            overdue: read_flag(params, "overdue").then_some(OVERDUE),
            text: params.get("q").map(|Name(text)| text),
        };
        let instant = |time: Option<Timestamp>| time.map(Timestamp::instant);
        check_range(
            params,
            ["from", "to"],
            instant(filter.from),
            instant(filter.to),
        );
        let (first, last) = (filter.auction_date_from, filter.auction_date_to);
        check_range(
            params,
            ["auction_date_from", "auction_date_to"],
            first,
            last,
        );
        let sort = read_sort(params, Sort::ALL);
        let page = PageQuery::read(params);
        Some(Self {
            partner,
            filter,
            sort: sort?,
            page,
        })
    }
}

/// Parses a parameter that is `true` or `false`; it is `false` if it is absent.
fn read_flag(params: &mut Params, name: &str) -> bool {
    match params.text(name).as_deref() {
        Some("true") => true,
        None | Some("false") => false,
        Some(other) => {
            let message = format!("`{name}` must be `true` or `false`");
            let fault = Fault::new(IssueKind::InvalidValue, message);
            params.complain(name, other, fault.expected("true false"));
            false
        }
    }
}

/// Records an issue if a range ends before it begins.
fn check_range<T: PartialOrd>(
    params: &mut Params,
    [first_name, last_name]: [&str; 2],
    first: Option<T>,
    last: Option<T>,
) {
    if first.zip(last).is_some_and(|(first, last)| first > last) {
        let message = format!("`{first_name}` is later than `{last_name}`");
        let fault = Fault::new(IssueKind::OutOfRange, message);
        params.issues().push(fault.at(first_name, None));
    }
}

impl IntoParams for ListAllOrders {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        use describe::{csv, day, query, query_text, text, time};
        let flag = text()
            .enum_values(Some(["false", "true"]))
            .default(Some("false".into()));
        let overdue = "Only orders that have been shipping for 90 days or more.";
        let search =
            "Orders with this id, VIN, license plate, vehicle or external user, each whole.";
        let sorts = "The sort order. `auction_date_asc` puts orders on buy-now vehicles last.";
        let (statuses, sources) = (OrderStatus::ALL.len(), Source::ALL.len());
        let mut parameters = vec![
            query::<Name>("partner", "Orders of the partner with this id or name."),
            csv::<OrderStatus>("status", statuses, "Orders with one of these statuses."),
            csv::<Source>("source", sources, "Orders for vehicles of these sources."),
            query::<Name>("vehicle_id", "Orders for this vehicle."),
            day(
                "auction_date_from",
                "The first day of the auction, in Korea.",
            ),
            day("auction_date_to", "The last day of the auction, in Korea."),
            time("from", "Accepted at or after this time."),
            time("to", "Accepted before this time."),
            query_text("overdue", overdue, flag),
            query::<Name>("q", search),
            describe::sort(Sort::ALL, sorts),
        ];
        parameters.extend(PageQuery::into_params(parameter_in));
        parameters
    }
}

/// One page of orders.
type OperatorOrderList = Page<OperatorOrder>;

/// Lists the orders of all partners.
///
/// Filters are combined with AND, the values of one filter with OR. `Accept: text/csv` returns CSV.
#[utoipa::path(get, path = "/operator/v1/orders", tag = "orders", params(ListAllOrders), responses(
    (status = 200, description = "A page of orders.", headers(("Vary")), content(
        (OperatorOrderList = "application/json"), (String = "text/csv"),
    )),
))]
pub(crate) async fn list_all_orders(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<ListAllOrders>,
) -> Result<Response, ApiError> {
    let ListAllOrders {
        partner,
        mut filter,
        sort: (sort_name, sort),
        page,
    } = query;
    let mut connection = database.acquire().await?;
    if let Some(partner) = &partner {
        filter.partner = Some(find_partner(&mut connection, partner).await?.id);
    }
    let list_query = ListQuery {
        list: "operator_orders",
        owner: None,
        sort: sort_name,
        filters: filter.canonical(),
    };
    let after: Option<Position> = page.after(&cursors, &list_query)?;
    let rows = store::list_all(&mut connection, &filter, sort, after.as_ref(), page.rows()).await?;
    let (orders, next_cursor) = page.cut(rows, &cursors, &list_query)?;
    let data: Result<Vec<_>, _> = orders.into_iter().map(OperatorOrder::new).collect();
    let page = OperatorOrderList {
        data: data.map_err(ApiError::internal)?,
        next_cursor,
    };
    csv::answer(page, COLUMNS, &headers, &uri)
}

/// Returns one order with its partner, history, events, audit, and the vehicle as it was ordered.
#[utoipa::path(get, path = "/operator/v1/orders/{id}", tag = "orders", params(Id::<OrderId>, Conditional), responses(
    (status = 200, description = "The order.", body = OrderStory),
    (status = 404, description = "order_not_found"),
))]
pub(crate) async fn get_order_story(
    State(database): State<Database>,
    _: OperatorCaller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<OrderId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let story = read_story(&mut connection, id).await?;
    conditional.answer(&story.ok_or_else(|| ApiError::no_order(id))?)
}

/// Reads the story of an order of any partner.
async fn read_story(conn: &mut Connection, id: OrderId) -> Result<Option<OrderStory>, ApiError> {
    let Some(order) = store::find_of_any_partner(conn, id).await? else {
        return Ok(None);
    };
    let partner = order.partner;
    let history = store::list_history(conn, partner, id, 0, ENTRIES_MAX).await?;
    let of_order = events::store::Filter {
        order: Some(id),
        ..events::store::Filter::default()
    };
    let forth = events::store::Direction::Forth;
    let events = events::store::list(conn, partner, &of_order, forth, None, ENTRIES_MAX).await?;
    let audit = audit::store::list_of_order(conn, id, ENTRIES_MAX).await?;
    let vehicle = store::find_snapshot(conn, partner, id).await?.flatten();
    let vehicle = vehicle.map(RawValue::from_string).transpose();
    Ok(Some(OrderStory {
        order: OperatorOrder::new(order).map_err(ApiError::internal)?,
        history: history
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect(),
        events: events.into_iter().map(Into::into).collect(),
        audit: audit.into_iter().map(Into::into).collect(),
        vehicle: vehicle.map_err(ApiError::internal)?,
    }))
}
