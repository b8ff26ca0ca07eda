//! The IP allowlist: admits a partner only from its own networks.

use axum::extract::Request;

use super::admission::{Policy, Verdict};
use crate::{
    errors::ApiError,
    request::{Caller, RequestContext},
    values::environment::Environment,
};

/// The policy; for a partner without any network it depends on the environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IpAllowlist(pub Environment);

impl IpAllowlist {
    fn check(self, context: &RequestContext) -> Result<(), ApiError> {
        let client_ip = context.client();
        match Caller::of(context)?.grant.admits(client_ip, self.0) {
            true => Ok(()),
            false => Err(ApiError::IpNotAllowed { client_ip }),
        }
    }
}

impl Policy for IpAllowlist {
    fn admit(&self, _: &Request, context: &RequestContext) -> Verdict {
        self.check(context).into()
    }
}
