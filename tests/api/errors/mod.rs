//! Errors in three forms.

mod forms;
mod handler;
