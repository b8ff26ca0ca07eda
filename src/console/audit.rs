//! `/audit`: who changed what, when, and under which request.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};

use super::{frame::Frame, orders::Filters, pages::show, row::Row};
use crate::{
    database::Database,
    errors::ApiError,
    http::{cursor::Cursors, extract::Query},
    operator::audit::{ListAudit, list_audit},
    request::OperatorCaller,
};

/// The list of changes.
#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage<'a> {
    page: &'a Frame,
    list: Row,
    filters: Filters,
}

/// Shows a page of the changes.
pub(crate) async fn show_audit(
    page: Frame,
    database: State<Database>,
    cursors: State<Cursors>,
    caller: OperatorCaller,
    uri: Uri,
    query: Query<ListAudit>,
) -> Result<Response, ApiError> {
    let filters = Filters::of(&uri);
    let list = list_audit(database, cursors, caller, uri, query).await?;
    show(&AuditPage {
        page: &page,
        list: Row::read(list).await?,
        filters,
    })
}
