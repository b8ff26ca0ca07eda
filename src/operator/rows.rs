//! Bulk requests: rows in JSON or CSV, each read and recorded by itself, and the outcome of each.
//!
//! A wrong row is refused with its place, and the others are recorded. A row of JSON is placed by its number in the
//! list, counted from 0, and a row of CSV by its line.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    audit::Actor,
    database::Database,
    errors::{ApiError, Fault, IssueKind, Issues},
    http::fields::{Fields, FromBody},
    idempotency::{Binding, PendingWrite, Reply},
    orders::bulk::Effect,
    values::{
        csv::{self, Record},
        string_enum::string_enum,
    },
};

/// The maximum number of rows of one request.
pub(crate) const ROWS_MAX: usize = 500;

/// A kind of rows.
pub(crate) trait BulkRow: FromBody + Send {
    /// The member of a JSON body that lists the rows.
    const LIST: &'static str;
    /// The member that identifies what a row is about.
    const ID: &'static str;
    /// The other members.
    const MEMBERS: &'static [&'static str];
    /// The members that are whole numbers.
    const NUMBERS: &'static [&'static str];

    /// Records the row in a transaction of its own.
    fn record(
        self,
        database: &Database,
        actor: &Actor,
    ) -> impl Future<Output = Result<Effect, ApiError>> + Send;
}

/// The rows of a request.
#[derive(Debug)]
pub(crate) struct Rows<T>(pub Vec<Row<T>>);

/// A row, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Row<T> {
    /// The identifier that was sent.
    pub id: Option<String>,
    /// The values.
    pub values: Result<T, Issues>,
}

impl<T: BulkRow> FromBody for Rows<T> {
    fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
        if let Some(text) = fields.csv_text() {
            return read_csv(text)
                .map_err(|fault| fields.complain("body", fault))
                .ok();
        }
        let items = fields.items(T::LIST, ROWS_MAX)?;
        let rows = items.iter().enumerate().map(|(n, item)| {
            let place = format!("{}[{n}]", T::LIST);
            match item {
                Value::Object(members) => Row::read(members, &format!("{place}.")),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)) => {
                    let message = format!("`{}` lists objects", T::LIST);
                    let fault = Fault::new(IssueKind::InvalidType, message).expected("object");
                    Row {
                        id: None,
                        values: Err(fault.at_json(place, other).into()),
                    }
                }
            }
        });
        Some(Self(rows.collect()))
    }
}

impl<T: BulkRow> Row<T> {
    /// Reads a row; `place` comes before the names of its members in issues.
    fn read(members: &Map<String, Value>, place: &str) -> Self {
        let mut issues = Issues::default();
        let values = T::from_body(&mut Fields::within(members, &mut issues, place));
        let id = members.get(T::ID).and_then(Value::as_str);
        Self {
            id: id.map(str::to_owned),
            values: issues.or(values),
        }
    }
}

/// Reads the rows of a CSV text, whose first line names the columns, in any order. Other columns are ignored.
pub(crate) fn read_csv<T: BulkRow>(text: &str) -> Result<Rows<T>, Fault> {
    let invalid = |message: String| Fault::new(IssueKind::InvalidFormat, message);
    let mut records = csv::read(text)
        .map_err(|error| invalid(error.to_string()))?
        .into_iter();
    let names = || format!("{},{}", T::ID, T::MEMBERS.join(","));
    let header = records.next();
    let header = header.filter(|it| it.fields.iter().any(|name| name == T::ID));
    let header = header.ok_or_else(|| {
        let message = format!("the first line must name the columns: {}", names());
        invalid(message).expected(names())
    })?;
    let mut sorted: Vec<_> = header.fields.iter().collect();
    sorted.sort_unstable();
    if let Some([name, _]) = sorted
        .windows(2)
        .find(|pair| matches!(pair, [one, two] if one == two))
    {
        let message = format!("line {}: the column `{name}` occurs twice", header.line);
        return Err(Fault::new(IssueKind::Duplicate, message));
    }
    if records.len() == 0 {
        return Err(invalid(
            "the text has no rows after the first line".to_owned(),
        ));
    }
    if records.len() > ROWS_MAX {
        let message = format!("the text has more than {ROWS_MAX} rows");
        return Err(Fault::new(IssueKind::TooMany, message));
    }
    let rows = records.map(|record| read_record(&header.fields, &record));
    Ok(Rows(rows.collect()))
}

/// Reads a record of CSV as an object. An empty value is absent, and digits are a number where one is expected.
fn read_record<T: BulkRow>(header: &[String], record: &Record) -> Row<T> {
    let value = |name: &str, text: &str| match text.parse::<i64>() {
        Ok(number) if T::NUMBERS.contains(&name) => number.into(),
        _ => Value::from(text),
    };
    let cells = header.iter().zip(&record.fields);
    let members: Map<String, Value> = cells
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.clone(), value(name, text)))
        .collect();
    let row = Row::read(&members, &format!("line {}, column ", record.line));
    if record.fields.len() <= header.len() {
        return row;
    }
    let (count, expected) = (record.fields.len(), header.len());
    let message = format!("the line has {count} values, and the first line has {expected}");
    let fault = Fault::new(IssueKind::InvalidFormat, message);
    Row {
        values: Err(fault.at(format!("line {}", record.line), None).into()),
        ..row
    }
}

string_enum! {
    /// The outcome of a row.
    RowOutcome {
        /// It was recorded.
        Done = "done",
        /// Everything was as the row says.
        Unchanged = "unchanged",
        /// It was refused, and nothing was changed for it.
        Refused = "refused",
    }
}

