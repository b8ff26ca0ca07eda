//! Errors as data, in three forms.

mod catalogue;
mod forms;
mod handler;
mod reached;
