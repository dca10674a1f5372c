//! What exists from the start: three namespaces and the definitions of the program.

use std::sync::Arc;

use fixpoint_base::object::name;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::options::OpenError;
use crate::server::Server;
use crate::user::User;
use crate::wire::{Failure, Query, Request};

/// Namespaces that exist from the start.
pub const NAMESPACES: [&str; 3] = ["default", "kube-system", "fixpoint-system"];

/// Makes what is missing and brings definitions up to date.
///
/// # Errors
/// When a definition is refused or the disk does not take the objects.
pub async fn run(server: &Arc<Server>) -> Result<(), OpenError> {
    let namespaces = NAMESPACES.map(|name| ensure_namespace(server, name));
    for made in futures::future::join_all(namespaces).await {
        made.map_err(|failure| OpenError::Bootstrap(failure.message().to_owned()))?;
    }
    let definitions = server.options.crds.clone();
    let installed = definitions.iter().map(|definition| install(server, definition));
    for (definition, made) in definitions.iter().zip(futures::future::join_all(installed).await) {
        made.map_err(|failure| OpenError::Crd {
            name: name(definition).unwrap_or("without a name").to_owned(),
            reason: failure.message().to_owned(),
        })?;
    }
    Ok(())
}

async fn ensure_namespace(server: &Server, name: &str) -> Result<(), Failure> {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    match ask(server, Method::POST, &["api", "v1", "namespaces"], "", &body).await {
        Err(failure) if failure.code() == 409 => Ok(()),
        other => other,
    }
}

/// Applies a definition as the engine; one that is as it should be is not written.
async fn install(server: &Server, definition: &Value) -> Result<(), Failure> {
    let name = name(definition).unwrap_or_default();
    let path = ["apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", name];
    let query = "fieldManager=fixpoint&force=true";
    ask(server, Method::PATCH, &path, query, definition).await
}

async fn ask(
    server: &Server,
    method: Method,
    segments: &[&str],
    query: &str,
    body: &Value,
) -> Result<(), Failure> {
    let media = match method {
        Method::PATCH => "application/apply-patch+yaml",
        _ => "application/json",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("fixpoint"));
    let request = Request {
        method,
        path: format!("/{}", segments.join("/")),
        segments: segments.iter().map(|segment| (*segment).to_owned()).collect(),
        query_text: query.to_owned(),
        query: Query::parse(query),
        headers,
        body: body.to_string().into(),
        user: User::engine(),
    };
    server.objects(&request).await.map(|_| ())
}
