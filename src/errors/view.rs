//! The error catalogue as JSON.

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    catalogue::Code,
    entry::{Detail, LendFoundryCode, RetryClass},
};

/// One code of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorEntry)]
pub(crate) struct ErrorView {
    /// The value of `error.code`.
    code: Code,
    /// The HTTP statuses that carry the code.
    #[schema(value_type = Vec<u16>)]
    statuses: &'static [u16],
    /// A title of a few words.
    title: &'static str,
    /// The meaning of the code.
    meaning: &'static str,
    /// The situations in which the error occurs.
    when: &'static str,
    /// The recommended action.
    what_to_do: &'static str,
    retry_class: RetryClass,
    /// Whether repeating the unchanged request, with the same Idempotency-Key, can help; equals `LMN-Should-Retry`.
    should_retry: bool,
    /// The members that `error.details` can have.
    details: Vec<DetailView>,
    /// The code in LendFoundry's representation, one for each of `statuses`, in the same order.
    #[schema(value_type = Vec<LendFoundryCode>)]
    lendfoundry_codes: &'static [LendFoundryCode],
}

/// A member of `error.details`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct DetailView {
    /// The name of the member.
    name: &'static str,
    /// The meaning of the member.
    meaning: &'static str,
}

/// The whole catalogue, always on one page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorList {
    data: Vec<ErrorView>,
    /// Always null: there is no other page.
    next_cursor: Option<String>,
}

impl ErrorList {
    /// Returns every code, in the order of the catalogue.
    pub(crate) fn all() -> Self {
        Self {
            data: Code::ALL.map(ErrorView::from).into(),
            next_cursor: None,
        }
    }
}

impl From<Code> for ErrorView {
    fn from(code: Code) -> Self {
        let entry = code.entry();
        let detail = |Detail { name, meaning }: &Detail| DetailView { name, meaning };
        Self {
            code,
            statuses: entry.statuses,
            title: entry.title,
            meaning: entry.meaning,
            when: entry.when,
            what_to_do: entry.what_to_do,
            retry_class: entry.retry,
            should_retry: entry.retry.should_retry(),
            details: entry.details.iter().map(detail).collect(),
            lendfoundry_codes: entry.lendfoundry,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl ToSchema for Code {
    fn name() -> std::borrow::Cow<'static, str> {
        "ErrorCode".into()
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A code of the error catalogue."))
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}
