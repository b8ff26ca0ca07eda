//! Reads the lines of a file of any size in bounded memory.

use std::io::{self, BufRead, Read};

/// The largest length of a line, in bytes, without its end.
pub(super) const LINE_BYTES_MAX: usize = 256 * 1024;
/// A byte order mark, which is not part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The longest line end.
const LINE_END: &[u8] = b"\r\n";

/// Reads a file line by line.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    /// Number of the last line that was read, from 1.
    number: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The text of the line, without its end.
    Text(&'a [u8]),
    /// The beginning of a line that is longer than [`LINE_BYTES_MAX`].
    TooLong(&'a [u8]),
}

impl<R: BufRead> Lines<R> {
    /// Creates a reader at the first line of `input`.
    pub(super) fn of(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// Returns the next line that is not blank, and its number.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        loop {
            self.line.clear();
            // One byte more than the longest line, and the bytes that are stripped.
            let bytes = BYTE_ORDER_MARK.len() + LINE_BYTES_MAX + 1 + LINE_END.len();
            let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
            let mut limited = self.input.by_ref().take(limit);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let has_ended = self.line.last() == Some(&b'\n');
            self.strip();
            if self.line.len() > LINE_BYTES_MAX {
                if !has_ended {
                    self.input.skip_until(b'\n')?;
                }
                self.line.truncate(LINE_BYTES_MAX + 1);
                return Ok(Some((self.number, Line::TooLong(&self.line))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, Line::Text(&self.line))));
            }
        }
    }

    /// Removes the line end, and the byte order mark of the file.
    fn strip(&mut self) {
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all lines; a line that is too long is `None`.
    fn read(text: &str) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::of(text.as_bytes());
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            let text = match line {
                Line::Text(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                Line::TooLong(beginning) => {
                    assert_eq!(beginning.len(), LINE_BYTES_MAX + 1);
                    None
                }
            };
            read.push((number, text));
        }
        read
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        let line = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(read(""), []);
        assert_eq!(read("a"), [line(1, "a")]);
        assert_eq!(read("a\n\n \r\nb\n"), [line(1, "a"), line(4, "b")]);
    }

    #[test]
    fn byte_order_mark_and_line_ends_are_not_part_of_a_line() {
        let line = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(
            read("\u{feff}a\r\nb\r\n\r\nc"),
            [line(1, "a"), line(2, "b"), line(4, "c")]
        );
        assert_eq!(read("\u{feff}\r\na\r"), [line(2, "a")]);
        assert_eq!(read("\u{feff}"), []);
        assert_eq!(read("a\n\u{feff}b"), [line(1, "a"), line(2, "\u{feff}b")]);
        let fits = "x".repeat(LINE_BYTES_MAX);
        let text = format!("\u{feff}{fits}\r\n{fits}\r\n{fits}y\r\n{fits}\r\r\n{fits}\r");
        let fits = Some(fits);
        let expected = [
            (1, fits.clone()),
            (2, fits.clone()),
            (3, None),
            (4, None),
            (5, fits),
        ];
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn line_that_is_too_long_is_skipped_completely() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        let text = format!("{fits}\n{fits}y\nz\n{fits}{fits}{fits}");
        let expected = [(1, Some(fits)), (2, None), (3, Some("z".into())), (4, None)];
        assert_eq!(read(&text), expected);
    }
}
