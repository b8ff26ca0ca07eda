//! Operators, their roles and their tokens. Pure, except for the randomness of a new token.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    audit::ACCOUNT_CHARACTERS_MAX,
    partners::api_key::{KeyError, in_force},
    values::{
        id::OperatorId,
        secret::{self, SecretDigest},
        string_enum::string_enum,
    },
};

/// The prefix of every token.
const PREFIX: &str = "lmn_op_";

string_enum! {
    /// The role of an operator.
    Role {
        /// Reads everything except the list of operators.
        Viewer = "viewer",
        /// Also buys: takes lots, records results, moves auctions, changes prices, withdraws and restores vehicles.
        Trader = "trader",
        /// Also ships: shipping, fulfillment details and shipments.
        Logistics = "logistics",
        /// May do everything, including partners, keys, allowlists, limits, webhooks and operators.
        Admin = "admin",
    }
}

impl Role {
    /// Returns whether an operator with this role may do what needs a role.
    pub fn allows(self, needed: Self) -> bool {
        needed == Self::Viewer || self == needed || self == Self::Admin
    }
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The id.
    pub id: OperatorId,
    /// The name, which is unique among the operators that are not revoked.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The time at which it was added.
    pub created_at: DateTime<Utc>,
    /// The time at which the token expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// The time at which the token was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Operator {
    /// Returns an error if the token is revoked or expired at `now`.
    pub(crate) fn check(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        in_force(self.revoked_at, self.expires_at, now)
    }

    /// Returns its state: `active`, `expired` or `revoked`.
    pub(crate) fn state(&self, now: DateTime<Utc>) -> &'static str {
        self.check(now).map_or_else(KeyError::as_str, |()| "active")
    }
}

/// A newly generated token. It is shown once and stored nowhere.
#[derive(Debug)]
pub(crate) struct NewToken(SecretString);

impl NewToken {
    /// Generates a random token.
    pub(crate) fn random() -> Self {
        Self(secret::random(PREFIX))
    }

    /// Returns the token that the operator sends.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.0
    }

    /// Returns the digest to store.
    pub(crate) fn digest(&self) -> SecretDigest {
        secret::digest(self.0.expose_secret())
    }
}

/// Returns the digest of a token as it was sent; `None` for text that is not a token and needs no look-up.
pub(crate) fn read_token(text: &str) -> Option<SecretDigest> {
    secret::has_form(text, PREFIX).then(|| secret::digest(text))
}

/// The reason why a change of the operators is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The name is not valid.
    #[error(
        "an operator's name must have 1 to {ACCOUNT_CHARACTERS_MAX} characters, no white space and no control characters"
    )]
    NameForm,
    /// Another operator has the name.
    #[error("there is an operator called `{0}` already; revoke it first, or choose another name")]
    NameTaken(String),
    /// No operator that is not revoked has the name.
    #[error("there is no operator called `{0}`, or it is revoked already")]
    Unknown(String),
}

/// Checks an operator's name. It is a single word, because the audit log is printed in columns.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = (1..=ACCOUNT_CHARACTERS_MAX).contains(&name.chars().count())
        && !name.chars().any(|it| it.is_whitespace() || it.is_control());
    fits.then_some(()).ok_or(Refusal::NameForm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::string_enum::StringEnum;

    #[test]
    fn every_role_reads_and_only_admin_may_do_everything() {
        use Role::{Admin, Logistics, Trader, Viewer};
        for role in Role::ALL {
            assert!(role.allows(Viewer) && role.allows(*role) && Admin.allows(*role));
        }
        for (role, needed) in [
            (Viewer, Trader),
            (Viewer, Logistics),
            (Viewer, Admin),
            (Trader, Logistics),
            (Trader, Admin),
            (Logistics, Trader),
            (Logistics, Admin),
        ] {
            assert!(!role.allows(needed), "{role:?} {needed:?}");
        }
    }

    #[test]
    fn new_token_is_read_back_and_never_printed() {
        let token = NewToken::random();
        let text = token.secret().expose_secret();
        assert_eq!(text.len(), 35);
        assert_eq!(read_token(text), Some(token.digest()));
        assert!(!format!("{token:?}").contains(text));
        for other in [
            "",
            "lmn_op_",
            &text[..34],
            &format!("{text}A"),
            &text.replace("lmn_op_", "lmn_stg_"),
        ] {
            assert_eq!(read_token(other), None, "{other}");
        }
    }

    #[test]
    fn name_is_one_word() {
        for name in ["mina", "김민아", "ops-bot@lmn", &"x".repeat(64)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "mina kim", "mina\n", "a\u{7}", &"x".repeat(65)] {
            assert_eq!(check_name(name), Err(Refusal::NameForm), "{name:?}");
        }
    }
}
