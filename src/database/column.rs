//! Columns: from what a row holds to what the model knows.
//!
//! The schema forbids every value that has no meaning, so meeting one is a bug; the error names the row.

use std::fmt;

use sqlx::{Row, ValueRef, postgres::PgRow};

use crate::{id::VehicleId, money::Usd, word::Word};

/// A value that the schema should have refused.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` has no meaning")]
pub(crate) struct InvalidColumn(String);

impl InvalidColumn {
    /// Names the value.
    pub(crate) fn new(value: impl fmt::Display) -> Self {
        Self(value.to_string())
    }

    /// Names the row that holds it.
    pub(crate) fn in_row(self, table: &str, id: impl fmt::Display) -> sqlx::Error {
        sqlx::Error::Decode(format!("{table} {id}: {self}").into())
    }
}

impl From<InvalidColumn> for sqlx::Error {
    fn from(error: InvalidColumn) -> Self {
        Self::Decode(error.into())
    }
}

/// Reads the version of a row from its `xmin`: every update makes another.
pub(crate) fn row_version(row: &PgRow, at: usize) -> Result<u32, sqlx::Error> {
    let xmin = row.try_get_raw(at)?;
    let bytes = xmin.as_bytes().map_err(sqlx::Error::Decode)?;
    let bytes = bytes.try_into().map_err(|_| InvalidColumn::new("xmin"))?;
    debug_assert!(!xmin.is_null());
    Ok(u32::from_be_bytes(bytes))
}

/// Reads an amount.
pub(crate) fn usd(dollars: i32) -> Result<Usd, InvalidColumn> {
    Usd::new(dollars.into()).ok_or_else(|| InvalidColumn::new(dollars))
}

/// Reads a word.
pub(crate) fn word<W: Word>(text: &str) -> Result<W, InvalidColumn> {
    W::parse(text).ok_or_else(|| InvalidColumn::new(text))
}

/// Reads a word that may be absent.
pub(crate) fn optional_word<W: Word>(text: Option<&str>) -> Result<Option<W>, InvalidColumn> {
    text.map(word).transpose()
}

/// Reads a vehicle's id.
pub(crate) fn vehicle_id(text: &str) -> Result<VehicleId, InvalidColumn> {
    VehicleId::parse(text).ok_or_else(|| InvalidColumn::new(text))
}
