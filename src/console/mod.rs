//! The console: pages for LMN's people at `/` of the operator's listener.
//!
//! A page shows what a handler of the operator API responds, and a form is converted to a request of that API: [`forms`]
//! gives it the operator's idempotency key and JSON, and the same handler serves it. So both do the same, with the same
//! refusals. [`session`] accepts the operator, [`pages`] renders errors and adds the headers, [`texts`] and [`words`] hold
//! both languages, and `router/console.rs` lists the routes by role. Templates and styles are in `templates/`.

pub(crate) mod bid_sheet;
pub(crate) mod forms;
mod frame;
pub(crate) mod logs;
pub(crate) mod orders;
pub(crate) mod pages;
pub(crate) mod partners;
pub(crate) mod session;
mod store;
pub mod texts;
pub(crate) mod today;
mod words;
