//! `GET /operator/v1/audit`, `/changes` and `/operators`: who changed what, when, and under which request; all that happens
//! to orders as a feed for LMN's own systems; and the operators.

use axum::{extract::State, http::Uri, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{partners::find_partner, view::PartnerRef};
use crate::{
    audit::{
        AuditView,
        store::{self, Position},
    },
    database::{Database, clock},
    errors::{ApiError, Fault, IssueKind},
    http::{
        cursor::{Cursors, ListQuery},
        describe,
        extract::{FromQuery, Params, Query},
        page::{Page, PageQuery},
        text::{FromText, Name},
    },
    operators::{
        self,
        model::{Operator, Role},
    },
    orders::{
        state_machine::{FulfillmentDetail, OrderStatus},
        store::{ChangePosition, OrderChange, list_changes},
    },
    request::OperatorCaller,
    values::{
        id::{OperatorId, OrderId, VehicleId},
        timestamp::Timestamp,
    },
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

/// A change of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderChange)]
pub(crate) struct ChangeView {
    /// The position in the feed, for `after`.
    pub position: String,
    pub order_id: OrderId,
    pub vehicle_id: VehicleId,
    pub partner: PartnerRef,
    /// `order.placed`, `order.cancelled`, `order.reported`, `order.advanced`, or `order.told` for another auction, price or
    /// shipment.
    pub action: String,
    /// The status after a step; null if the status did not change.
    pub status: Option<OrderStatus>,
    /// The fulfillment detail after a step.
    pub fulfillment_detail: Option<FulfillmentDetail>,
    /// `key:<prefix>` for a partner's key, `operator:<name>` for LMN's people, `automatic` for scheduled jobs.
    pub actor: String,
    pub request_id: Option<String>,
    pub recorded_at: Timestamp,
    /// Further details.
    #[schema(value_type = Object)]
    pub details: Value,
}

impl From<OrderChange> for ChangeView {
    fn from(change: OrderChange) -> Self {
        Self {
            position: change.position.to_string(),
            order_id: change.order(),
            vehicle_id: change.vehicle_id,
            partner: PartnerRef {
                id: change.partner,
                name: change.partner_name,
            },
            action: change.action,
            status: change.status,
            fulfillment_detail: change.fulfillment_detail,
            actor: change.actor,
            request_id: change.request_id,
            recorded_at: Timestamp::kst(change.recorded_at),
            details: change.details,
        }
    }
}

impl FromText for ChangePosition {
    fn from_text(text: &str) -> Result<Self, Fault> {
        let message = "the value is not the `position` of a change";
        text.parse()
            .map_err(|_| Fault::new(IssueKind::InvalidFormat, message))
    }
}

/// The query parameters of `GET /operator/v1/changes`.
#[derive(Debug)]
pub(crate) struct ListChanges {
    after: Option<ChangePosition>,
    page: PageQuery,
}

impl FromQuery for ListChanges {
    fn from_query(params: &mut Params) -> Option<Self> {
        Some(Self {
            after: params.get("after"),
            page: PageQuery::read(params),
        })
    }
}

impl IntoParams for ListChanges {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let after = "Changes after this `position`; without it, the feed is read from its beginning. With a `cursor` it is \
                     ignored.";
        let mut parameters = vec![describe::query_text("after", after, describe::text())];
        parameters.extend(PageQuery::into_params(parameter_in));
        parameters
    }
}

/// One page of changes.
type OrderChangeList = Page<ChangeView>;

/// Lists all that happens to orders, whoever did it, the oldest first.
///
/// No change ever appears before one that was already returned. Read page after page until `next_cursor` is null, then go on
/// with the `position` of the last change as `after`.
#[utoipa::path(get, path = "/operator/v1/changes", tag = "orders", params(ListChanges), responses(
    (status = 200, description = "A page of changes.", body = OrderChangeList),
))]
pub(crate) async fn list_order_changes(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    Query(query): Query<ListChanges>,
) -> Result<Response, ApiError> {
    let ListChanges { after, page } = query;
    let list_query = ListQuery {
        list: "operator_changes",
        owner: None,
        sort: "transaction",
        filters: String::new(),
    };
    let reached: Option<String> = page.after(&cursors, &list_query)?;
    let reached = reached.map(|it| it.parse::<ChangePosition>()).transpose();
    let reached = reached.map_err(ApiError::internal)?;
    let after = reached.or(after).unwrap_or_else(ChangePosition::before_all);
    let mut connection = database.acquire().await?;
    let changes = list_changes(&mut connection, after, page.rows()).await?;
    let position = |last: &OrderChange| last.position.to_string();
    let page: OrderChangeList = Page::of(changes, &page, &cursors, &list_query, position)?;
    Ok(page.answer(&uri))
}

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
    let operators = operators::store::list(&mut connection, after, page.rows()).await?;
    let operators: Vec<OperatorAt> = operators.into_iter().map(|it| (it, now)).collect();
    let page: OperatorList = Page::of(operators, &page, &cursors, &list_query, |last| last.0.id)?;
    Ok(page.answer(&uri))
}
