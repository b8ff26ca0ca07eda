//! Changes of partners, their limits, contacts and allowlists.

use axum::{http::StatusCode, response::Response};
use ipnet::IpNet;
use serde::Serialize;
use utoipa::ToSchema;

use super::partners::{PartnerView, RateLimitView};
use crate::{
    database::Tx,
    errors::{ApiError, Fault, IssueKind, payloads::RefusalReason},
    http::{
        body::Input,
        extract::Id,
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    orders::refusals::refusal,
    partners::{
        changes::{self, ChangeError},
        model::{Partner, Refusal, read_network},
        store,
    },
    request::OperatorCaller,
    values::{
        id::PartnerId,
        rate_limit::{Kind, Policy},
        string_enum::StringEnum,
    },
};

/// The maximum number of characters of a name, a contact or a network that is read.
const TEXT_CHARACTERS_MAX: usize = 256;
/// The largest number in a rate limit.
const LIMIT_MAX: i64 = 1_000_000;

/// A partner to add. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct AddPartner {
    /// The name, which must be unique.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
}

impl FromBody for AddPartner {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["name"]);
        let name = fields.optional_text("name", TEXT_CHARACTERS_MAX)?;
        Some(Self { name })
    }
}

/// Adds a partner.
#[utoipa::path(post, path = "/operator/v1/partners", tag = "partners", request_body = AddPartner, responses(
    (status = 201, description = "The partner.", body = PartnerView),
))]
pub(crate) async fn add_partner(
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), AddPartner>,
) -> Result<Response, ApiError> {
    let partner = changes::add_partner(write.tx(), &caller.actor(), &body.name).await;
    let partner = PartnerView::from(partner.map_err(refuse)?);
    let location = format!("/operator/v1/partners/{}", partner.id);
    let reply = Reply::json(StatusCode::CREATED, &partner)?;
    let location = Some(location);
    write.commit(Reply { location, ..reply }).await
}

/// A rate limit to set.
#[derive(Debug)]
pub(crate) struct SetLimit {
    kind: Kind,
    policy: Option<Policy>,
}

impl FromBody for SetLimit {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["policy"]);
        let name = fields.optional_text("policy", TEXT_CHARACTERS_MAX);
        let kinds = [Kind::Read, Kind::Write];
        let kind = name.and_then(|name| {
            let kind = kinds.into_iter().find(|it| it.as_str() == name);
            if kind.is_none() {
                let fault = Fault::new(IssueKind::InvalidValue, "`policy` is `read` or `write`");
                fields.complain("policy", fault.expected("read write"));
            }
            kind
        });
        if !fields.names("limit") {
            fields.require(&["limit"]);
            return None;
        }
        if !fields.has("limit") {
            return Some(Self {
                kind: kind?,
                policy: None,
            });
        }
        let mut limit = fields.optional_object("limit")?;
        let names = ["limit", "window_seconds", "burst"];
        limit.require(&names);
        let [count, window, burst] = names.map(|name| {
            let number = limit.optional_integer_in(name, 1..=LIMIT_MAX)?;
            u32::try_from(number).ok()
        });
        let policy = Policy::new(count?, window?, burst?);
        if policy.is_none() {
            let message = "`burst` must refill within a day";
            limit.complain("burst", Fault::new(IssueKind::OutOfRange, message));
        }
        Some(Self {
            kind: kind?,
            policy: Some(policy?),
        })
    }
}

/// A partner's own rate limit; null restores the deployment's limit. Unknown members are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema only, read by `SetLimit`")]
struct SetLimits {
    /// `read` is GET and HEAD, `write` is POST, PUT and DELETE.
    policy: String,
    limit: Option<RateLimitView>,
}

/// Sets a partner's own rate limit for one kind of requests, or restores the deployment's limit.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/limits", tag = "partners", params(Id::<PartnerId>),
    request_body = SetLimits, responses(
        (status = 200, description = "The partner.", body = PartnerView),
        (status = 404, description = "partner_not_found"),
    ))]
pub(crate) async fn set_partner_limit(
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), SetLimit>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let partner = find(tx, id).await?;
    let set = changes::set_limit(tx, &caller.actor(), &partner, body.kind, body.policy).await;
    set.map_err(refuse)?;
    show(write, id).await
}

/// A contact to set. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct SetContact {
    /// The address for reminders of overdue deliveries; null clears it.
    #[schema(max_length = 128)]
    contact: Option<String>,
}

impl FromBody for SetContact {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        if !fields.names("contact") {
            fields.require(&["contact"]);
            return None;
        }
        let contact = fields.optional_text("contact", TEXT_CHARACTERS_MAX);
        Some(Self { contact })
    }
}

/// Sets or clears a partner's contact for reminders of overdue deliveries.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/contact", tag = "partners", params(Id::<PartnerId>),
    request_body = SetContact, responses(
        (status = 200, description = "The partner.", body = PartnerView),
        (status = 404, description = "partner_not_found"),
    ))]
