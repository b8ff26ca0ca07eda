//! Lists as CSV (RFC 4180) for spreadsheets, where `Accept` prefers it to JSON.

use axum::{
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    errors::ApiError,
    http::{
        accept::{self, Offer},
        page::{Page, next_link},
    },
};

/// The representations of a list: JSON, unless CSV has a higher quality.
const OFFERS: [Offer; 2] = [
    Offer {
        media_type: "application/json",
        by_name_only: false,
    },
    Offer {
        media_type: "text/csv",
        by_name_only: false,
    },
];

/// A column: its name, and the JSON pointer of its value in a row.
pub(crate) type Column = (&'static str, &'static str);

/// Responds with a page in the representation that the client accepts.
pub(crate) fn answer<T: Serialize>(
    page: Page<T>,
    columns: &[Column],
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let mut response = match accept::choose(headers.get_all(header::ACCEPT), &OFFERS) {
        0 => page.answer(uri),
        _ => {
            let rows: Result<Vec<_>, _> = page.data.iter().map(serde_json::to_value).collect();
            let text = render(columns, &rows.map_err(ApiError::internal)?);
            let csv = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
            let mut response = ([(header::CONTENT_TYPE, csv)], text).into_response();
            if let Some(link) = next_link(uri, page.next_cursor.as_deref()) {
                response.headers_mut().insert(header::LINK, link);
            }
            response
        }
    };
    let vary = HeaderValue::from_static("Accept");
    response.headers_mut().insert(header::VARY, vary);
    Ok(response)
}

/// Renders a line of names, and one for each row.
pub(crate) fn render(columns: &[Column], rows: &[Value]) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = names.join(",");
    text.push_str("\r\n");
    for row in rows {
        for (n, (_, pointer)) in columns.iter().enumerate() {
            if n > 0 {
                text.push(',');
            }
            push_field(&mut text, row.pointer(pointer));
        }
        text.push_str("\r\n");
    }
    text
}

/// Appends a field; null is empty.
///
/// Text that a spreadsheet would take for a formula gets a leading apostrophe, because partners choose some of it.
fn push_field(text: &mut String, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => {}
        Some(Value::String(word)) => {
            let is_formula = word.starts_with(['=', '+', '-', '@', '\t', '\r']);
            let guard = if is_formula { "'" } else { "" };
            if word.contains([',', '"', '\r', '\n']) {
                let doubled = word.replace('"', "\"\"");
                text.extend(["\"", guard, &doubled, "\""]);
            } else {
                text.extend([guard, word]);
            }
        }
        Some(other) => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_formulas_are_disarmed() {
        let columns = [("a", "/a"), ("b", "/b/c"), ("d", "/d")];
        let rows = [
            json!({"a": 1, "b": {"c": "x, \"y\""}, "d": null}),
            json!({"a": true, "b": null, "d": "=1+1"}),
            json!({"a": "line\nbreak", "b": {"c": "김"}, "d": "-\","}),
        ];
        let lines = [
            "a,b,d",
            "1,\"x, \"\"y\"\"\",",
            "true,,'=1+1",
            "\"line\nbreak\",김,\"'-\"\",\"",
            "",
        ];
        assert_eq!(render(&columns, &rows), lines.join("\r\n"));
    }
}
