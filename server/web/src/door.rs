//! The door: a one-time token goes in, a cookie comes out.
//!
//! The link that `fixpoint web` prints only shows a form. Following it changes nothing, so that
//! what looks at links beforehand uses nothing up; the form is sent by hand, or by our script.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;

use crate::app::Web;
use crate::sessions;
use crate::view::shell::{self, Door};

/// Where the form goes.
pub const PATH: &str = "/sign-in";

/// Characters of a token, with room to spare.
const LONGEST: usize = 128;

/// What the form holds.
#[derive(Deserialize)]
pub struct Given {
    token: String,
}

/// Shows the form that sends a token.
pub async fn open(Path(token): Path<String>) -> Response {
    if !is_token(&token) {
        return refused(StatusCode::NOT_FOUND);
    }
    shell::door(StatusCode::OK, Door::Open { token })
}

/// Takes a token and begins a session.
pub async fn sign_in(State(web): State<Web>, Form(given): Form<Given>) -> Response {
    let now = Instant::now();
    if is_token(&given.token) && web.tokens().redeem(&given.token, now) {
        let Some(session) = web.sessions().begin(now) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        tracing::info!("somebody signed in to the page");
        let cookie = cookie(&web, &session, sessions::LIFE.as_secs());
        return ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response();
    }
    tracing::warn!("a wrong token was given to the page");
    if web.throttle().is_too_many(now) {
        let mut response = refused(StatusCode::TOO_MANY_REQUESTS);
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static("60"));
        return response;
    }
    refused(StatusCode::UNAUTHORIZED)
}

/// Ends the session.
pub async fn sign_out(State(web): State<Web>, headers: HeaderMap) -> Response {
    if let Some(text) = web.cookie(&headers) {
        web.sessions().end(text);
    }
    let cookie = cookie(&web, "", 0);
    ([(header::SET_COOKIE, cookie)], shell::door(StatusCode::OK, Door::Left)).into_response()
}

/// What somebody sees who is not signed in.
pub fn closed() -> Response {
    shell::door(StatusCode::UNAUTHORIZED, Door::Closed)
}

fn refused(status: StatusCode) -> Response {
    let door = if status == StatusCode::TOO_MANY_REQUESTS { Door::TooMany } else { Door::Refused };
    shell::door(status, door)
}

fn is_token(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(known)
}

/// No `Secure`: the listener speaks plain HTTP and is on loopback only.
fn cookie(web: &Web, value: &str, seconds: u64) -> String {
    let name = web.cookie_name();
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")
}
