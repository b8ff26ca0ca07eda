//! The details of errors that only the operator API has.

use super::{entry::payload, schema};

payload! {
    /// The details of `invalid_operator_token`.
    pub struct InvalidOperatorToken {
        #[schema(schema_with = schema::token_reasons)]
        pub reason: &'static str = "`unknown`, `revoked` or `expired`.",
    }
}

impl InvalidOperatorToken {
    pub(super) fn example() -> Self {
        Self { reason: "expired" }
    }
}

payload! {
    /// The details of `role_not_allowed`.
    pub struct RoleNotAllowed {
        #[schema(schema_with = schema::role)]
        pub role: &'static str = "Your role.",
        #[schema(schema_with = schema::roles)]
        pub needed: Vec<&'static str> = "The roles of which one is needed.",
    }
}

impl RoleNotAllowed {
    pub(super) fn example() -> Self {
        Self {
            role: "viewer",
            needed: vec!["trader", "admin"],
        }
    }
}
