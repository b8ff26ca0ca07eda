//! The members of a body, read one by one with everything that is wrong said at once.

use serde_json::{Map, Value};

use crate::error::{Fault, IssueKind, Issues};

/// The members of a JSON object; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: &'a Map<String, Value>,
    issues: &'a mut Issues,
}

impl<'a> Fields<'a> {
    /// Takes the members, and notes what is wrong with them in `issues`.
    pub(crate) fn new(members: &'a Map<String, Value>, issues: &'a mut Issues) -> Self {
        Self { members, issues }
    }

    /// Reads a text that must be there.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.members.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => {
                let fault =
                    Fault::new(IssueKind::InvalidType, format!("`{name}` must be a string"));
                self.issues
                    .push(fault.expected("string").at_json(name, other));
                None
            }
            None => {
                self.issues.missing(name);
                None
            }
        }
    }

    /// Reads a whole number of at most `max` that may be null or absent.
    ///
    /// What is too small for the type is the smallest number of the type, which no rule accepts either.
    pub(crate) fn optional_integer(&mut self, name: &str, max: i64) -> Option<i64> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let fault = match (value.as_i64(), value.as_f64()) {
            (Some(number), _) if number <= max => return Some(number),
            (Some(_), _) => too_large(name, max),
            // JSON numbers beyond 64 bits are floats here; whole ones are still whole.
            (None, Some(float)) if float.fract() == 0.0 && float >= i64::MAX as f64 => {
                too_large(name, max)
            }
            (None, Some(float)) if float.fract() == 0.0 && float <= i64::MIN as f64 => {
                return Some(i64::MIN);
            }
            (None, Some(_)) => {
                let message =
                    format!("`{name}` must be a whole number, without a fraction or exponent");
                Fault::new(IssueKind::InvalidType, message)
            }
            (None, None) => Fault::new(
                IssueKind::InvalidType,
                format!("`{name}` must be a whole number or null"),
            ),
        };
        self.issues
            .push(fault.expected("integer or null").at_json(name, value));
        None
    }
}

fn too_large(name: &str, max: i64) -> Fault {
    Fault::new(
        IssueKind::OutOfRange,
        format!("`{name}` must be at most {max}"),
    )
}

/// A value that is read from a JSON object.
pub(crate) trait FromBody: Sized {
    /// Reads it, noting every issue; `None` only if one was noted.
    fn from_body(fields: &mut Fields<'_>) -> Option<Self>;
}
