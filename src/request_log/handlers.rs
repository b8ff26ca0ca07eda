//! Handlers of the request log: `GET /v1/requests` and `GET /v1/requests/{id}`.

use axum::{extract::State, http::Uri, response::Response};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    model::RequestView,
    store::{self, Filter, Position},
};
use crate::{
    database::Database,
    errors::{ApiError, catalogue::Code},
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        etag::Conditional,
        extract::{FromQuery, Id, Params, PathId, Query},
        page::{Page, PageQuery},
    },
    request::Caller,
    values::{id::RequestId, timestamp::Timestamp},
};

/// Maximum values of a filter.
const VALUES_MAX: usize = 100;

/// One page of requests.
type LoggedRequestList = Page<RequestView>;

/// The query parameters of `GET /v1/requests`.
#[derive(Debug)]
pub(crate) struct ListRequests {
    codes: Vec<Code>,
    since: Option<Timestamp>,
    page: PageQuery,
}

impl FromQuery for ListRequests {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            codes: params.csv("code", VALUES_MAX),
            since: params.get("since"),
            page: PageQuery::read(params),
        })
    }
}

impl IntoParams for ListRequests {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let codes = "Requests that ended with one of these error codes.";
        let mut all = vec![
            describe::csv::<Code>("code", VALUES_MAX, codes),
            describe::time("since", "Answered at or after this time."),
        ];
        all.extend(PageQuery::into_params(parameter_in));
        all
    }
}

/// Lists your requests that were refused, that failed or that wrote, newest first.
///
/// A request is listed within about a second after its response, and for 30 days. Reads that succeeded are not listed.
/// Of a flood of refused requests not all are listed, and neither are requests that were refused before their key was
/// accepted.
#[utoipa::path(get, path = "/v1/requests", tag = "requests", params(ListRequests), responses(
    (status = 200, description = "A page of requests.", body = LoggedRequestList),
))]
pub(crate) async fn list_requests(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListRequests>,
) -> Result<Response, ApiError> {
    let ListRequests { codes, since, page } = query;
    let filter = Filter {
        partner: Some(caller.partner()),
        codes,
        since: since.map(Timestamp::instant),
    };
    let list_query = ListQuery {
        list: "requests",
        owner: filter.partner,
        sort: "newest",
        filters: filter.canonical(),
    };
    let after: Option<Position> = page.after(&cursors, &list_query)?;
    let mut connection = database.acquire().await?;
    let entries = store::list(&mut connection, &filter, after.as_ref(), page.rows()).await?;
    let page: Page<RequestView> = Page::of(entries, &page, &cursors, &list_query, store::position)?;
    Ok(page.answer(&uri))
}

/// Returns one of your requests that were refused, that failed or that wrote.
///
/// It is found within about a second after its response, and for 30 days.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(Id::<RequestId>, Conditional), responses(
    (status = 200, description = "The request.", body = RequestView),
    (status = 404, description = "not_found"),
))]
pub(crate) async fn get_request(
    State(database): State<Database>,
    caller: Caller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<RequestId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let entry = store::find(&mut connection, Some(caller.partner()), id).await?;
    let entry = entry.ok_or_else(|| RequestId::not_found(&id.to_string()))?;
    conditional.answer(&RequestView::from(entry))
}