/// The response to a bulk request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkReply {
    /// The outcomes, in the order of the rows.
    pub data: Vec<RowReply>,
}

/// The outcome of one row.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowReply {
    /// The vehicle or order; null if the row has none.
    pub id: Option<String>,
    pub outcome: RowOutcome,
    /// Set if and only if the row was refused.
    pub error: Option<RowError>,
}

/// The reason why a row was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowError {
    /// A code of the error catalogue.
    pub code: &'static str,
    pub message: String,
    #[schema(value_type = Object)]
    pub details: Map<String, Value>,
}

impl RowError {
    /// Returns the reason in one line: all issues with their places, or the message.
    pub(crate) fn summary(&self) -> String {
        let Some(issues) = self.details.get("issues").and_then(Value::as_array) else {
            return self.message.clone();
        };
        let text = |issue: &Value| {
            let member = |name| issue.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}: {}", member("path"), member("message"))
        };
        issues.iter().map(text).collect::<Vec<_>>().join("; ")
    }
}

impl RowReply {
    /// Returns the outcome of a row. A failure of the service is none, and ends the request.
    pub(crate) fn of(
        id: Option<String>,
        effect: Result<Effect, ApiError>,
    ) -> Result<Self, ApiError> {
        let (outcome, error) = match effect {
            Ok(Effect::Done) => (RowOutcome::Done, None),
            Ok(Effect::Unchanged) => (RowOutcome::Unchanged, None),
            Err(error) if error.status().is_server_error() => return Err(error),
            Err(error) => {
                let error = RowError {
                    code: error.code().as_str(),
                    message: error.to_string(),
                    details: error.details(),
                };
                (RowOutcome::Refused, Some(error))
            }
        };
        Ok(Self { id, outcome, error })
    }
}

/// Records rows as [`record_all`] does, and binds the key to the outcomes.
///
/// The key is bound last, because rows that are recorded stay so if a later one fails. A request that is sent again
/// finds them unchanged.
pub(crate) async fn record_rows<T: BulkRow>(
    database: &Database,
    actor: &Actor,
    rows: Rows<T>,
    pending: PendingWrite,
) -> Result<Response, ApiError> {
    if let Some(answer) = pending.find_answer().await? {
        return Ok(answer);
    }
    let data = record_all(database, actor, rows).await?;
    answer(pending, BulkReply { data }).await
}

/// Records rows one after the other, each in a transaction of its own. Returns their outcomes.
pub(crate) async fn record_all<T: BulkRow>(
    database: &Database,
    actor: &Actor,
    rows: Rows<T>,
) -> Result<Vec<RowReply>, ApiError> {
    let mut outcomes = Vec::with_capacity(rows.0.len());
    for row in rows.0 {
        let effect = match row.values {
            Ok(values) => values.record(database, actor).await,
            Err(issues) => Err(issues.into()),
        };
        outcomes.push(RowReply::of(row.id, effect)?);
    }
    Ok(outcomes)
}

/// Binds the key to the outcomes of recorded rows.
pub(crate) async fn answer(pending: PendingWrite, reply: BulkReply) -> Result<Response, ApiError> {
    match pending.bind(None).await? {
        Binding::Bound(write) => write.commit(Reply::json(StatusCode::OK, &reply)?).await,
        Binding::Answered(answer) => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Bid(String, Option<i64>);

    impl FromBody for Bid {
        fn from_body(fields: &mut Fields<'_>) -> Option<Self> {
            let id = fields.text("vehicle_id");
            let price = fields.optional_integer_in("price_usd", 1..=100);
            Some(Self(id?, price))
        }
    }

    impl BulkRow for Bid {
        const LIST: &'static str = "results";
        const ID: &'static str = "vehicle_id";
        const MEMBERS: &'static [&'static str] = &["price_usd"];
        const NUMBERS: &'static [&'static str] = &["price_usd"];

        async fn record(self, _: &Database, _: &Actor) -> Result<Effect, ApiError> {
            Ok(Effect::Unchanged)
        }
    }

    /// The id of a row, and its values or the paths of its issues.
    type ReadRow = (Option<String>, Result<Bid, Vec<String>>);

    fn read(text: &str) -> Vec<ReadRow> {
        let rows = read_csv::<Bid>(text).unwrap().0.into_iter();
        let paths = |issues: Issues| issues.all().iter().map(|it| it.path.clone()).collect();
        rows.map(|it| (it.id, it.values.map_err(paths))).collect()
    }

    #[test]
    fn wrong_row_of_csv_is_named_by_line_and_column_and_the_others_are_read() {
        let rows = read("note,price_usd,vehicle_id\n,7,a\n,x,b\n,,c\n,1,\n,1,d,e\n");
        let id = |id: &str| Some(id.to_owned());
        let wrong = |path: &str| Err(vec![path.to_owned()]);
        let expected = [
            (id("a"), Ok(Bid("a".to_owned(), Some(7)))),
            (id("b"), wrong("line 3, column price_usd")),
            (id("c"), Ok(Bid("c".to_owned(), None))),
            (None, wrong("line 5, column vehicle_id")),
            (id("d"), wrong("line 6")),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn csv_needs_a_header_and_rows() {
        let many = format!("vehicle_id\n{}", "a\n".repeat(ROWS_MAX + 1));
        for text in [
            "",
            "a,1",
            "vehicle_id,price_usd",
            "vehicle_id,vehicle_id\na,b",
            &many,
        ] {
            assert!(read_csv::<Bid>(text).is_err(), "{text:.20}");
        }
    }
}
