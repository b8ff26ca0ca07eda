//! Pages as responses: their headers, the page of an error, and the files that pages load.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::frame::{Frame, Row};
use crate::{
    errors::ApiError,
    http::{
        cursor::Cursors,
        etag::{Conditional, Tagged},
    },
    middleware::request_context::IsPage,
    request::RequestContext,
    values::id::RequestId,
};

/// The files that pages load: path, media type and text.
const FILES: [(&str, &str, &str); 3] = [
    (
        "/console.css",
        "text/css; charset=utf-8",
        include_str!("../../templates/console.css"),
    ),
    (
        "/console.js",
        "text/javascript; charset=utf-8",
        include_str!("../../templates/console.js"),
    ),
    (
        "/console.svg",
        "image/svg+xml",
        include_str!("../../templates/console.svg"),
    ),
];
/// Nothing is loaded from elsewhere, and no text of a page is a script or a style.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// A file that pages load, which is a route of its own.
#[derive(Debug)]
pub(crate) struct File {
    /// The path of the route.
    pub(crate) path: &'static str,
    bytes: Tagged,
}

impl File {
    /// Responds with the file.
    pub(crate) fn answer(&self, conditional: &Conditional) -> Response {
        conditional.answer_tagged(&self.bytes)
    }
}

/// Returns the files that pages load.
pub(crate) fn files() -> impl Iterator<Item = File> {
    FILES.into_iter().map(|(path, media_type, text)| File {
        path,
        bytes: Tagged::typed(Bytes::from_static(text.as_bytes()), media_type),
    })
}

/// Responds with a page.
pub(crate) fn show(page: &impl Template) -> Result<Response, ApiError> {
    let text = page.render().map_err(ApiError::internal)?;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, html)], text).into_response())
}

/// Redirects to a page of the console.
pub(crate) fn redirect(path: &str) -> Response {
    // A path that is no header value was not made here.
    let location = HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Returns whether text is the path of a page of this listener, so that no form and no link leads elsewhere.
pub(crate) fn is_local(path: &str) -> bool {
    let after = path.strip_prefix('/');
    after.is_some_and(|it| !it.starts_with(['/', '\\']))
        && !path.chars().any(|it| it.is_control() || !it.is_ascii())
}

/// The page of an error.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: &'a Frame,
    message: String,
    issues: Vec<Row>,
    code: &'a str,
    request_id: RequestId,
    back: String,
    /// Whether the service failed, so that trying again may help.
    is_failure: bool,
}

/// Completes the response to a request of the console: renders errors as pages, and adds the headers of pages.
///
/// It is the outermost layer of the console. A request without a session is led to the sign-in page.
pub(crate) async fn finish(
    State(cursors): State<Cursors>,
    context: RequestContext,
    mut request: Request,
    next: Next,
) -> Response {
    context.note_route(request.extensions());
    if request.method() == Method::GET {
        drop_empty_parameters(request.uri_mut());
    }
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let headers = request.headers().clone();
    let mut response = next.run(request).await;
    let error = response.extensions().get::<Arc<ApiError>>().cloned();
    let page = error.as_ref().map(|error| {
        let page = Frame::of(&headers, &uri, &context, &cursors);
        let back = former_page(&headers);
        error_page(&page, (&method, back), error, context.id())
    });
    let is_page = !matches!(page, Some(None));
    if let Some(Some(rendered)) = page {
        let (parts, body) = rendered.into_parts();
        *response.status_mut() = parts.status;
        *response.body_mut() = body;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().extend(parts.headers);
    }
    if is_page {
        response.extensions_mut().insert(IsPage);
    }
    if response.status().is_redirection() {
        // A page that leads to the sign-in page is no failure.
        response.extensions_mut().remove::<Arc<ApiError>>();
    }
    let added = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let added = added.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(added);
    response
}

/// Returns the page of an error, or `None` if it cannot be rendered.
fn error_page(
    page: &Frame,
    (method, back): (&Method, String),
    error: &ApiError,
    request_id: RequestId,
) -> Option<Response> {
    let needs_session = matches!(
        error,
        ApiError::MissingOperatorToken | ApiError::InvalidOperatorToken(_)
    );
    if needs_session {
        let then = match *method {
            Method::GET => page.path.as_str(),
            _ => "/",
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("then", then);
        return Some(redirect(&format!("/sign-in?{}", query.finish())));
    }
    let details = Row::new(&error.details()).ok()?;
    let shown = ErrorPage {
        page,
        message: error.to_string(),
        issues: details.rows("/issues"),
        code: error.code().as_str(),
        request_id,
        back,
        is_failure: error.status().is_server_error(),
    };
    let mut response = show(&shown).ok()?;
    *response.status_mut() = error.status();
    Some(response)
}

/// Returns the path of the page that a request came from.
fn former_page(headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|it| it.to_str().ok());
    let uri: Option<Uri> = referer.and_then(|it| it.parse().ok());
    let path = uri.and_then(|it| it.path_and_query().map(ToString::to_string));
    path.filter(|it| is_local(it))
        .unwrap_or_else(|| "/".to_owned())
}

/// Drops the parameters of a query that are empty: a form also sends the fields that were not filled in.
fn drop_empty_parameters(uri: &mut Uri) {
    let Some(query) = uri.query() else { return };
    let parameters = form_urlencoded::parse(query.as_bytes());
    let mut kept = form_urlencoded::Serializer::new(String::new());
    kept.extend_pairs(parameters.filter(|(_, value)| !value.is_empty()));
    let path = match kept.finish() {
        query if query.is_empty() => uri.path().to_owned(),
        query => format!("{}?{query}", uri.path()),
    };
    // The path is that of a URI already.
    if let Ok(kept) = path.parse() {
        *uri = kept;
    }
}

/// The page of a form that does not belong to the session.
#[derive(Template)]
#[template(path = "stale.html")]
struct StalePage<'a> {
    page: &'a Frame,
}

/// Refuses a form that does not belong to the session: another site may have sent it.
pub(crate) fn refuse_form(page: &Frame) -> Result<Response, ApiError> {
    let mut response = show(&StalePage { page })?;
    *response.status_mut() = StatusCode::FORBIDDEN;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_listener_are_local() {
        for path in ["/", "/orders?status=proceed&q=a%20b", "/orders/ord_1#steps"] {
            assert!(is_local(path), "{path}");
        }
        for path in [
            "",
            "orders",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\n/x",
        ] {
            assert!(!is_local(path), "{path:?}");
        }
    }

    #[test]
    fn empty_parameters_are_dropped() {
        for (sent, kept) in [
            ("/orders", "/orders"),
            ("/orders?q=&status=", "/orders"),
            (
                "/orders?q=&status=a&status=b&x=%20",
                "/orders?status=a&status=b&x=+",
            ),
        ] {
            let mut uri = sent.parse().unwrap();
            drop_empty_parameters(&mut uri);
            assert_eq!(uri.to_string(), kept);
        }
    }
}
