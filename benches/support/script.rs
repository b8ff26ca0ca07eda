//! Makes a script for pgbench of the statements that the server has sent, verbatim, with `:names` for `$n`.
//!
//! Every value must be a known one, so that the benchmark fails when a change of the server adds a new value.

use std::collections::HashMap;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use super::wire::Sent;

/// OIDs of types in `pg_type`.
mod types {
    pub(super) const BYTEA: u32 = 17;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const UUID: u32 = 2950;
    pub(super) const UUID_ARRAY: u32 = 2951;
}

/// A variable that is never set, for which pgbench sends null.
const ABSENT: &str = ":absent";

/// Known values, as PostgreSQL would print them, each with its replacement in the script.
#[derive(Debug, Default)]
pub struct Known(HashMap<String, Replacement>);

/// The replacement of a value.
#[derive(Debug, Clone)]
enum Replacement {
    /// For a value that differs between transactions: a variable that the script sets, or an expression with one.
    Varying(String),
    /// For a value that is the same every time: the name of a variable.
    Constant(String),
}

impl Known {
    /// Adds a value that differs between transactions, to be replaced by `sql`.
    pub fn varying(&mut self, value: &(impl ToString + ?Sized), sql: impl Into<String>) {
        self.0
            .insert(value.to_string(), Replacement::Varying(sql.into()));
    }

    /// Adds a value that is the same in every transaction.
    pub fn constant(&mut self, name: impl Into<String>, value: &(impl ToString + ?Sized)) {
        self.0
            .insert(value.to_string(), Replacement::Constant(name.into()));
    }
}

/// A script.
#[derive(Debug, Default)]
pub struct Script {
    /// The text of the script.
    pub text: String,
    /// Variables that are set for all clients, with their values.
    pub variables: Vec<(String, String)>,
}

impl Script {
    /// Makes a script of statements, with commands before and after them.
    pub fn new(
        before: &str,
        statements: &[Sent],
        known: &Known,
        after: &str,
    ) -> anyhow::Result<Self> {
        let mut script = Self::default();
        script.text.push_str(before);
        for sent in statements {
            script
                .add(sent, known)
                .with_context(|| format!("in the statement {}", sent.sql))?;
        }
        script.text.push_str(after);
        Ok(script)
    }

    fn add(&mut self, sent: &Sent, known: &Known) -> anyhow::Result<()> {
        if let Some(name) = names(&sent.sql, ':').next() {
            bail!("pgbench would take `:{name}` for a variable of its own");
        }
        let mut replacements = Vec::new();
        for (n, (kind, value)) in (1..).zip(&sent.values) {
            let Some(value) = value else {
                replacements.push(ABSENT.to_owned());
                continue;
            };
            let value = plain(*kind, value).with_context(|| format!("reading ${n}"))?;
            replacements.push(match known.0.get(&value) {
                Some(Replacement::Varying(sql)) => sql.clone(),
                Some(Replacement::Constant(name)) => {
                    let variable = (name.clone(), value);
                    if !self.variables.contains(&variable) {
                        self.variables.push(variable);
                    }
                    format!(":{name}")
                }
                None => {
                    bail!("${n} is not a known value: `{value}`, of type {kind}")
                }
            });
        }
        let mut rest = sent.sql.trim();
        while let Some(dollar) = rest.find('$') {
            let (before, after) = rest.split_at(dollar);
            let digits = after[1..].find(|it: char| !it.is_ascii_digit());
            let (n, after) = after[1..].split_at(digits.unwrap_or(after.len() - 1));
            let n: usize = n.parse().context("a dollar without a number")?;
            self.text.push_str(before);
            self.text.push_str(
                replacements
                    .get(n - 1)
                    .context("a number without a value")?,
            );
            rest = after;
        }
        self.text.push_str(rest);
        self.text.push_str(";\n");
        Ok(())
    }
}

/// Returns the names that follow a character; `::` is a cast and not followed by a name.
fn names(sql: &str, prefix: char) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = sql.split(prefix).collect();
    let followed = parts.windows(2).filter_map(|pair| match pair {
        // The part before the second colon of `::` is empty.
        [before, after] if !before.is_empty() => {
            let name: String = after
                .chars()
                .take_while(|it| it.is_alphanumeric() || *it == '_')
                .collect();
            (!name.is_empty()).then_some(name)
        }
        _ => None,
    });
    followed.collect::<Vec<_>>().into_iter()
}

/// Converts a value from the binary format to the text that PostgreSQL would print.
fn plain(kind: u32, value: &[u8]) -> anyhow::Result<String> {
    Ok(match kind {
        types::TEXT => String::from_utf8(value.to_vec())?,
        types::UUID => Uuid::from_slice(value)?.to_string(),
        types::UUID_ARRAY => {
            // A header of five integers, and the length of the one element.
            let [element] = value
                .get(24..)
                .context("an array of no element")?
                .as_chunks::<16>()
                .0
            else {
                bail!("an array of several elements");
            };
            format!("{{{}}}", Uuid::from_bytes(*element))
        }
        types::INT2 => i16::from_be_bytes(value.try_into()?).to_string(),
        types::INT8 => i64::from_be_bytes(value.try_into()?).to_string(),
        types::INT4 => i32::from_be_bytes(value.try_into()?).to_string(),
        types::TIMESTAMPTZ => {
            let since_2000 = TimeDelta::microseconds(i64::from_be_bytes(value.try_into()?));
            let epoch = DateTime::from_timestamp(946_684_800, 0).context("the year 2000")?;
            time(&(epoch + since_2000))
        }
        types::BYTEA => bytes(value),
        other => bail!("the benchmark cannot read a value of type {other}"),
    })
}

/// Formats a time in the form of statement values.
pub fn time<Z: chrono::TimeZone>(time: &DateTime<Z>) -> String {
    time.to_utc()
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Formats bytes in the form of statement values.
pub fn bytes(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("\\x".to_owned()).chain(digits).collect()
}
