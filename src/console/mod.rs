//! The console: pages for LMN's people at `/` of the operator's listener.
//!
//! A page shows what a handler of the operator API responds, and a form is converted to a request of that API: [`forms`]
//! gives it the operator's idempotency key and JSON, and the same handler serves it. So both do the same, with the same
//! refusals. [`session`] accepts the operator, [`pages`] renders errors and adds the headers, [`texts`] and [`words`] hold
//! both languages, and `router/console.rs` lists the routes by role. Templates and styles are in `templates/`.

pub(crate) mod audit;
pub(crate) mod bid_sheet;
mod charts;
pub(crate) mod forms;
mod frame;
pub mod language;
pub(crate) mod orders;
pub(crate) mod pages;
pub(crate) mod partners;
pub(crate) mod requests;
mod row;
pub(crate) mod session;
pub(crate) mod shipping;
pub(crate) mod sign_in;
mod store;
mod texts;
pub(crate) mod today;
pub(crate) mod webhooks;
mod words;
