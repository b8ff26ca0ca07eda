//! `GET /operator/v1/operators`: the operators themselves.

use axum::{extract::State, http::Uri, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::{Database, clock},
    errors::ApiError,
    http::{
        cursor::{Cursors, ListQuery},
        extract::Query,
        page::{Page, PageQuery},
    },
    operators::{
        model::{Operator, Role},
        store,
    },
    request::OperatorCaller,
    values::{id::OperatorId, timestamp::Timestamp},
};

/// An operator, without the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Operator)]
pub(crate) struct OperatorView {
    pub id: OperatorId,
    /// The name, which the audit log shows as `operator:<name>`.
    pub name: String,
    pub role: Role,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// An operator, and the time at which its state is shown.
type OperatorAt = (Operator, DateTime<Utc>);

impl From<OperatorAt> for OperatorView {
    fn from((operator, now): OperatorAt) -> Self {
        Self {
            state: operator.state(now),
            id: operator.id,
            name: operator.name,
            role: operator.role,
            created_at: Timestamp::kst(operator.created_at),
            expires_at: operator.expires_at.map(Timestamp::kst),
            revoked_at: operator.revoked_at.map(Timestamp::kst),
        }
    }
}

/// One page of operators.
type OperatorList = Page<OperatorView>;

/// Lists the operators, also the revoked ones, the oldest first.
#[utoipa::path(get, path = "/operator/v1/operators", tag = "operators", params(PageQuery), responses(
    (status = 200, description = "A page of operators.", body = OperatorList),
))]
pub(crate) async fn list_operators(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    Query(page): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let list_query = ListQuery::of_all("operators");
    let after: Option<OperatorId> = page.after(&cursors, &list_query)?;
    let mut connection = database.acquire().await?;
    let now = clock::real_now(&mut connection).await?;
    let operators = store::list(&mut connection, after, page.rows()).await?;
    let operators: Vec<OperatorAt> = operators.into_iter().map(|it| (it, now)).collect();
    let page: OperatorList = Page::of(operators, &page, &cursors, &list_query, |last| last.0.id)?;
    Ok(page.answer(&uri))
}
