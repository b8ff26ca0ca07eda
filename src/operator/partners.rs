//! `GET /operator/v1/partners` and `GET /operator/v1/partners/{id}`: the partners, with their access and their endpoint.

use axum::{extract::State, http::Uri, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::{Connection, Database, clock},
    errors::{ApiError, Fault, IssueKind},
    http::{
        cursor::{Cursors, ListQuery},
        etag::Conditional,
        extract::{Id, Query},
        page::{Page, PageQuery},
    },
    partners::{api_key::Key, model::Partner, store},
    request::OperatorCaller,
    values::{
        id::PartnerId,
        rate_limit::{Kind, Policy},
        timestamp::Timestamp,
    },
    webhooks::{self, handlers::EndpointView},
};

/// A partner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Partner)]
pub(crate) struct PartnerView {
    pub id: PartnerId,
    /// The name, which is unique.
    pub name: String,
    /// The contact for reminders.
    pub contact: Option<String>,
    pub limits: PartnerLimits,
    pub created_at: Timestamp,
}

/// The rate limits of a partner; null means the deployment's limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartnerLimits {
    pub read: Option<RateLimitView>,
    pub write: Option<RateLimitView>,
}

/// A rate limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RateLimit)]
pub(crate) struct RateLimitView {
    /// The number of requests per window.
    pub limit: u32,
    /// The length of the window.
    pub window_seconds: u32,
    /// The number of requests that may be made at once.
    pub burst: u32,
}

impl From<Policy> for RateLimitView {
    fn from(policy: Policy) -> Self {
        Self {
            limit: policy.limit(),
            window_seconds: policy.window_seconds(),
            burst: policy.burst(),
        }
    }
}

impl From<Partner> for PartnerView {
    fn from(partner: Partner) -> Self {
        Self {
            limits: PartnerLimits {
                read: partner.limit(Kind::Read).map(Into::into),
                write: partner.limit(Kind::Write).map(Into::into),
            },
            id: partner.id,
            name: partner.name,
            contact: partner.contact,
            created_at: Timestamp::kst(partner.created_at),
        }
    }
}

/// A partner with its access and its webhook endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartnerDetail {
    #[serde(flatten)]
    pub partner: PartnerView,
    /// The API keys, also the revoked ones, the oldest first.
    pub keys: Vec<KeyView>,
    /// The networks that it may call from. An empty list admits no address in production and every address in the sandbox.
    pub allowlist: Vec<String>,
    /// The webhook endpoint, without its secret.
    pub webhook_endpoint: Option<EndpointView>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyView {
    /// The public prefix, by which the key is named.
    pub prefix: String,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// The last use that has been written so far.
    pub last_used_at: Option<Timestamp>,
}

impl KeyView {
    /// Returns the view of a key at `now`.
    pub(super) fn new(key: Key, now: DateTime<Utc>) -> Self {
        Self {
            state: key.state(now),
            prefix: key.prefix,
            created_at: Timestamp::kst(key.created_at),
            expires_at: key.expires_at.map(Timestamp::kst),
            revoked_at: key.revoked_at.map(Timestamp::kst),
            last_used_at: key.last_used_at.map(Timestamp::kst),
        }
    }
}

/// One page of partners.
type PartnerList = Page<PartnerView>;

/// Lists the partners, the oldest first.
#[utoipa::path(get, path = "/operator/v1/partners", tag = "partners", params(PageQuery), responses(
    (status = 200, description = "A page of partners.", body = PartnerList),
))]
pub(crate) async fn list_partners(
    State(database): State<Database>,
    State(cursors): State<Cursors>,
    _: OperatorCaller,
    uri: Uri,
    Query(page): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let list_query = ListQuery::of_all("operator_partners");
    let after: Option<PartnerId> = page.after(&cursors, &list_query)?;
    let mut connection = database.acquire().await?;
    let partners = store::list(&mut connection, after, page.rows()).await?;
    let page: PartnerList = Page::of(partners, &page, &cursors, &list_query, |last| last.id)?;
    Ok(page.answer(&uri))
}

/// Returns one partner with its keys, allowlist, limits and webhook endpoint.
#[utoipa::path(get, path = "/operator/v1/partners/{id}", tag = "partners", params(
    Id::<PartnerId>, Conditional
), responses(
    (status = 200, description = "The partner.", body = PartnerDetail),
    (status = 404, description = "partner_not_found"),
))]
pub(crate) async fn get_partner(
    State(database): State<Database>,
    _: OperatorCaller,
    conditional: Conditional,
    _: Query<()>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let mut connection = database.acquire().await?;
    let found = store::find(&mut connection, &id.to_string()).await?;
    let partner = found.ok_or_else(|| ApiError::no_partner(id))?;
    let now = clock::real_now(&mut connection).await?;
    let keys = store::list_keys(&mut connection, id).await?;
    let networks = store::list_networks(&mut connection, id).await?;
    let endpoint = webhooks::store::find(&mut connection, id).await?;
    conditional.answer(&PartnerDetail {
        partner: partner.into(),
        keys: keys.into_iter().map(|it| KeyView::new(it, now)).collect(),
        allowlist: networks.iter().map(ToString::to_string).collect(),
        webhook_endpoint: endpoint.map(|it| EndpointView::new(it, None)),
    })
}

/// Finds the partner that a query parameter names by its id or name.
pub(crate) async fn find_partner(
    conn: &mut Connection,
    id_or_name: &str,
) -> Result<Partner, ApiError> {
    let found = store::find(conn, id_or_name).await?;
    found.ok_or_else(|| {
        let message = "there is no partner with this id or name";
        let fault = Fault::new(IssueKind::InvalidValue, message);
        fault.at("partner", Some(id_or_name)).into()
    })
}
