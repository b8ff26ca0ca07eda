//! `GET /operator/v1/audit`: who changed what, when, and under which request.

use axum::{extract::State, http::Uri, response::Response};
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::partners::find_partner;
use crate::{
    audit::{
        store::{self, Position},
        view::AuditView,
    },
    database::Database,
    errors::ApiError,
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        extract::{FromQuery, Params, Query},
        page::{Page, PageQuery},
        text::Name,
    },
    request::OperatorCaller,
    values::timestamp::Timestamp,
};

/// The query parameters of `GET /operator/v1/audit`.
#[derive(Debug)]
pub(crate) struct ListAudit {
    /// The id or name of a partner.
    partner: Option<String>,
    since: Option<Timestamp>,
    page: PageQuery,
}

impl FromQuery for ListAudit {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            partner: params.get("partner").map(|Name(text)| text),
            since: params.get("since"),
            page: PageQuery::read(params),
        })
    }
}

impl IntoParams for ListAudit {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let partner = "Changes that concern the partner with this id or name.";
        let mut parameters = vec![
            describe::query::<Name>("partner", partner),
            describe::time("since", "Changes at or after this time."),
        ];
        parameters.extend(PageQuery::into_params(parameter_in));
        parameters
    }
}

/// One page of changes.
type AuditList = Page<AuditView>;

/// Lists the changes of all partners and operators, the newest first.
#[utoipa::path(get, path = "/operator/v1/audit", tag = "audit", params(ListAudit), responses(
    (status = 200, description = "A page of changes.", body = AuditList),
))]
pub(crate) async fn list_audit(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    Query(query): Query<ListAudit>,
) -> Result<Response, ApiError> {
    let ListAudit {
        partner,
        since,
        page,
    } = query;
    let mut connection = database.acquire().await?;
    let partner = match &partner {
        Some(partner) => Some(find_partner(&mut connection, partner).await?.id),
        None => None,
    };
    let since = since.map(Timestamp::instant);
    let list_query = ListQuery {
        list: "operator_audit",
        owner: None,
        sort: "recorded_desc",
        filters: format!(
            "partner={:?};since={:?}",
            partner.map(|it| it.to_string()),
            since.map(|it| it.timestamp_millis())
        ),
    };
    let after: Option<Position> = page.after(&cursors, &list_query)?;
    let found = store::list_after(&mut connection, partner, since, after.as_ref(), page.rows());
    let entries = found.await?;
    let page: AuditList = Page::of(entries, &page, &cursors, &list_query, Position::of)?;
    Ok(page.answer(&uri))
}
