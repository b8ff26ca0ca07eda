//! Comma-separated values (RFC 4180).

/// The byte order mark, which spreadsheets write before the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A record of a CSV text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The number of the line on which it begins, counted from 1.
    pub line: usize,
    /// The fields.
    pub fields: Vec<String>,
}

/// The reason why a text is not CSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCsv {
    /// A field begins with a double quote and has none at its end.
    #[error("line {0}: a value in double quotes is not closed")]
    Unclosed(usize),
    /// Text follows the closing quote of a field.
    #[error("line {0}: a value in double quotes is followed by other text than a comma")]
    TextAfterQuotes(usize),
}

/// Reads the records of a text.
///
/// A byte order mark, CRLF, empty lines and a last line without an end are accepted. White space around an unquoted
/// field does not count.
pub(crate) fn read(text: &str) -> Result<Vec<Record>, InvalidCsv> {
    let mut rest = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let (mut records, mut line) = (Vec::new(), 1);
    while !rest.is_empty() {
        let (record, lines, after) = read_record(rest, line)?;
        if record.fields != [""] {
            records.push(record);
        }
        line += lines;
        rest = after;
    }
    Ok(records)
}

/// Reads one record. Returns it, the number of its lines, and the text after it.
fn read_record(text: &str, line: usize) -> Result<(Record, usize, &str), InvalidCsv> {
    let (mut fields, mut lines, mut rest) = (Vec::new(), 0, text);
    loop {
        let (field, after) = match rest.trim_start_matches([' ', '\t']).strip_prefix('"') {
            Some(quoted) => {
                let quoted = read_quoted(quoted).ok_or(InvalidCsv::Unclosed(line + lines))?;
                lines += quoted.0.matches('\n').count();
                quoted
            }
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                (field.trim().to_owned(), after)
            }
        };
        fields.push(field);
        let after = after.trim_start_matches([' ', '\t', '\r']);
        if let Some(next) = after.strip_prefix(',') {
            rest = next;
            continue;
        }
        let next = match after.strip_prefix('\n') {
            Some(next) => next,
            None if after.is_empty() => after,
            None => return Err(InvalidCsv::TextAfterQuotes(line + lines)),
        };
        return Ok((Record { line, fields }, lines + 1, next));
    }
}

/// Reads a field after its opening quote. Returns it and the text after the closing quote.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        let Some(after) = after.strip_prefix('"') else {
            return Some((field, after));
        };
        field.push('"');
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<(usize, Vec<String>)> {
        let records = read(text).unwrap().into_iter();
        records.map(|it| (it.line, it.fields)).collect()
    }

    fn record(line: usize, fields: &[&str]) -> (usize, Vec<String>) {
        let fields = fields.iter().map(|it| (*it).to_owned());
        (line, fields.collect())
    }

    #[test]
    fn records_are_read_with_the_numbers_of_their_lines() {
        let text = "\u{feff}a,b\r\n1, 2 \r\n\r\n\"x, \"\"y\"\"\nz\", \"\"\n,\nlast";
        let expected = [
            record(1, &["a", "b"]),
            record(2, &["1", "2"]),
            record(4, &["x, \"y\"\nz", ""]),
            record(6, &["", ""]),
            record(7, &["last"]),
        ];
        assert_eq!(records(text), expected);
        assert!(records("").is_empty());
        assert!(records("\n \r\n").is_empty());
    }

    #[test]
    fn quotes_must_be_closed_before_the_next_comma() {
        assert_eq!(read("a\n\"b"), Err(InvalidCsv::Unclosed(2)));
        assert_eq!(read("\"a\"b,c"), Err(InvalidCsv::TextAfterQuotes(1)));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "[a,\"\r\n 가]{0,24}") {
            let _ = read(&text);
        }

        #[test]
        fn quoted_fields_are_read_back(fields in proptest::collection::vec("[a,\"\n 가]{1,6}", 2..5)) {
            let quoted: Vec<_> = fields.iter().map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
            proptest::prop_assert_eq!(records(&quoted.join(",")), [(1, fields)]);
        }
    }
}
