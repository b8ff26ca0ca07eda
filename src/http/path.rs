//! The identifier in a path.

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
    errors::{ApiError, catalogue::Code},
    values::id::{EventId, OrderId, VehicleId},
};

/// An identifier that can be a path parameter.
pub(crate) trait PathId: Sized {
    /// The parameter's description in the OpenAPI document.
    const WHAT: &str;
    /// The parameter's name in the route.
    const NAME: &str = "id";

    /// Parses the identifier.
    fn read(text: &str) -> Option<Self>;

    /// Returns the error for text that is not a valid identifier.
    fn not_found(text: &str) -> ApiError;
}

impl PathId for OrderId {
    const WHAT: &str = "The order's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_order(text)
    }
}

impl PathId for VehicleId {
    const WHAT: &str = "The vehicle's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_vehicle(text)
    }
}

impl PathId for EventId {
    const WHAT: &str = "The event's id.";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_event(text)
    }
}

impl PathId for Code {
    const WHAT: &str = "The error's code.";
    const NAME: &str = "code";

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn not_found(text: &str) -> ApiError {
        ApiError::no_route(&format!("/v1/errors/{text}"))
    }
}

/// Extractor of the identifier in the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub T);

impl<T: PathId + PartialSchema> IntoParams for Id<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![describe::path::<T>(T::NAME, T::WHAT)]
    }
}

impl<S: Send + Sync, T: PathId> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let mut params = params.iter().flat_map(RawPathParams::iter);
        let found = params.find(|(name, _)| *name == T::NAME);
        let text = found.map_or("", |(_, text)| text);
        T::read(text).map(Self).ok_or_else(|| T::not_found(text))
    }
}
