//! Conversions from the columns of a row to values of the model.
//!
//! The schema forbids values that the model cannot represent, so finding one is a bug. The error names the value, and
//! the row if it is known.

use std::fmt;

use sqlx::{Row, ValueRef, postgres::PgRow};

use crate::values::{id::VehicleId, money::Usd, string_enum::StringEnum};

/// A column value that the model cannot represent.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a valid value")]
pub(crate) struct InvalidColumn(String);

impl InvalidColumn {
    /// Makes the error for `value`.
    pub(crate) fn new(value: impl fmt::Display) -> Self {
        Self(value.to_string())
    }

    /// Turns this into a decode error that names the row.
    pub(crate) fn in_row(self, table: &str, id: impl fmt::Display) -> sqlx::Error {
        sqlx::Error::Decode(format!("{table} {id}: {self}").into())
    }
}

impl From<InvalidColumn> for sqlx::Error {
    fn from(error: InvalidColumn) -> Self {
        Self::Decode(error.into())
    }
}

/// The place of a row in its table (`ctid`), which every update changes.
///
/// It finds the row without an index. After the table was rewritten, it may be the place of another row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tid {
    block: u32,
    offset: u16,
}

impl Tid {
    /// Reads `ctid` at column `at`.
    pub(crate) fn read(row: &PgRow, at: usize) -> Result<Self, sqlx::Error> {
        let [a, b, c, d, e, f] = system_column(row, at)?;
        Ok(Self {
            block: u32::from_be_bytes([a, b, c, d]),
            offset: u16::from_be_bytes([e, f]),
        })
    }
}

impl fmt::Display for Tid {
    /// Writes the text form of PostgreSQL's type `tid`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block, self.offset)
    }
}

/// Returns the version of a row, from its `xmin` at column `at`. Every update changes it.
pub(crate) fn row_version(row: &PgRow, at: usize) -> Result<u32, sqlx::Error> {
    Ok(u32::from_be_bytes(system_column(row, at)?))
}

/// Returns the bytes of a column whose type sqlx does not support.
fn system_column<const N: usize>(row: &PgRow, at: usize) -> Result<[u8; N], sqlx::Error> {
    let value = row.try_get_raw(at)?;
    debug_assert!(!value.is_null());
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    let bytes = bytes.try_into();
    Ok(bytes.map_err(|_| InvalidColumn::new("a system column"))?)
}

/// Converts an amount in dollars.
pub(crate) fn usd(dollars: i32) -> Result<Usd, InvalidColumn> {
    Usd::new(dollars.into()).ok_or_else(|| InvalidColumn::new(dollars))
}

/// Parses a value of a string enum.
pub(crate) fn word<W: StringEnum>(text: &str) -> Result<W, InvalidColumn> {
    W::parse(text).ok_or_else(|| InvalidColumn::new(text))
}

/// Parses a value of a string enum that may be null.
pub(crate) fn optional_word<W: StringEnum>(text: Option<&str>) -> Result<Option<W>, InvalidColumn> {
    text.map(word).transpose()
}

/// Parses a vehicle id.
pub(crate) fn vehicle_id(text: &str) -> Result<VehicleId, InvalidColumn> {
    VehicleId::parse(text).ok_or_else(|| InvalidColumn::new(text))
}
