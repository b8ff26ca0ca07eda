//! The error catalogue for its readers: Markdown for `docs/errors.md` and `Accept: text/markdown`, and JSON for
//! `GET /v1/errors`.

use std::fmt::Write;

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::{
    catalogue::Code,
    entry::{Detail, LendFoundryCode, RetryClass},
};
use crate::values::string_enum::StringEnum;

/// The text before the rows.
const INTRODUCTION: &str = include_str!("../../docs/errors-introduction.md");

/// LendFoundry's codes that this API never produces, with the reason.
const NOT_PRODUCED: &[(&str, &str)] = &[
    ("TOKEN_EXPIRED", "a key that has expired is `UNAUTHORIZED`"),
    (
        "RESOURCE_CONFLICT",
        "a conflict of states is `WORKFLOW_STATE_INVALID`",
    ),
    (
        "INVALID_DATE_FORMAT",
        "a wrong date is an issue of `INVALID_REQUEST`",
    ),
];

/// Renders the whole catalogue in Markdown.
pub(crate) fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "\n## The codes\n\n| Code | Status | Retry class | LendFoundry |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let entry = code.entry();
        let lendfoundry: Vec<_> = entry
            .lendfoundry
            .iter()
            .map(|it| tick(it.as_str()))
            .collect();
        let (name, retry) = (entry.code, entry.retry.as_str());
        let (statuses, lendfoundry) = (statuses(code, ", "), lendfoundry.join(", "));
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| [`{name}`](#{name}) | {statuses} | `{retry}` | {lendfoundry} |"
        );
    }
    page.push_str("\nLendFoundry's other codes are never produced:\n\n");
    for (code, why) in NOT_PRODUCED {
        let _ = writeln!(page, "- `{code}`: {why}.");
    }
    page.push_str("- Those of 502 and 504: the service itself answers with neither.\n");
    for code in Code::ALL {
        page.push_str("\n#");
        page.push_str(&markdown_of(code));
    }
    page
}

/// Renders the row of one code in Markdown.
pub(crate) fn markdown_of(code: Code) -> String {
    let entry = code.entry();
    let (name, title, retry) = (entry.code, entry.title, entry.retry.as_str());
    let statuses = statuses(code, " or ");
    let repeat = match entry.retry.should_retry() {
        true => "the same request is worth repeating",
        false => "repeating the same request does not help",
    };
    let mut text = format!("# {name}\n\n**{title}.** {}\n\n", entry.meaning);
    let _ = write!(
        text,
        "- Status: {statuses}\n- Retry class: `{retry}`, {repeat}\n- When: {}\n- What to do: {}\n",
        entry.when, entry.what_to_do
    );
    if !entry.details.is_empty() {
        text.push_str("\n| `details` | tells |\n|---|---|\n");
    }
    for detail in entry.details {
        let _ = writeln!(text, "| `{}` | {} |", detail.name, detail.meaning);
    }
    text
}

fn statuses(code: Code, between: &str) -> String {
    let statuses = code.entry().statuses.iter().map(u16::to_string);
    statuses.collect::<Vec<_>>().join(between)
}

fn tick(code: &str) -> String {
    format!("`{code}`")
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_contains_every_code() {
        let page = markdown();
        for code in Code::ALL {
            assert!(
                page.contains(&format!("\n#{}", markdown_of(code))),
                "{code:?}"
            );
        }
        for code in LendFoundryCode::ALL {
            let mut rows = Code::ALL.into_iter().map(Code::entry);
            let is_produced = rows.any(|row| row.lendfoundry.contains(code));
            assert!(is_produced, "{code:?}");
            assert!(NOT_PRODUCED.iter().all(|(it, _)| *it != code.as_str()));
        }
    }

    #[test]
    fn docs_errors_md_is_up_to_date() {
        let hint = "regenerate it: cargo run -- errors --markdown > docs/errors.md";
        assert_eq!(include_str!("../../docs/errors.md"), markdown(), "{hint}");
    }
}
