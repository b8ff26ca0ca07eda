//! `POST /operator/v1/partners/{id}/keys` and `POST /operator/v1/keys/{prefix}/…`: API keys, which are shown once.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    partner_changes::{find, refuse},
    partners::KeyView,
};
use crate::{
    config::Settings,
    database::clock,
    errors::ApiError,
    http::{
        body::Input,
        extract::{Id, PathId},
        fields::{Fields, FromBody},
    },
    idempotency::{Reply, Write},
    partners::changes::{self, Issued},
    request::OperatorCaller,
    sandbox::vehicles::Nothing,
    values::{id::PartnerId, timestamp::Timestamp},
};

/// The longest time until a key expires, in seconds: ten years.
const SECONDS_MAX: i64 = 3_653 * 86_400;
/// The time during which a rotated key still works, if the request names none.
const OVERLAP_SECONDS: i64 = 86_400;

/// The public prefix of a key: its first 12 characters.
#[derive(Debug)]
pub(crate) struct KeyPrefix(String);

impl PartialSchema for KeyPrefix {
    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

impl PathId for KeyPrefix {
    const WHAT: &str = "The first 12 characters of the key.";
    const NAME: &str = "prefix";

    fn read(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_route(text)
    }
}

/// A key to issue. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct IssueKey {
    /// The time after which the key expires; null or omitted if it does not expire.
    #[schema(minimum = 1, maximum = 315_619_200)]
    expires_in_seconds: Option<i64>,
}

impl FromBody for IssueKey {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let expires_in_seconds = fields.optional_integer_in("expires_in_seconds", 1..=SECONDS_MAX);
        Some(Self { expires_in_seconds })
    }
}

/// A key to rotate. Unknown members are ignored.
#[derive(Debug, ToSchema)]
pub(crate) struct RotateKey {
    /// The time during which the old key still works; a day if omitted.
    #[schema(minimum = 1, maximum = 315_619_200)]
    overlap_seconds: Option<i64>,
    /// The time after which the new key expires; null or omitted if it does not expire.
    #[schema(minimum = 1, maximum = 315_619_200)]
    expires_in_seconds: Option<i64>,
}

impl FromBody for RotateKey {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        let mut seconds = |name| fields.optional_integer_in(name, 1..=SECONDS_MAX);
        Some(Self {
            overlap_seconds: seconds("overlap_seconds"),
            expires_in_seconds: seconds("expires_in_seconds"),
        })
    }
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedKey {
    /// The key. It is shown once: in a replay of the request it is null.
    api_key: Option<String>,
    prefix: String,
    partner_id: PartnerId,
    expires_at: Option<Timestamp>,
    /// The key that it replaces; null if it was not rotated.
    rotated: Option<RotatedKey>,
}

/// A key that was replaced by another one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RotatedKey {
    prefix: String,
    /// Until then it works, too.
    expires_at: Option<Timestamp>,
}

/// Commits, and shows a new key this once.
async fn hand_over(
    write: Write,
    issued: &Issued,
    rotated: Option<RotatedKey>,
) -> Result<Response, ApiError> {
    let view = |api_key| IssuedKey {
        api_key,
        prefix: issued.key.prefix(),
        partner_id: issued.partner,
        expires_at: issued.expires_at.map(Timestamp::kst),
        rotated: rotated.clone(),
    };
    let secret = issued.key.secret().expose_secret().to_owned();
    let reply = Reply::json(StatusCode::CREATED, &view(None))?;
    write.commit(reply.showing(&view(Some(secret)))?).await
}

fn seconds(number: Option<i64>) -> Option<TimeDelta> {
    number.and_then(TimeDelta::try_seconds)
}

/// Issues a key of a partner. It is shown only in this response.
#[utoipa::path(post, path = "/operator/v1/partners/{id}/keys", tag = "partners", params(Id::<PartnerId>),
    request_body = IssueKey, responses(
        (status = 201, description = "The new key.", body = IssuedKey),
        (status = 404, description = "partner_not_found"),
    ))]
pub(crate) async fn issue_key(
    State(settings): State<Arc<Settings>>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), IssueKey>,
    Id(id): Id<PartnerId>,
) -> Result<Response, ApiError> {
    let (tx, actor) = (write.tx(), caller.actor());
    find(tx, id).await?;
    let expires_in = seconds(body.expires_in_seconds);
    let issued = changes::issue_key(tx, &actor, id, settings.environment, expires_in).await;
    hand_over(write, &issued.map_err(refuse)?, None).await
}

/// Issues a key that replaces another one; both work during the overlap. The new key is shown only in this response.
#[utoipa::path(post, path = "/operator/v1/keys/{prefix}/rotate", tag = "partners", params(Id::<KeyPrefix>),
    request_body = RotateKey, responses(
        (status = 201, description = "The new key.", body = IssuedKey),
        (status = 404, description = "not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn rotate_key(
    State(settings): State<Arc<Settings>>,
    caller: OperatorCaller,
    mut write: Write,
    Input((), body): Input<(), RotateKey>,
    Id(KeyPrefix(prefix)): Id<KeyPrefix>,
) -> Result<Response, ApiError> {
    let overlap = TimeDelta::seconds(body.overlap_seconds.unwrap_or(OVERLAP_SECONDS));
    let spans = (overlap, seconds(body.expires_in_seconds));
    let (actor, environment) = (caller.actor(), settings.environment);
    let rotated = changes::rotate_key(write.tx(), &actor, &prefix, environment, spans).await;
    let (issued, old) = rotated.map_err(refuse)?;
    let old = RotatedKey {
        prefix: old.prefix,
        expires_at: old.expires_at.map(Timestamp::kst),
    };
    hand_over(write, &issued, Some(old)).await
}

/// Revokes a key. Every server refuses it within a second.
#[utoipa::path(post, path = "/operator/v1/keys/{prefix}/revoke", tag = "partners", params(Id::<KeyPrefix>),
    request_body = Nothing, responses(
        (status = 200, description = "The revoked key.", body = KeyView),
        (status = 404, description = "not_found"),
        (status = 409, description = "invalid_status_transition"),
    ))]
pub(crate) async fn revoke_key(
    caller: OperatorCaller,
    mut write: Write,
    Input((), Nothing {}): Input<(), Nothing>,
    Id(KeyPrefix(prefix)): Id<KeyPrefix>,
) -> Result<Response, ApiError> {
    let tx = write.tx();
    let revoked = changes::revoke_key(tx, &caller.actor(), &prefix).await;
    let revoked = revoked.map_err(refuse)?;
    let now = clock::real_now(tx).await?;
    let reply = Reply::json(StatusCode::OK, &KeyView::new(revoked, now))?;
    write.commit(reply).await
}
