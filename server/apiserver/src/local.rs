//! The transport inside the process: the server as a `tower` service that acts as one user.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;
use crate::server::ApiServer;
use crate::user::User;

/// Requests to the server from its own process, made in the name of one user.
#[derive(Clone)]
pub struct LocalService {
    pub(crate) server: ApiServer,
    pub(crate) user: User,
}

impl<B> tower::Service<Request<B>> for LocalService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { server, user } = self.clone();
        async move { Ok(server.answer(request, Some(user)).await) }.boxed()
    }
}
