//! [`Deprecations`]: the operations that the settings deprecate, and the layer that notes it in the request's context.
//!
//! The context adds the headers to every response, also if a layer further inside refuses the request. A response of
//! load shedding has none, because the route is not known before.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};

use crate::{
    config::Deprecation,
    request::{DeprecatedOperation, RequestContext},
};

/// The deprecated operations, each with its method and its route.
#[derive(Debug, Clone)]
pub(crate) struct Deprecations(Arc<[(Method, String, Arc<DeprecatedOperation>)]>);

impl Deprecations {
    /// Finds the deprecated ones of `operations`, which are ids with methods and routes. `None` if there are none.
    pub(crate) fn of<'a>(
        operations: impl Iterator<Item = (&'a str, Method, &'a str)>,
        deprecations: &BTreeMap<String, Deprecation>,
    ) -> Option<Self> {
        let deprecated = operations.filter_map(|(id, method, route)| {
            let operation = DeprecatedOperation {
                id: id.to_owned(),
                headers: headers(deprecations.get(id)?),
            };
            Some((method, route.to_owned(), Arc::new(operation)))
        });
        let deprecated: Arc<[_]> = deprecated.collect();
        (!deprecated.is_empty()).then_some(Self(deprecated))
    }

    /// Returns the operation of a request if it is deprecated. GET also serves HEAD.
    fn find(&self, request: &Request) -> Option<&Arc<DeprecatedOperation>> {
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        let is_head = request.method() == Method::HEAD;
        let mut operations = self.0.iter();
        let found = operations.find(|(method, route, _)| {
            let is_method = request.method() == method || (is_head && *method == Method::GET);
            is_method && route == path
        });
        found.map(|(_, _, operation)| operation)
    }
}

/// Returns the headers of a deprecation.
fn headers(deprecation: &Deprecation) -> HeaderMap {
    let texts = deprecation.headers().into_iter();
    // Names, times and URLs are ASCII, so every text is valid.
    let headers = texts.filter_map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    headers.collect()
}

/// Stores in the context that the operation of a request is deprecated.
pub(crate) async fn note_deprecated(
    State(deprecations): State<Deprecations>,
    context: RequestContext,
    request: Request,
    next: Next,
) -> Response {
    if let Some(operation) = deprecations.find(&request) {
        context.set_deprecated(operation.clone());
    }
    next.run(request).await
}
