//! Paths: the identifier that stands in one.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use utoipa::{
    IntoParams, PartialSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::describe;
use crate::{
    error::ApiError,
    id::{EventId, OrderId, VehicleId},
};

/// An identifier that stands in a path.
pub(crate) trait PathId: Sized {
    /// What it is, for who reads the document.
    const WHAT: &str;

    /// Reads it.
    fn read(text: &str) -> Option<Self>;

    /// Answers for text that cannot be one, and so names nothing.
    fn not_found() -> ApiError;
}

impl PathId for OrderId {
    const WHAT: &str = "The order's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found() -> ApiError {
        ApiError::OrderNotFound
    }
}

impl PathId for VehicleId {
    const WHAT: &str = "The car's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found() -> ApiError {
        ApiError::VehicleNotFound
    }
}

impl PathId for EventId {
    const WHAT: &str = "The event's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found() -> ApiError {
        ApiError::EventNotFound
    }
}

/// Extracts the `{id}` of a path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub T);

impl<T: PathId + PartialSchema> IntoParams for Id<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![describe::path::<T>("id", T::WHAT)]
    }
}

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let mut params = params.iter().flat_map(RawPathParams::iter);
        let text = params.find(|(name, _)| *name == "id").map(|(_, text)| text);
        text.and_then(T::read).map(Self).ok_or_else(T::not_found)
    }
}
