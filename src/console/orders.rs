//! `/orders` and `/orders/{id}`: the orders of all partners, and one with its whole story and its next steps. `/shipping`:
//! the orders that are to be shipped, those that ship, and those that are late.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    frame::{Frame, Row},
    pages::show,
};
use crate::{
    database::Database,
    errors::ApiError,
    http::{
        cursor::Cursors,
        etag::Conditional,
        extract::{FromQuery, Id, Params, Query},
    },
    operator::orders::{ListAllOrders, get_order_story, list_all_orders},
    orders::{
        model::AuctionEnd,
        state_machine::{CancellationReason, FailureReason, OrderStatus},
        store::Sort,
    },
    request::OperatorCaller,
    values::{id::OrderId, string_enum::StringEnum},
    vehicles::model::Source,
};

/// The parameters of a list as they were sent, for the form that filters it.
#[derive(Debug)]
pub(crate) struct Filters {
    pairs: Vec<(String, String)>,
}

impl Filters {
    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self {
            pairs: pairs.collect(),
        }
    }

    /// Returns the value of a parameter.
    pub(crate) fn get(&self, name: &str) -> &str {
        let mut named = self.pairs.iter().filter(|(key, _)| key == name);
        named.next().map_or("", |(_, value)| value)
    }

    /// Returns whether a parameter has a value, alone or in a comma-separated list.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        let mut named = self.pairs.iter().filter(|(key, _)| key == name);
        named.any(|(_, list)| list.split(',').any(|it| it == value))
    }

    /// Returns whether the list is filtered.
    pub(crate) fn is_set(&self) -> bool {
        let ignored = ["sort", "cursor", "limit", "done"];
        let mut names = self.pairs.iter().map(|(name, _)| name.as_str());
        names.any(|name| !ignored.contains(&name))
    }
}

/// The list of orders.
#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage<'a> {
    page: &'a Frame,
    list: Row,
    filters: Filters,
    statuses: Vec<&'static str>,
    sources: Vec<&'static str>,
    sorts: Vec<&'static str>,
}

/// Shows a page of the orders of all partners.
pub(crate) async fn show_orders(
    page: Frame,
    database: State<Database>,
    cursors: State<Cursors>,
    caller: OperatorCaller,
    uri: Uri,
    query: Query<ListAllOrders>,
) -> Result<Response, ApiError> {
    let filters = Filters::of(&uri);
    let list = list_all_orders(database, cursors, caller, uri, HeaderMap::new(), query).await?;
    show(&OrdersPage {
        page: &page,
        list: Row::read(list).await?,
        filters,
        statuses: words::<OrderStatus>(),
        sources: words::<Source>(),
        sorts: Sort::ALL.iter().map(|(name, _)| *name).collect(),
    })
}

fn words<W: StringEnum>() -> Vec<&'static str> {
    W::ALL.iter().map(|it| it.as_str()).collect()
}

/// Whether the page says that a form was done.
#[derive(Debug)]
pub(crate) struct Notice {
    pub is_done: bool,
}

impl FromQuery for Notice {
    fn from_query(params: &mut Params) -> Option<Self> {
        let is_done = params.text("done").is_some();
        Some(Self { is_done })
    }
}

/// One order.
#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage<'a> {
    page: &'a Frame,
    order: Row,
    is_done: bool,
    results: Vec<&'static str>,
    cancellation_reasons: Vec<&'static str>,
    failure_reasons: Vec<&'static str>,
}

/// Shows an order with its whole story, and the steps that the operator can make.
pub(crate) async fn show_order(
    page: Frame,
    database: State<Database>,
    caller: OperatorCaller,
    conditional: Conditional,
    Query(notice): Query<Notice>,
    id: Id<OrderId>,
) -> Result<Response, ApiError> {
    let story = get_order_story(database, caller, conditional, Query(()), id).await?;
    let mut cancellation_reasons = words::<CancellationReason>();
    cancellation_reasons.retain(|it| *it != CancellationReason::PartnerCancelled.as_str());
    let mut failure_reasons = words::<FailureReason>();
    failure_reasons.retain(|it| *it != FailureReason::AuctionPassed.as_str());
    show(&OrderPage {
        page: &page,
        order: Row::read(story).await?,
        is_done: notice.is_done,
        results: words::<AuctionEnd>(),
        cancellation_reasons,
        failure_reasons,
    })
}

/// The list of orders to ship, the one that has waited longest last.
const DUE: &str = "status=secured&sort=updated_desc&limit=200";
/// The list of orders that have been shipping for too long.
const LATE: &str = "overdue=true&sort=created_asc&limit=200";
/// The list of orders that ship, the latest change first.
const SHIPPING: &str = "status=shipping&sort=updated_desc&limit=50";

/// The page of what ships.
#[derive(Template)]
#[template(path = "shipping.html")]
struct ShippingPage<'a> {
    page: &'a Frame,
    due: Row,
    late: Row,
    shipping: Row,
    is_done: bool,
}

/// Shows the orders that are to be shipped, are late, and ship.
pub(crate) async fn show_shipping(
    page: Frame,
    database: State<Database>,
    cursors: State<Cursors>,
    caller: OperatorCaller,
    Query(notice): Query<Notice>,
) -> Result<Response, ApiError> {
    let list = async |text: &'static str| {
        let query = ListAllOrders::from_query(&mut Params::new(text));
        let query = query.ok_or_else(|| ApiError::internal("the query of the list is wrong"))?;
        let uri = Uri::from_static("/orders");
        let (database, cursors) = (State(database.0.clone()), State(cursors.0.clone()));
        let headers = HeaderMap::new();
        let list = list_all_orders(
            database,
            cursors,
            caller.clone(),
            uri,
            headers,
            Query(query),
        )
        .await?;
        Row::read(list).await
    };
    show(&ShippingPage {
        page: &page,
        due: list(DUE).await?,
        late: list(LATE).await?,
        shipping: list(SHIPPING).await?,
        is_done: notice.is_done,
    })
}
