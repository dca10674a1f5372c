//! A whole request, read and bounded.

use bytes::{Bytes, BytesMut};
use fixpoint_api_machinery::status;
use fixpoint_base::Limits;
use http::{Method, header};
use serde_json::Value;

use super::protobuf;
use super::query::{Query, decode};
use super::reply::Failure;
use crate::user::User;

/// What typed clients send for built-in kinds.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A whole request.
#[derive(Debug, Clone)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path, as sent.
    pub path: String,
    /// The path's segments, decoded.
    pub segments: Vec<String>,
    /// Query string, as sent.
    pub query_text: String,
    /// Parameters.
    pub query: Query,
    /// Headers.
    pub headers: http::HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Who asks.
    pub user: User,
}

impl Request {
    /// Reads a request, body and all.
    ///
    /// # Errors
    /// 413 when the body is over the limit, 400 when it breaks off.
    pub async fn read<B>(
        request: http::Request<B>,
        user: User,
        body_bytes: usize,
    ) -> Result<Self, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let body = collect(body, body_bytes).await?;
        let path = parts.uri.path().to_owned();
        let segments = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| decode(segment, false))
            .collect();
        let query_text = parts.uri.query().unwrap_or("").to_owned();
        Ok(Self {
            method: parts.method,
            path,
            segments,
            query: Query::parse(&query_text),
            query_text,
            headers: parts.headers,
            body,
            user,
        })
    }

    /// A header as text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type of the body without its parameters.
    pub fn media(&self) -> &str {
        let full = self.header(header::CONTENT_TYPE).unwrap_or("application/json");
        full.split(';').next().unwrap_or(full).trim()
    }

    /// The body as one object.
    ///
    /// # Errors
    /// 415 when the media type cannot be read, 400 when the body is not an object.
    pub fn object(&self) -> Result<Value, Failure> {
        let value = match self.media() {
            "application/json" | "" => json(&self.body)?,
            "application/yaml" => yaml(&self.body)?,
            PROTOBUF => protobuf::parse(&self.body).map_err(|why| {
                Failure::from(status::bad_request(format!(
                    "the request body cannot be read: {why}"
                )))
            })?,
            _ => {
                let known = ["application/json", "application/yaml", PROTOBUF];
                return Err(status::unsupported_media_type(&known).into());
            }
        };
        if !value.is_object() {
            return Err(status::bad_request("the request body is not an object").into());
        }
        Ok(value)
    }

    /// Who manages the fields that this request writes, unless it is an apply.
    pub fn field_manager(&self) -> String {
        if let Some(manager) = self.query.get("fieldManager") {
            return manager.to_owned();
        }
        let agent = self.header(header::USER_AGENT).unwrap_or("");
        let name: String = agent.split('/').next().unwrap_or("").chars().take(128).collect();
        if name.is_empty() { "unknown".to_owned() } else { name }
    }

    /// Whether nothing may be stored.
    ///
    /// # Errors
    /// 422 for anything but `All`.
    pub fn dry_run(&self) -> Result<bool, Failure> {
        let mut dry = false;
        for value in self.query.all("dryRun") {
            match value {
                "All" => dry = true,
                "" => {}
                other => {
                    return Err(status::bad_request(format!(
                        "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
                    ))
                    .into());
                }
            }
        }
        Ok(dry)
    }
}

/// Parses a JSON body.
///
/// # Errors
/// 400 with the place, when it is not JSON.
pub fn json(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|err| status::bad_request(format!("the request body is not JSON: {err}")).into())
}

/// Parses a YAML body of one document.
///
/// # Errors
/// 400 with the place, when it is not.
pub fn yaml(bytes: &[u8]) -> Result<Value, Failure> {
    let documents = fixpoint_yaml::parse(bytes, &Limits::default()).map_err(|err| {
        Failure::from(status::bad_request(format!("the request body is not YAML: {err}")))
    })?;
    let mut documents = documents.into_iter().filter(|document| !document.is_null());
    match (documents.next(), documents.next()) {
        (Some(document), None) => Ok(document),
        (None, _) => Err(status::bad_request("the request body is empty").into()),
        (Some(_), Some(_)) => {
            Err(status::bad_request("the request body has more than one document").into())
        }
    }
}

/// Parses the body of a patch, which clients may write as YAML.
///
/// # Errors
/// 400 with the place, when it is neither.
pub fn yaml_or_json(request: &Request) -> Result<Value, Failure> {
    json(&request.body).or_else(|failure| yaml(&request.body).map_err(|_| failure))
}

/// Reads a body to its end.
async fn collect<B>(body: B, limit: usize) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes>,
{
    // A client that announces too much need not send it first.
    if body.size_hint().lower() > limit as u64 {
        return Err(status::too_large(format!("limit is {limit}")).into());
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(status::bad_request("the request body breaks off").into()),
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(status::too_large(format!("limit is {limit}")).into());
        }
        // Most bodies are one piece, which needs no copy.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
