//! `/sign-in`, `/sign-out` and `/language`: begins and ends a session, and chooses the language.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    forms::{Form, read_body},
    frame::Frame,
    language::{LANGUAGE_COOKIE, Language},
    pages::{is_local, redirect, refuse_form, show},
    session::{self, SESSION_COOKIE, SESSION_HOURS},
};
use crate::{
    config::Settings,
    database::{Database, Heartbeat},
    errors::ApiError,
    http::{
        cursor::Cursors,
        extract::{FromQuery, Params, Query},
    },
    operator::authentication::OperatorTokens,
    operators::model::read_token,
    request::RequestContext,
    values::string_enum::StringEnum,
};

/// The time for which a browser keeps the chosen language, in seconds: a year.
const LANGUAGE_SECONDS: i64 = 31_536_000;

/// The sign-in page.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    page: &'a Frame,
    then: &'a str,
    is_refused: bool,
}

/// The page that follows, and the language.
#[derive(Debug)]
pub(crate) struct Continue {
    then: String,
    to: Option<Language>,
}

impl FromQuery for Continue {
    fn from_query(params: &mut Params) -> Option<Self> {
        let then = params.text("then").filter(|it| is_local(it));
        Some(Self {
            then: then.unwrap_or_else(|| "/".to_owned()),
            to: params.text("to").and_then(|it| Language::parse(&it)),
        })
    }
}

/// Shows the sign-in page.
pub(crate) async fn show_sign_in(
    page: Frame,
    Query(query): Query<Continue>,
) -> Result<Response, ApiError> {
    show(&SignInPage {
        page: &page,
        then: &query.then,
        is_refused: false,
    })
}

/// Begins a session for the operator whose token was entered.
///
/// The form belongs to no session yet, so it is accepted only from this site's pages, which browsers state.
pub(crate) async fn sign_in(
    page: Frame,
    State(database): State<Database>,
    State(heartbeat): State<Heartbeat>,
    State(cursors): State<Cursors>,
    State(settings): State<Arc<Settings>>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let site = parts.headers.get("sec-fetch-site");
    if site.is_some_and(|it| it != "same-origin" && it != "none") {
        return refuse_form(&page);
    }
    let form = Form::read(&read_body(body, &context, &settings).await?);
    let then = Some(form.get("_then")).filter(|it| is_local(it));
    let then = then.unwrap_or("/");
    let token = form.get("token").trim();
    let is_accepted = match read_token(token) {
        None => false,
        Some(digest) => match OperatorTokens::new(database).find(digest).await {
            Ok(_) => true,
            Err(ApiError::InvalidOperatorToken(_)) => false,
            Err(error) => return Err(error),
        },
    };
    if !is_accepted {
        let mut response = show(&SignInPage {
            page: &page,
            then,
            is_refused: true,
        })?;
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    }
    let value = session::seal(&cursors, token, heartbeat.time());
    let is_secure = is_by_tls(&settings, &parts.headers);
    let cookie = cookie(SESSION_COOKIE, &value, SESSION_HOURS * 3_600, is_secure)?;
    Ok(with_cookie(redirect(then), cookie))
}

/// Ends the session in this browser.
pub(crate) async fn sign_out(
    page: Frame,
    State(cursors): State<Cursors>,
    State(settings): State<Arc<Settings>>,
    context: RequestContext,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let form = Form::read(&read_body(body, &context, &settings).await?);
    let session = session::cookie(&parts.headers, SESSION_COOKIE).unwrap_or_default();
    if !session::is_form_of(&cursors, session, form.get("_form")) {
        return refuse_form(&page);
    }
    let is_secure = is_by_tls(&settings, &parts.headers);
    let cookie = cookie(SESSION_COOKIE, "", 0, is_secure)?;
    Ok(with_cookie(redirect("/sign-in"), cookie))
}

/// Chooses the language of the pages in this browser.
pub(crate) async fn choose_language(
    State(settings): State<Arc<Settings>>,
    headers: HeaderMap,
    Query(query): Query<Continue>,
) -> Result<Response, ApiError> {
    let language = query.to.unwrap_or_else(|| Language::of(&headers));
    let is_secure = is_by_tls(&settings, &headers);
    let cookie = cookie(
        LANGUAGE_COOKIE,
        language.as_str(),
        LANGUAGE_SECONDS,
        is_secure,
    )?;
    Ok(with_cookie(redirect(&query.then), cookie))
}

/// Returns whether a request came by TLS: to the listener, or to a proxy in front of it that says so.
fn is_by_tls(settings: &Settings, headers: &HeaderMap) -> bool {
    let protocol = headers.get("x-forwarded-proto");
    settings.operator.tls.is_some() || protocol.is_some_and(|it| it == "https")
}

/// Returns the header that sets a cookie, which no script reads and no other site sends; a secure one is sent only by
/// TLS.
fn cookie(name: &str, value: &str, seconds: i64, is_secure: bool) -> Result<HeaderValue, ApiError> {
    let secure = match is_secure {
        true => "; Secure",
        false => "",
    };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).map_err(ApiError::internal)
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
