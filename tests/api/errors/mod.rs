//! Errors in their three forms, and the error catalogue.

mod catalogue;
mod forms;
mod handler;
mod reached;
