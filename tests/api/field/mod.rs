//! Reports of what others met in production, tried on this server; docs/field-reports.md lists them.

mod database;
mod edge;
mod input;
mod reports;
mod webhooks;
