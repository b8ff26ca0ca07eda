//! Authentication of operators: [`OperatorTokens`] finds the operator of the token in `Authorization`, and [`NeededRole`]
//! refuses one whose role does not allow the route.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};

use crate::{
    database::Database,
    errors::{
        ApiError,
        payloads::{InvalidOperatorToken, RoleNotAllowed},
    },
    middleware::admission::{Policy, Verdict},
    operators::{
        model::{Operator, Role, read_token},
        store,
    },
    partners::api_key::KeyError,
    request::RequestContext,
    values::{secret::SecretDigest, string_enum::StringEnum},
};

/// The authentication scheme, in lower case.
const SCHEME: &str = "bearer";

/// The authentication policy.
///
/// It reads the operator for every request, which are few: a revoked token is refused from the commit of the revocation
/// on.
#[derive(Debug, Clone)]
pub(crate) struct OperatorTokens {
    database: Database,
}

impl OperatorTokens {
    /// Creates the policy.
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Finds the operator with a token, which must be in force.
    pub(crate) async fn find(self, digest: SecretDigest) -> Result<Operator, ApiError> {
        let mut connection = self.database.acquire().await?;
        let found = store::find_by_digest(&mut connection, &digest).await?;
        let (operator, now) = found.ok_or_else(|| invalid(KeyError::Unknown))?;
        operator.check(now).map_err(invalid)?;
        Ok(operator)
    }
}

impl Policy for OperatorTokens {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        context.note_route(request.extensions());
        let digest = match sent_token(request.headers()) {
            Ok(digest) => digest,
            Err(error) => return Verdict::Refuse(error),
        };
        let (tokens, context) = (self.clone(), context.clone());
        Verdict::Wait(Box::pin(async move {
            let operator = tokens.find(digest).await?;
            context.set_operator(Arc::new(operator));
            Ok(())
        }))
    }
}

/// Returns the digest of the token that was sent; the same token sent twice counts as one.
fn sent_token(headers: &HeaderMap) -> Result<SecretDigest, ApiError> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let first = sent.next().ok_or(ApiError::MissingOperatorToken)?;
    let unknown = || invalid(KeyError::Unknown);
    if sent.any(|other| other != first) {
        return Err(unknown());
    }
    let text = first.to_str().map_err(|_| unknown())?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(ApiError::MissingOperatorToken);
    }
    read_token(token.trim()).ok_or_else(unknown)
}

fn invalid(fault: KeyError) -> ApiError {
    let reason = fault.as_str();
    InvalidOperatorToken { reason }.into()
}

/// The policy of a group of routes: admits operators whose role allows what needs this role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NeededRole(pub Role);

impl NeededRole {
    /// Returns an error unless the role of an operator allows what needs this role.
    pub(crate) fn check(self, operator: &Operator) -> Result<(), ApiError> {
        if operator.role.allows(self.0) {
            return Ok(());
        }
        let allowed = Role::ALL.iter().filter(|role| role.allows(self.0));
        let refusal = RoleNotAllowed {
            role: operator.role.as_str(),
            needed: allowed.map(|role| role.as_str()).collect(),
        };
        Err(refusal.into())
    }
}

impl Policy for NeededRole {
    fn admit(&self, _: &Request, context: &RequestContext) -> Verdict {
        let operator = context.operator();
        let operator =
            operator.ok_or_else(|| ApiError::internal("the route is outside authentication"));
        operator.and_then(|it| self.check(it)).into()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "lmn_op_AAAAAAAAAAAAAAAAAAAAAAAAAA-_";

    fn read(sent: &[&str]) -> Result<SecretDigest, &'static str> {
        let mut headers = HeaderMap::new();
        for text in sent {
            let value = HeaderValue::from_str(text).unwrap();
            headers.append(header::AUTHORIZATION, value);
        }
        sent_token(&headers).map_err(|error| error.code().as_str())
    }

    #[test]
    fn token_is_read_from_the_bearer_scheme_in_any_case() {
        let digest = read_token(TOKEN).ok_or("it is a token");
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let sent = format!("{scheme} {TOKEN}");
            assert_eq!(read(&[&sent]), digest);
            assert_eq!(read(&[&sent, &sent]), digest);
        }
    }

    #[test]
    fn header_without_a_token_is_refused_as_missing_or_invalid() {
        let other = format!("Bearer {}", TOKEN.replace('A', "B"));
        let sent = format!("Bearer {TOKEN}");
        let cases: [(&[&str], &str); 6] = [
            (&[], "missing_operator_token"),
            (&["Basic dTpw"], "missing_operator_token"),
            (&[TOKEN], "missing_operator_token"),
            (&["Bearer"], "invalid_operator_token"),
            (&["Bearer lmn_op_short"], "invalid_operator_token"),
            (&[&sent, &other], "invalid_operator_token"),
        ];
        for (headers, code) in cases {
            assert_eq!(read(headers), Err(code), "{headers:?}");
        }
    }
}
