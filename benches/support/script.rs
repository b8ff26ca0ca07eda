//! Makes a script for pgbench of what the server sent: the same statements, word for word, with `:names` for `$n`.
//!
//! Every value must be one that the benchmark knows, so that a change of the server that sends something new stops it.

use std::collections::HashMap;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use super::wire::Sent;

/// Types by their number in `pg_type`.
mod types {
    pub(super) const BYTEA: u32 = 17;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const UUID: u32 = 2950;
}

/// A variable that nobody sets: pgbench sends null for it.
const ABSENT: &str = ":absent";

/// What the benchmark knows: values as PostgreSQL would print them, and what stands for them.
#[derive(Debug, Default)]
pub struct Known(HashMap<String, Stand>);

/// What stands for a value.
#[derive(Debug, Clone)]
enum Stand {
    /// Differs from one transaction to the next: a variable that the script sets, or what is made of one.
    Varying(String),
    /// The same every time: a variable of this name.
    Constant(String),
}

impl Known {
    /// Knows a value that differs: `sql` stands for it.
    pub fn varying(&mut self, value: &(impl ToString + ?Sized), sql: impl Into<String>) {
        self.0.insert(value.to_string(), Stand::Varying(sql.into()));
    }

    /// Knows a value that is sent as it is every time.
    pub fn constant(&mut self, name: impl Into<String>, value: &(impl ToString + ?Sized)) {
        self.0
            .insert(value.to_string(), Stand::Constant(name.into()));
    }
}

/// A script.
#[derive(Debug, Default)]
pub struct Script {
    /// Its text.
    pub text: String,
    /// Variables that are set for all clients.
    pub variables: Vec<(String, String)>,
}

impl Script {
    /// Puts the statements between what is done before and after them.
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
        let mut stands = Vec::new();
        for (n, (kind, value)) in (1..).zip(&sent.values) {
            let Some(value) = value else {
                stands.push(ABSENT.to_owned());
                continue;
            };
            let value = plain(*kind, value).with_context(|| format!("reading ${n}"))?;
            stands.push(match known.0.get(&value) {
                Some(Stand::Varying(sql)) => sql.clone(),
                Some(Stand::Constant(name)) => {
                    let variable = (name.clone(), value);
                    if !self.variables.contains(&variable) {
                        self.variables.push(variable);
                    }
                    format!(":{name}")
                }
                None => {
                    bail!("the benchmark does not know what ${n} is: `{value}`, of type {kind}")
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
            self.text
                .push_str(stands.get(n - 1).context("a number without a value")?);
            rest = after;
        }
        self.text.push_str(rest);
        self.text.push_str(";\n");
        Ok(())
    }
}

/// Returns what follows a mark and could be a name; `::` is a cast and none.
fn names(sql: &str, mark: char) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = sql.split(mark).collect();
    let followed = parts.windows(2).filter_map(|pair| match pair {
        // Between two marks there is nothing.
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

/// Returns a value of the binary format as PostgreSQL would print it.
fn plain(kind: u32, value: &[u8]) -> anyhow::Result<String> {
    Ok(match kind {
        types::TEXT => String::from_utf8(value.to_vec())?,
        types::UUID => Uuid::from_slice(value)?.to_string(),
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

/// Prints a time as values of statements are.
pub fn time<Z: chrono::TimeZone>(time: &DateTime<Z>) -> String {
    time.to_utc()
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// Prints bytes as values of statements are.
pub fn bytes(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once("\\x".to_owned()).chain(digits).collect()
}
