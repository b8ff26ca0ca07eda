//! Issues with a request's query, headers or body, all reported at once.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{api_error::ApiError, entry::payload, schema};

/// The number of characters of a refused value that the response repeats.
const RECEIVED_CHARACTERS_MAX: usize = 64;

/// The kind of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IssueKind {
    /// A required value is absent.
    RequiredFieldMissing,
    /// The value has the wrong JSON type.
    InvalidType,
    /// The value has the right type, but is not allowed.
    InvalidValue,
    /// The text does not have the expected format.
    InvalidFormat,
    /// A number, length or time is out of bounds.
    OutOfRange,
    /// There are more values than allowed.
    TooMany,
    /// Another field or parameter is required with this one.
    Requires,
    /// The value occurs twice.
    Duplicate,
}

/// The reason why a value is invalid; with the path of the value it becomes an [`Issue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: IssueKind,
    message: String,
    expected: Option<String>,
}

impl Fault {
    /// Creates a fault from its kind and a one-sentence message.
    pub fn new(kind: IssueKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            expected: None,
        }
    }

    /// Adds the expected value or format.
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self {
            expected: Some(expected.into()),
            ..self
        }
    }

    /// Creates the issue of this fault at `path`; `received` is the text that was sent.
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

    /// Creates the issue of this fault at `path` of a JSON body.
    ///
    /// `received` is the JSON type if the type is wrong, else the value.
    pub fn at_json(self, path: impl Into<String>, value: &Value) -> Issue {
        let received = match (self.kind, value) {
            (IssueKind::InvalidType, value) => json_type(value).to_owned(),
            (_, Value::String(text)) => text.clone(),
            (_, value) => value.to_string(),
        };
        self.at(path, Some(&received))
    }
}

/// An issue with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Issue {
    /// The dotted path in the body, or the name of the parameter or header.
    pub path: String,
    /// The kind of the issue.
    pub issue: IssueKind,
    /// One sentence for human readers.
    pub message: String,
    /// The expected value or format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The value that was sent, truncated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
}

impl Issue {
    /// Returns the issue as LendFoundry documents it: `field` in place of `path`.
    fn lendfoundry(&self) -> Value {
        let mut object = json!(self);
        if let Some(members) = object.as_object_mut() {
            let field = members.remove("path");
            members.extend(field.map(|field| ("field".to_owned(), field)));
        }
        object
    }
}

payload! {
    /// All issues with a request: the details of `validation_error`.
    #[derive(Default)]
    pub struct Issues {
        #[schema(min_items = 1)]
        issues: Vec<Issue> =
            "Everything that is wrong: `path` names the place, `issue` the kind, `message` \
            explains; `expected` and `received` are there when they help.",
        #[schema(schema_with = schema::first_field)]
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'static str> =
            "The one field to look at first: `make`, when a search lacks it.",
        #[schema(schema_with = schema::address_reason)]
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str> = "`address_not_public`, when a URL leads elsewhere.",
    }
}

impl Issues {
    /// Returns an example.
    pub(super) fn example() -> Self {
        let message = "`limit` must be a whole number from 1 to 200";
        let fault = Fault::new(IssueKind::OutOfRange, message);
        fault.expected("1..200").at("limit", Some("500")).into()
    }

    /// Returns LendFoundry's details.
    pub(super) fn lendfoundry(&self) -> Value {
        self.issues.iter().map(Issue::lendfoundry).collect()
    }

    /// Adds an issue.
    pub fn push(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    /// Adds an issue about a required value that is absent.
    pub fn missing(&mut self, path: &str) {
        let message = format!("`{path}` is required");
        self.push(Fault::new(IssueKind::RequiredFieldMissing, message).at(path, None));
    }

    /// Sets `details.field`, the field to look at first; a search that includes dealer vehicles sets it to `make`.
    pub fn point_at(&mut self, field: &'static str) {
        self.field = Some(field);
    }

    /// Sets `details.reason`; a URL that does not lead to a public address sets it.
    pub fn give_reason(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }

    /// Returns the issues, in the order in which they were found.
    pub fn all(&self) -> &[Issue] {
        &self.issues
    }

    /// Returns `value` if there are no issues, else the issues.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.issues.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self {
            issues: vec![issue],
            field: None,
            reason: None,
        }
    }
}

impl From<Issues> for ApiError {
    fn from(issues: Issues) -> Self {
        Self::Validation(issues)
    }
}

impl From<Issue> for ApiError {
    fn from(issue: Issue) -> Self {
        Self::Validation(issue.into())
    }
}

/// Truncates a value for the response.
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
