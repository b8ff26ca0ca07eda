//! Issues: what is wrong with a request's query, headers or body, all of it at once.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// How much of a refused value is repeated in the answer, in characters.
const RECEIVED_CHARACTERS_MAX: usize = 64;

/// The kind of an issue (contract, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IssueKind {
    /// Must be there, and is not.
    RequiredFieldMissing,
    /// Another JSON type is expected.
    InvalidType,
    /// The right type, but not one of the values there are.
    InvalidValue,
    /// Text that does not have the expected form.
    InvalidFormat,
    /// A number, a length or a time beyond its bounds.
    OutOfRange,
    /// More of it than is allowed.
    TooMany,
    /// Needs another field or parameter beside it.
    Requires,
    /// Stands there twice.
    Duplicate,
}

/// Why a single value cannot be read; it becomes an [`Issue`] where its path is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: IssueKind,
    message: String,
    expected: Option<String>,
}

impl Fault {
    /// Describes what is wrong, in one sentence.
    pub fn new(kind: IssueKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            expected: None,
        }
    }

    /// Adds what would be right.
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self {
            expected: Some(expected.into()),
            ..self
        }
    }

    /// Places the fault at `path`; `received` is the text that was sent there.
    pub fn at(self, path: impl Into<String>, received: Option<&str>) -> Issue {
        let received = received.map(cut);
        let Self {
            kind,
            message,
            expected,
        } = self;
        Issue {
            path: path.into(),
            issue: kind,
            message,
            expected,
            received,
        }
    }

    /// Places the fault at `path` of a JSON body.
    ///
    /// What was received is the JSON type where the type is wrong, else the value.
    pub fn at_json(self, path: impl Into<String>, value: &Value) -> Issue {
        let received = match (self.kind, value) {
            (IssueKind::InvalidType, value) => json_type(value).to_owned(),
            (_, Value::String(text)) => text.clone(),
            (_, value) => value.to_string(),
        };
        self.at(path, Some(&received))
    }
}

/// One thing that is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Issue {
    /// The dotted path in the body, or the parameter's or header's name.
    pub path: String,
    /// What kind of issue it is.
    pub issue: IssueKind,
    /// One sentence for a person.
    pub message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was sent, cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
}

/// Everything that is wrong with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issues {
    all: Vec<Issue>,
    field: Option<&'static str>,
    reason: Option<&'static str>,
}

impl Issues {
    /// Adds one more.
    pub fn push(&mut self, issue: Issue) {
        self.all.push(issue);
    }

    /// Adds one about something that is absent.
    pub fn missing(&mut self, path: &str) {
        let message = format!("`{path}` is required");
        self.push(Fault::new(IssueKind::RequiredFieldMissing, message).at(path, None));
    }

    /// Names the field that `details.field` points at (the dealer rule).
    pub fn point_at(&mut self, field: &'static str) {
        self.field = Some(field);
    }

    /// Names the one reason that `details.reason` tells (an address that is not public).
    pub fn give_reason(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    /// Returns the reason that the answer tells.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Returns the issues in the order in which they were found.
    pub fn all(&self) -> &[Issue] {
        &self.all
    }

    /// Returns the field that the answer points at.
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// Gives `value` if nothing was found, else everything that was.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.all.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self {
            all: vec![issue],
            field: None,
            reason: None,
        }
    }
}

/// Cuts what was sent for who reads the answer.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(RECEIVED_CHARACTERS_MAX).collect()
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
