//! `/shipping`: the orders that are to be shipped, those that ship, and those that are late.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{frame::Frame, orders::Notice, pages::show, row::Row};
use crate::{
    database::Database,
    errors::ApiError,
    http::{
        cursor::Cursors,
        extract::{FromQuery, Params, Query},
    },
    operator::orders::{ListAllOrders, list_all_orders},
    request::OperatorCaller,
};

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
