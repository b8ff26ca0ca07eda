//! [`Reply`]: what a write answers, and what is kept of it under its key.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use crate::{error::ApiError, id::OrderId};

/// What a write answers, and what it touched.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 or 201.
    pub status: StatusCode,
    /// Where the new thing is.
    pub location: Option<String>,
    /// The order that was touched.
    pub order: Option<OrderId>,
    /// The body, as it is kept, and sent if nothing else is.
    pub body: Bytes,
    /// The body as it is sent this once, because it holds a secret that is not kept.
    pub shown_once: Option<Bytes>,
}

impl Reply {
    /// Makes a reply with a JSON body.
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

    /// Shows something else this once; a replay shows what is kept.
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
