//! Sessions of the console: a cookie with the operator's token, encrypted with the deployment's key, and the tokens of
//! forms. `/sign-in`, `/sign-out` and `/language` begin and end a session, and choose the language.
//!
//! Nothing about a session is stored. The cookie alone reveals no token, and the database alone, which holds the key but only
//! digests of tokens, signs nobody in. Every request reads the operator anew, as the operator API does, so a revoked token
//! ends its sessions at once.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::Mac;
use uuid::Uuid;

use super::{
    forms::{Form, read_body},
    frame::Frame,
    pages::{is_local, redirect, refuse_form, show},
    texts::{LANGUAGE_COOKIE, Language},
};
use crate::{
    config::Settings,
    database::{Database, Heartbeat},
    errors::ApiError,
    http::{
        cursor::Cursors,
        extract::{FromQuery, Params, Query},
    },
    middleware::admission::{Policy, Verdict},
    operator::authentication::OperatorTokens,
    operators::model::read_token,
    request::RequestContext,
    values::string_enum::StringEnum,
};

/// The cookie of a session.
pub(crate) const SESSION_COOKIE: &str = "lmn_session";
/// The time after which an operator signs in again, in hours.
pub(crate) const SESSION_HOURS: i64 = 12;

/// The purposes of keys that are derived from the deployment's key.
const KEY_STREAM: &str = "console key stream";
const TAG: &str = "console session";
const FORM: &str = "console form";

/// Length of the nonce, in bytes.
const NONCE_BYTES: usize = 16;
/// Length of the time of expiry, in bytes.
const EXPIRY_BYTES: usize = 8;
/// Length of the authentication tag, in bytes.
const TAG_BYTES: usize = 32;

