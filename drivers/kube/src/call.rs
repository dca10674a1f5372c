//! One call to an API server: with a timeout, a bounded answer and a bounded number of retries.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde_json::Value;

use crate::error::{Act, TargetError, What};
use crate::rest::{Rest, Why};

/// One object is at most 3 MiB; managed fields and a list of the kinds of a version can be more.
const MAX_ANSWER: usize = 32 << 20;

/// Two further attempts ride out a burst; longer outages are for the walker's back-off.
const ATTEMPTS: u32 = 3;

/// The longest pause between attempts, whatever the server asks for: the walker waits longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Debug)]
pub enum Answer {
    /// A success, with the status and the object.
    Ok(StatusCode, Value),
    /// There is no such object or kind.
    Missing(Status),
    /// The server said no.
    No(u16, Status),
}

/// A request before it is sent, so that it can be sent again.
#[derive(Debug, Clone)]
pub struct Call {
    pub act: Act,
    pub what: What,
    pub method: Method,
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Call {
    /// Reads what is at a path.
    pub fn get(act: Act, what: What, path: String) -> Self {
        Self { act, what, method: Method::GET, path, content_type: "", body: Vec::new() }
    }

    fn request(&self) -> Result<Request<Body>, TargetError> {
        let mut request = Request::builder().method(&self.method).uri(&self.path);
        if !self.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        request
            .header(header::ACCEPT, "application/json")
            .body(Body::from(self.body.clone()))
            .map_err(|_| TargetError::BadName { what: self.what.name.clone() })
    }

    /// An error about this call's object.
    pub fn refusal(&self, code: u16, status: &Status) -> TargetError {
        TargetError::refusal(self.act, &self.what, code, status)
    }
}

/// Sends a call; again where the server is busy and says so before doing anything, or where the
/// call only reads. Every call is one that may be repeated: reads, applies, deletions of one uid.
///
/// A server that asked for a longer pause than a call waits, or that hangs, is left alone by all.
pub async fn send(
    client: &Client,
    rest: &Rest,
    call: &Call,
    limit: Duration,
) -> Result<Answer, TargetError> {
    let mut attempt = 1;
    loop {
        if let Some(why) = rest.why() {
            return Err(left_alone(call, why));
        }
        let answer = once(client, call, limit).await;
        match &answer {
            Err(TargetError::Timeout { .. }) if call.method == Method::GET => rest.missed(),
            Err(_) => {}
            Ok(_) => rest.answered(),
        }
        let answer = answer?;
        let Answer::No(code, status) = &answer else { return Ok(answer) };
        if attempt >= ATTEMPTS || !matches!(code, 429 | 502..=504) {
            return Ok(answer);
        }
        let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let own = Duration::from_millis(250) * 2_u32.pow(attempt);
        let pause = own.max(Duration::from_secs(u64::from(asked)));
        if pause > LONGEST_PAUSE {
            // Only 429 speaks for the whole server: behind the others may be one extension of it.
            if *code == 429 {
                rest.asked(pause);
            }
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

fn left_alone(call: &Call, why: Why) -> TargetError {
    let (act, what) = (call.act, call.what.name.clone());
    match why {
        Why::Asked(left) => TargetError::LeftAlone { act, what, left },
        Why::Hangs => TargetError::Silent { act, what },
    }
}

async fn once(client: &Client, call: &Call, limit: Duration) -> Result<Answer, TargetError> {
    let request = call.request()?;
    let exchange = async {
        let response = client.send(request).await.map_err(|err| unreachable(call, err))?;
        let (head, body) = response.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER)
            .collect()
            .await
            .map_err(|err| nonsense(call, &format!("it broke off: {err}")))?
            .to_bytes();
        Ok((head, bytes))
    };
    let timeout = || TargetError::Timeout { act: call.act, what: call.what.name.clone(), limit };
    let (head, bytes) = tokio::time::timeout(limit, exchange).await.map_err(|_| timeout())??;
    if head.status.is_success() {
        let value = serde_json::from_slice(&bytes)
            .map_err(|err| nonsense(call, &format!("it is not JSON at column {}", err.column())))?;
        return Ok(Answer::Ok(head.status, value));
    }
    let mut status = read_status(&bytes);
    if let Some(seconds) = retry_after(&head.headers) {
        status.details.get_or_insert_with(no_details).retry_after_seconds = seconds;
    }
    Ok(match head.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Answer::Missing(status),
        code => Answer::No(code.as_u16(), status),
    })
}

/// Proxies and old servers answer with text that is no Status.
fn read_status(bytes: &[u8]) -> Status {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        Status::failure(text.trim(), "")
    })
}

fn no_details() -> kube::core::response::StatusDetails {
    kube::core::response::StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

fn retry_after(headers: &http::HeaderMap) -> Option<u32> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

fn unreachable(call: &Call, source: kube::Error) -> TargetError {
    let what = call.what.name.clone();
    TargetError::Unreachable { act: call.act, what, source: Box::new(source) }
}

/// An error about an answer; never with the answer in it.
pub fn nonsense(call: &Call, fault: &str) -> TargetError {
    let what = call.what.name.clone();
    TargetError::Answer { act: call.act, what, fault: fault.to_owned() }
}
