//! Answers: JSON, and `v1.Status` when it is no.

use bytes::Bytes;
use fixpoint_api_machinery::status;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::body::Body;

/// A request that is answered with a `v1.Status` that says no.
#[derive(Debug)]
pub struct Failure(Box<Value>);

/// What a handler gives.
pub type Answer = Result<Response<Body>, Failure>;

impl From<Value> for Failure {
    fn from(status: Value) -> Self {
        Self(Box::new(status))
    }
}

impl Failure {
    /// The HTTP code.
    pub fn code(&self) -> u16 {
        status::code(&self.0)
    }

    /// The sentence for a person.
    pub fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or("")
    }

    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        let code = StatusCode::from_u16(self.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = value(code, &self.0);
        if let Some(seconds) = self.0.pointer("/details/retryAfterSeconds").and_then(Value::as_u64)
        {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Sends JSON bytes.
pub fn json(code: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    typed(code, "application/json", bytes)
}

/// Sends a JSON value.
pub fn value(code: StatusCode, value: &Value) -> Response<Body> {
    json(code, value.to_string())
}

/// Sends plain text.
pub fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    typed(code, "text/plain; charset=utf-8", text.into())
}

/// Sends bytes of some type.
pub fn typed(code: StatusCode, media: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// Adds `Warning` headers, which clients print.
pub fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let escaped: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| (c == '"' || c == '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(header::WARNING, header);
        }
    }
}
