//! What is around every page, and the pages for who is not signed in.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::Content;
use super::text;

#[derive(Template)]
#[template(path = "shell.html")]
struct Shell<'a> {
    content: &'a Content,
    live: Option<String>,
}

/// What somebody sees who is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A form that sends a token.
    Open {
        /// The token.
        token: String,
    },
    /// How to get in.
    Closed,
    /// The token was not good.
    Refused,
    /// Too many tokens were not good.
    TooMany,
    /// They signed out.
    Left,
}

#[derive(Template)]
#[template(path = "door.html")]
struct DoorPage {
    door: Door,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    title: &'static str,
    what: String,
}

/// A whole page; `live` is where its content is kept up to date.
pub fn page(status: StatusCode, content: &Content, live: Option<String>) -> Response {
    answer(status, &Shell { content, live })
}

/// A page for who is not signed in.
pub fn door(status: StatusCode, door: Door) -> Response {
    answer(status, &DoorPage { door })
}

/// The content of a page that says why there is none.
pub fn trouble(title: &'static str, what: &str) -> Content {
    let page = TroublePage { title, what: text::clean(text::cut(what, 2000).0) };
    let html = page.render().unwrap_or_else(|_| title.to_owned());
    Content { title: title.to_owned(), html }
}

fn answer(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(err) => {
            tracing::error!(error = %err, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
