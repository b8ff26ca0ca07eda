//! The catalogue as partners read it: the same rows as JSON.

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
    /// The HTTP statuses that carry it.
    #[schema(value_type = Vec<u16>)]
    statuses: &'static [u16],
    /// Its name in a few words.
    title: &'static str,
    /// What it means.
    meaning: &'static str,
    /// The situations that lead to it.
    when: &'static str,
    /// What you do about it.
    what_to_do: &'static str,
    retry_class: RetryClass,
    /// Whether the unchanged request, under the same Idempotency-Key, is worth repeating; equals `LMN-Should-Retry`.
    should_retry: bool,
    /// What `error.details` can tell.
    details: Vec<DetailView>,
    /// What it is called in LendFoundry's form: one code for each of `statuses`, in their order.
    #[schema(value_type = Vec<LendFoundryCode>)]
    lendfoundry_codes: &'static [LendFoundryCode],
}

/// A member of `error.details`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct DetailView {
    /// Its name.
    name: &'static str,
    /// What it tells.
    meaning: &'static str,
}

/// The whole catalogue: one page, always.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorList {
    data: Vec<ErrorView>,
    /// Null: there is no other page.
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
