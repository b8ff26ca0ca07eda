//! [`Reply`]: the response to a write, of which a part is stored under its key.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use crate::{errors::ApiError, values::id::OrderId};

/// The response to a write, and the order that it placed or changed.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 or 201.
    pub status: StatusCode,
    /// The `Location` of what was created.
    pub location: Option<String>,
    /// The order that was placed or changed.
    pub order: Option<OrderId>,
    /// The body to store. It is also sent, unless `shown_once` is set.
    pub body: Bytes,
    /// The body to send this once instead, because it contains a secret that is not stored.
    pub shown_once: Option<Bytes>,
}

impl Reply {
    /// Returns a reply with a JSON body.
    pub(crate) fn json(status: StatusCode, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self {
            status,
            location: None,
            order: None,
            body: body.into(),
            shown_once: None,
        })
    }

    /// Sends another body this once. A replay sends the stored one.
    pub(crate) fn showing(self, view: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(view).map_err(ApiError::internal)?;
        Ok(Self {
            shown_once: Some(body.into()),
            ..self
        })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let body = self.shown_once.unwrap_or(self.body);
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(Ok(location)) = self.location.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
