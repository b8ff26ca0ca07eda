//! The catalogue's search: every filter, sort and page is answered from memory.
//!
//! An [`Index`] holds what can be searched of every listed vehicle: a bitmap of vehicles for each [`Term`](terms::Kind)
//! ([`terms`]), and for each number its values and the vehicles sorted by them ([`column`](mod@column)). It never changes; changed
//! vehicles are merged into a new one that shares all that is the same. [`query`] finds pages and counts; [`sync`] keeps
//! the index up with the database.

mod column;
mod index;
mod merge;
mod plan;
mod query;
mod sync;
mod terms;
mod texts;

pub(crate) use index::{Builder, Entry, Index};
pub(crate) use merge::Change;
pub(crate) use query::{Place, Query};
pub(crate) use sync::Catalogue;
pub(crate) use terms::Kind;
