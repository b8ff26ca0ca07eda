//! `/partners` and `/partners/{id}`: the partners, and one with its keys, limits, allowlist and webhook endpoint.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};

use super::{frame::Frame, orders::Notice, pages::show, row::Row};
use crate::{
    database::Database,
    errors::ApiError,
    http::{
        cursor::Cursors,
        etag::Conditional,
        extract::{Id, Query},
        page::PageQuery,
    },
    operator::partners::{get_partner, list_partners},
    request::OperatorCaller,
    values::id::PartnerId,
};

/// The list of partners.
#[derive(Template)]
#[template(path = "partners.html")]
struct PartnersPage<'a> {
    page: &'a Frame,
    list: Row,
}

/// Shows a page of the partners.
pub(crate) async fn show_partners(
    page: Frame,
    database: State<Database>,
    cursors: State<Cursors>,
    caller: OperatorCaller,
    uri: Uri,
    query: Query<PageQuery>,
) -> Result<Response, ApiError> {
    let list = list_partners(database, cursors, caller, uri, query).await?;
    show(&PartnersPage {
        page: &page,
        list: Row::read(list).await?,
    })
}

/// One partner.
#[derive(Template)]
#[template(path = "partner.html")]
struct PartnerPage<'a> {
    page: &'a Frame,
    partner: Row,
    is_done: bool,
}

/// Shows a partner with its access and its endpoint.
pub(crate) async fn show_partner(
    page: Frame,
    database: State<Database>,
    caller: OperatorCaller,
    conditional: Conditional,
    Query(notice): Query<Notice>,
    id: Id<PartnerId>,
) -> Result<Response, ApiError> {
    let partner = get_partner(database, caller, conditional, Query(()), id).await?;
    show(&PartnerPage {
        page: &page,
        partner: Row::read(partner).await?,
        is_done: notice.is_done,
    })
}
