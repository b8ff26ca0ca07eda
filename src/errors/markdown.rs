//! The error catalogue in Markdown: `docs/errors.md`, and the response to `Accept: text/markdown`.

use std::fmt::Write;

use super::catalogue::Code;
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

/// Renders the whole catalogue.
pub(crate) fn page() -> String {
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
        page.push_str(&entry(code));
    }
    page
}

/// Renders the row of one code.
pub(crate) fn entry(code: Code) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::entry::LendFoundryCode;

    #[test]
    fn page_contains_every_code() {
        let page = page();
        for code in Code::ALL {
            assert!(page.contains(&format!("\n#{}", entry(code))), "{code:?}");
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
        assert_eq!(include_str!("../../docs/errors.md"), page(), "{hint}");
    }
}
