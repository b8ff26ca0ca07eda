//! Search of the catalogue: filters, sorts and pages are evaluated in memory.
//!
//! An [`Index`] holds the searchable fields of every listed vehicle: a bitmap of vehicles for each search token
//! ([`tokens`]), and for each number its values and the vehicles sorted by them ([`column`](mod@column)). An index is
//! immutable; changed vehicles are merged into a new index, which shares the unchanged parts. [`query`] finds pages and
//! counts for a [`Filter`]; [`sync`] keeps the index up to date with the database.

mod column;
mod filter;
mod index;
mod merge;
mod plan;
mod query;
mod sync;
mod tokens;

pub(crate) use filter::{Condition, Field, Filter, SOURCE, Sort, Used};
pub(crate) use index::{Builder, Index};
pub(crate) use query::{Place, Query};
pub(crate) use sync::Catalogue;
pub(crate) use tokens::{Kind, fold, words};
