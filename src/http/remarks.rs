//! Remarks: headers that every answer ends with, whatever becomes of the request.
//!
//! A layer remarks on the way in, or as soon as it knows; the shell puts the remarks on the answer, also when the
//! handler was cut off by the deadline or panicked and the layer never sees an answer of its own.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

/// The remarks on the request in hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remarks(Arc<Mutex<HeaderMap>>);

impl Remarks {
    /// Remarks; a later remark of the same name replaces an earlier one.
    pub(crate) fn set(&self, name: &'static str, value: HeaderValue) {
        let mut headers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Puts the remarks on the answer.
pub(crate) async fn add_remarks(mut request: Request, next: Next) -> Response {
    let remarks = Remarks::default();
    request.extensions_mut().insert(remarks.clone());
    let mut response = next.run(request).await;
    let headers = std::mem::take(&mut *remarks.0.lock().unwrap_or_else(PoisonError::into_inner));
    response.headers_mut().extend(headers);
    response
}