/// Returns a value of the cookie for a token, which is accepted until [`SESSION_HOURS`] after `now`.
pub(crate) fn seal(cursors: &Cursors, token: &str, now: DateTime<Utc>) -> String {
    let expires_at = (now + TimeDelta::hours(SESSION_HOURS)).timestamp();
    let mut bytes = Uuid::new_v4().as_bytes().to_vec();
    bytes.extend(expires_at.to_be_bytes());
    let encrypted = apply_key_stream(cursors, &bytes, token.as_bytes());
    bytes.extend(encrypted);
    let mut mac = cursors.mac(TAG);
    mac.update(&bytes);
    bytes.extend(mac.finalize().into_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the token in a value of the cookie; `None` if this deployment did not make it, or it has expired at `now`.
fn open(cursors: &Cursors, cookie: &str, now: DateTime<Utc>) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
    let (sealed, tag) = bytes.split_last_chunk::<TAG_BYTES>()?;
    let mut mac = cursors.mac(TAG);
    mac.update(sealed);
    mac.verify_slice(tag).ok()?;
    let (head, encrypted) = sealed.split_at_checked(NONCE_BYTES + EXPIRY_BYTES)?;
    let expires_at = i64::from_be_bytes(*head.last_chunk::<EXPIRY_BYTES>()?);
    if expires_at <= now.timestamp() {
        return None;
    }
    String::from_utf8(apply_key_stream(cursors, head, encrypted)).ok()
}

/// Encrypts or decrypts text by the key stream that belongs to a nonce. The stream has more bytes than a token.
fn apply_key_stream(cursors: &Cursors, nonce: &[u8], text: &[u8]) -> Vec<u8> {
    let block = |n: u8| {
        let mut mac = cursors.mac(KEY_STREAM);
        mac.update(nonce);
        mac.update(&[n]);
        mac.finalize().into_bytes()
    };
    let stream = (0..4).flat_map(block);
    let bytes = text.iter().zip(stream);
    bytes.map(|(byte, key)| byte ^ key).collect()
}

/// Returns the token of forms on the pages of a session.
pub(crate) fn form_token(cursors: &Cursors, session: &str) -> String {
    let mut mac = cursors.mac(FORM);
    mac.update(session.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Returns whether a form has the token of its session. The comparison takes constant time.
pub(crate) fn is_form_of(cursors: &Cursors, session: &str, token: &str) -> bool {
    let Ok(tag) = URL_SAFE_NO_PAD.decode(token) else {
        return false;
    };
    let mut mac = cursors.mac(FORM);
    mac.update(session.as_bytes());
    mac.verify_slice(&tag).is_ok()
}

/// Returns the value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The policy of pages that need a session. It does for a cookie what [`OperatorTokens`] does for a token.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    cursors: Cursors,
    heartbeat: Heartbeat,
    tokens: OperatorTokens,
}

impl Sessions {
    /// Creates the policy.
    pub(crate) fn new(cursors: Cursors, heartbeat: Heartbeat, tokens: OperatorTokens) -> Self {
        Self {
            cursors,
            heartbeat,
            tokens,
        }
    }
}

impl Policy for Sessions {
    fn admit(&self, request: &Request, context: &RequestContext) -> Verdict {
        let now = self.heartbeat.time();
        let session = cookie(request.headers(), SESSION_COOKIE);
        let token = session.and_then(|it| open(&self.cursors, it, now));
        let Some(digest) = token.and_then(|it| read_token(&it)) else {
            return Verdict::Refuse(ApiError::MissingOperatorToken);
        };
        let (tokens, context) = (self.tokens.clone(), context.clone());
        Verdict::Wait(Box::pin(async move {
            let operator = tokens.find(digest).await?;
            context.set_operator(Arc::new(operator));
            Ok(())
        }))
    }
}

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
    let value = seal(&cursors, token, heartbeat.time());
    let is_secure = is_by_tls(&settings, &parts.headers);
    let cookie = set_cookie(SESSION_COOKIE, &value, SESSION_HOURS * 3_600, is_secure)?;
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
    let session = cookie(&parts.headers, SESSION_COOKIE).unwrap_or_default();
    if !is_form_of(&cursors, session, form.get("_form")) {
        return refuse_form(&page);
    }
    let is_secure = is_by_tls(&settings, &parts.headers);
    let cookie = set_cookie(SESSION_COOKIE, "", 0, is_secure)?;
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
    let cookie = set_cookie(
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
fn set_cookie(
    name: &str,
    value: &str,
    seconds: i64,
    is_secure: bool,
) -> Result<HeaderValue, ApiError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "lmn_op_AAAAAAAAAAAAAAAAAAAAAAAAAA-_";

    #[test]
    fn cookie_is_opened_by_its_deployment_until_it_expires() {
        let cursors = Cursors::new(&[7; 32]);
        let now = DateTime::UNIX_EPOCH;
        let sealed = seal(&cursors, TOKEN, now);
        assert_eq!(open(&cursors, &sealed, now).as_deref(), Some(TOKEN));
        let end = now + TimeDelta::hours(SESSION_HOURS);
        let before = end - TimeDelta::seconds(1);
        assert!(open(&cursors, &sealed, before).is_some());
        assert!(open(&cursors, &sealed, end).is_none());
        assert!(open(&Cursors::new(&[8; 32]), &sealed, now).is_none());
        assert_ne!(sealed, seal(&cursors, TOKEN, now), "no two are equal");
    }

    #[test]
    fn cookie_that_was_changed_is_refused() {
        let cursors = Cursors::new(&[7; 32]);
        let now = DateTime::UNIX_EPOCH;
        let bytes = URL_SAFE_NO_PAD.decode(seal(&cursors, TOKEN, now)).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(open(&cursors, &changed, now).is_none(), "byte {place}");
        }
        for text in ["", "A", "?", TOKEN] {
            assert!(open(&cursors, text, now).is_none(), "{text}");
        }
    }

    #[test]
    fn cookie_does_not_contain_the_token() {
        let sealed = seal(&Cursors::new(&[7; 32]), TOKEN, DateTime::UNIX_EPOCH);
        let bytes = URL_SAFE_NO_PAD.decode(sealed).unwrap();
        let part = &TOKEN.as_bytes()[..7];
        assert!(!bytes.windows(part.len()).any(|it| it == part));
    }

    #[test]
    fn form_belongs_to_one_session() {
        let cursors = Cursors::new(&[7; 32]);
        let token = form_token(&cursors, "one");
        assert!(is_form_of(&cursors, "one", &token));
        assert!(!is_form_of(&cursors, "two", &token));
        for other in ["", "A", &token[1..], &form_token(&cursors, "")] {
            assert!(!is_form_of(&cursors, "one", other), "{other}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; xlmn_session=2".parse().unwrap());
        headers.append(header::COOKIE, "lmn_session=3".parse().unwrap());
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("3"));
        assert_eq!(cookie(&headers, "session"), None);
    }
}