pub(crate) async fn set_partner_contact(
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), SetContact>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let partner = find(tx, id).await?;
    let contact = body.contact.as_deref();
    let set = changes::set_contact(tx, &caller.actor(), &partner, contact).await;
    set.map_err(refuse)?;
    show(write, id).await
}

/// An entry of an allowlist. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct AllowlistEntry {
    /// An address or a network, such as `203.0.113.7`, `203.0.113.0/24` or `2001:db8::/32`.
    cidr: String,
}

impl FromBody for AllowlistEntry {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        fields.require(&["cidr"]);
        let cidr = fields.optional_text("cidr", TEXT_CHARACTERS_MAX)?;
        Some(Self { cidr })
    }
}

impl AllowlistEntry {
    /// Finds the partner, and reads the network.
    async fn read(&self, tx: &mut Tx, id: PartnerId) -> Result<IpNet, ApiError> {
        find(tx, id).await?;
        read_network(&self.cidr).map_err(|refusal| refuse(refusal.into()))
    }
}

/// The networks that a partner may call from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Allowlist {
    partner_id: PartnerId,
    /// An empty list admits no address in production and every address in the sandbox.
    allowlist: Vec<String>,
}

/// Adds an address or a network to a partner's allowlist.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/allowlist/add", tag = "partners", params(Id::<PartnerId>),
    request_body = AllowlistEntry, responses(
        (status = 200, description = "The allowlist.", body = Allowlist),
        (status = 404, description = "partner_not_found"),
    ))]
pub(crate) async fn add_network(
    caller: OperatorCaller,
    mut write: Write,
    Input((), entry): Input<(), AllowlistEntry>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let network = entry.read(tx, id).await?;
    let added = changes::add_network(tx, &caller.actor(), id, network).await;
    added.map_err(refuse)?;
    show_allowlist(write, id).await
}

/// Removes an address or a network from a partner's allowlist.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/allowlist/remove", tag = "partners", params(Id::<PartnerId>),
    request_body = AllowlistEntry, responses(
        (status = 200, description = "The allowlist.", body = Allowlist),
        (status = 404, description = "partner_not_found"),
    ))]
pub(crate) async fn remove_network(
    caller: OperatorCaller,
    mut write: Write,
    Input((), entry): Input<(), AllowlistEntry>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let network = entry.read(tx, id).await?;
    let removed = changes::remove_network(tx, &caller.actor(), id, network).await;
    removed.map_err(refuse)?;
    show_allowlist(write, id).await
}

async fn show_allowlist(mut write: Write, id: PartnerId) -> Result<Response, ApiError> {
    let networks = store::list_networks(write.tx(), id).await?;
    let allowlist = Allowlist {
        partner_id: id,
        allowlist: networks.iter().map(ToString::to_string).collect(),
    };
    write.commit(Reply::json(StatusCode::OK, &allowlist)?).await
}

/// Commits, and returns the partner as it is now.
async fn show(mut write: Write, id: PartnerId) -> Result<Response, ApiError> {
    let partner = PartnerView::from(find(write.tx(), id).await?);
    write.commit(Reply::json(StatusCode::OK, &partner)?).await
}

/// Finds a partner.
pub(super) async fn find(tx: &mut Tx, id: PartnerId) -> Result<Partner, ApiError> {
    let found = store::find(tx, &id.to_string()).await?;
    found.ok_or_else(|| ApiError::no_partner(id))
}

/// Returns the API error for a change of a partner that is refused.
#[track_caller]
pub(super) fn refuse(error: ChangeError) -> ApiError {
    let refused = match error {
        ChangeError::Refused(refused) => refused,
        ChangeError::Database(error) => return error.into(),
    };
    let (kind, member) = match &refused {
        Refusal::NameForm => (IssueKind::InvalidFormat, "name"),
        Refusal::NameTaken(_) => (IssueKind::Duplicate, "name"),
        Refusal::ContactForm => (IssueKind::InvalidFormat, "contact"),
        Refusal::NetworkForm(_) | Refusal::NetworkHostBits { .. } => {
            (IssueKind::InvalidFormat, "cidr")
        }
        Refusal::NetworkListed(_) => (IssueKind::Duplicate, "cidr"),
        Refusal::NetworkNotListed(_) => (IssueKind::InvalidValue, "cidr"),
        Refusal::NetworksFull => (IssueKind::TooMany, "cidr"),
        Refusal::KeyUnknown(prefix) => return ApiError::no_route(prefix),
        Refusal::KeyRevoked(_) | Refusal::KeyNotActive { .. } | Refusal::KeyRotated { .. } => {
            return refusal(RefusalReason::OutOfSequence, None).explaining(refused);
        }
        Refusal::PrefixTaken => return ApiError::unavailable(refused),
    };
    Fault::new(kind, refused.to_string())
        .at(member, None)
        .into()
}
