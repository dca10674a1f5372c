//! The listener: TLS in, requests of authenticated users out.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::user::User;

/// A request to something that is mounted beside the Kubernetes API.
#[derive(Debug, Clone)]
pub struct MountRequest {
    /// HTTP method.
    pub method: http::Method,
    /// Path, prefix included.
    pub path: String,
    /// Query string without the question mark; empty where there is none.
    pub query: String,
    /// The whole body.
    pub body: Bytes,
    /// Who asks.
    pub user: User,
}

/// Answers requests below a prefix.
pub type Handler =
    Arc<dyn Fn(MountRequest) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// Something that is served beside the Kubernetes API, behind the same authentication.
#[derive(Clone)]
pub struct Mount {
    /// Paths that start with this are the handler's.
    pub prefix: String,
    /// Answers them.
    pub handler: Handler,
}
