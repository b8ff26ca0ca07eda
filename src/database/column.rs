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

/// Returns the version of a row, from its `xmin` at column `at`. Every update changes it.
pub(crate) fn row_version(row: &PgRow, at: usize) -> Result<u32, sqlx::Error> {
    let xmin = row.try_get_raw(at)?;
    let bytes = xmin.as_bytes().map_err(sqlx::Error::Decode)?;
    let bytes = bytes.try_into().map_err(|_| InvalidColumn::new("xmin"))?;
    debug_assert!(!xmin.is_null());
    Ok(u32::from_be_bytes(bytes))
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
