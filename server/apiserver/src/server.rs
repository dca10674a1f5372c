//! One running server.

use std::io;
use std::sync::Arc;

use http::{Request, Response};

use crate::body::Body;
use crate::local::LocalService;
use crate::options::{OpenError, Options};
use crate::serve::Mount;
use crate::user::User;

/// One running server; clones are handles to the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    options: Options,
}

impl ApiServer {
    /// Opens a server on its data.
    pub async fn open(options: Options) -> Result<ApiServer, OpenError> {
        Ok(Self(Arc::new(Inner { options })))
    }

    /// The transport inside the process; requests act as this user.
    pub fn service(&self, user: User) -> LocalService {
        LocalService { server: self.clone(), user }
    }

    /// Serves on the listener until the shutdown future resolves, then drains.
    pub async fn serve(
        &self,
        _listener: tokio::net::TcpListener,
        _tls: Arc<rustls::ServerConfig>,
        _mounts: Vec<Mount>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        shutdown.await;
        Ok(())
    }

    /// Says whether `/readyz` answers yes.
    pub fn set_ready(&self, _ready: bool) {}

    /// Makes everything durable and lets the data go.
    pub async fn close(&self) {}

    pub(crate) async fn answer<B>(
        &self,
        _request: Request<B>,
        _user: Option<User>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    {
        let _ = &self.0.options;
        let mut response = Response::new(Body::whole("{}"));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}
