//! The common parts of `lmn key` and `lmn operator`: a new key or token, and the end of one.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::{print_outcome, say};
use crate::values::timestamp::Timestamp;

/// Prints a new key or token, the only time that it is shown, and when it expires. `noun` names its kind.
pub(super) fn hand_over(
    noun: &str,
    secret: &SecretString,
    expires_at: Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    say(format_args!(
        "This is the {noun}. It is shown only once and stored nowhere:"
    ));
    print_outcome(secret.expose_secret())?;
    if let Some(end) = expires_at {
        say(format_args!("It expires at {}.", Timestamp::kst(end)));
    }
    Ok(())
}

/// Returns the end of a line of a list, which says when a key or token was revoked or expires; empty if it has no end.
pub(super) fn end(revoked_at: Option<DateTime<Utc>>, expires_at: Option<DateTime<Utc>>) -> String {
    match (revoked_at, expires_at) {
        (Some(at), _) => format!("  revoked {}", Timestamp::kst(at)),
        (None, Some(at)) => format!("  expires {}", Timestamp::kst(at)),
        (None, None) => String::new(),
    }
}
