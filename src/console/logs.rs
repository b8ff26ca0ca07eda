//! `/audit`: who changed what, when, and under which request. `/requests`: the request log, by id, partner and code.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use serde_json::{Value, json};

use super::{
    frame::{Frame, Row},
    orders::Filters,
    pages::show,
};
use crate::{
    database::Database,
    errors::{ApiError, Fault, IssueKind, catalogue::Code},
    http::{
        cursor::{Cursors, ListQuery},
        extract::{FromQuery, Params, Query},
        page::PageQuery,
        text::Name,
    },
    operator::{
        audit::{ListAudit, list_audit},
        partners::find_partner,
    },
    request::OperatorCaller,
    request_log::{
        model::{LogEntry, RequestView},
        store::{self, Filter, Position},
    },
    values::{id::RequestId, timestamp::Timestamp},
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

/// Maximum number of codes of a filter.
const CODES_MAX: usize = 100;

/// The requests to find.
#[derive(Debug)]
pub(crate) struct FindRequests {
    id: Option<RequestId>,
    partner: Option<String>,
    codes: Vec<Code>,
    since: Option<Timestamp>,
    page: PageQuery,
}

impl FromQuery for FindRequests {
    fn from_query(params: &mut Params) -> Option<Self> {
        let text = params.text("id");
        let id = text.as_deref().map(str::trim).map(RequestId::parse);
        if let (Some(None), Some(text)) = (id, text) {
            let fault = Fault::new(IssueKind::InvalidFormat, "`id` is not the id of a request");
            params.complain("id", &text, fault.expected("req_ and 24 digits"));
        }
        Some(Self {
            id: id.flatten(),
            partner: params.get("partner").map(|Name(text)| text),
            codes: params.csv("code", CODES_MAX),
            since: params.get("since"),
            page: PageQuery::read(params),
        })
    }
}

/// The list of requests.
#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage<'a> {
    page: &'a Frame,
    list: Row,
    filters: Filters,
}

/// Shows the logged requests, the newest first; with an id, that one.
pub(crate) async fn show_requests(
    page: Frame,
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    Query(query): Query<FindRequests>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let (entries, next_cursor): (Vec<LogEntry>, Option<String>) = match query.id {
        Some(id) => {
            let found = store::find(&mut connection, None, id).await?;
            (found.into_iter().collect(), None)
        }
        None => {
            let partner = match &query.partner {
                Some(partner) => Some(find_partner(&mut connection, partner).await?.id),
                None => None,
            };
            let filter = Filter {
                partner,
                codes: query.codes,
                since: query.since.map(Timestamp::instant),
            };
            let list_query = ListQuery {
                list: "console_requests",
                owner: filter.partner,
                sort: "newest",
                filters: filter.canonical(),
            };
            let after: Option<Position> = query.page.after(&cursors, &list_query)?;
            let rows = query.page.rows();
            let entries = store::list(&mut connection, &filter, after.as_ref(), rows).await?;
            let rows: Vec<(LogEntry, Position)> = entries
                .into_iter()
                .map(|it| {
                    let position = store::position(&it);
                    (it, position)
                })
                .collect();
            query.page.cut(rows, &cursors, &list_query)?
        }
    };
    let data: Vec<Value> = entries.into_iter().map(view).collect::<Result<_, _>>()?;
    show(&RequestsPage {
        page: &page,
        list: Row::new(&json!({"data": data, "next_cursor": next_cursor}))?,
        filters: Filters::of(&uri),
    })
}

/// Returns a request as its partner reads it, with the partner.
fn view(entry: LogEntry) -> Result<Value, ApiError> {
    let partner = entry.partner_name.clone();
    let request = serde_json::to_value(RequestView::from(entry));
    Ok(json!({"partner": partner, "request": request.map_err(ApiError::internal)?}))
}
