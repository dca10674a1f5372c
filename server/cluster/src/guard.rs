//! The layer between the loops and the cluster: nothing is changed by who may not lead any more,
//! and nothing is waited for without end.
//!
//! In: requests. Out: the same, or an error. A watch may be silent for as long as nothing happens;
//! everything else is answered in time.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tower::BoxError;

use crate::tenure::Tenure;

/// Longer than kube-apiserver's own limit of a minute would only wait for a connection that is
/// dead.
const ANSWER: Duration = Duration::from_secs(65);

/// Why a request was not sent, or not waited for.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Another replica may lead.
    #[error("this replica may not lead any more, so it changes nothing")]
    NotLeading,
    /// The answer did not come.
    #[error("the API server did not answer within {} s", ANSWER.as_secs())]
    NoAnswer,
}

/// Puts a [`Guard`] around a service.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    /// Who may change something; `None` for a client that is not about what is delivered.
    pub tenure: Option<Tenure>,
}

impl<S> tower::Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, tenure: self.tenure.clone() }
    }
}

/// A service that sends changes only while the tenure holds.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
    tenure: Option<Tenure>,
}

impl<S, B> tower::Service<Request<Body>> for Guard<S>
where
    S: tower::Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && self.tenure.as_ref().is_some_and(|tenure| !tenure.holds()) {
            return std::future::ready(Err(Stopped::NotLeading.into())).boxed();
        }
        let answer = self.inner.call(request);
        async move {
            match tokio::time::timeout(ANSWER, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(Stopped::NoAnswer.into()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;
    use tower::{Layer as _, Service as _, service_fn};

    use super::*;

    async fn check(tenure: Option<Tenure>, method: Method) -> (usize, Result<(), String>) {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let service = service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, BoxError>(Response::new(())) }
        });
        let mut guard = GuardLayer { tenure }.layer(service);
        let request = Request::builder().method(method).body(Body::empty()).unwrap();
        let answer = guard.call(request).await.map(|_| ()).map_err(|err| err.to_string());
        (sent.load(Ordering::Relaxed), answer)
    }

    #[tokio::test]
    async fn changes_are_sent_only_while_leading() {
        let lapsed = Tenure::default();
        let (sent, answer) = check(Some(lapsed.clone()), Method::PATCH).await;
        assert_eq!(sent, 0);
        assert!(answer.unwrap_err().contains("may not lead any more"));
        assert_eq!(check(Some(lapsed.clone()), Method::GET).await, (1, Ok(())));

        lapsed.extend(Instant::now() + Duration::from_secs(60));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(check(Some(lapsed.clone()), method).await, (1, Ok(())));
        }
        lapsed.end();
        assert_eq!(check(Some(lapsed), Method::DELETE).await.0, 0);
        assert_eq!(check(None, Method::DELETE).await, (1, Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_an_error() {
        let service = service_fn(|_: Request<Body>| async {
            std::future::pending::<()>().await;
            Ok::<_, BoxError>(Response::new(()))
        });
        let mut guard = GuardLayer { tenure: None }.layer(service);
        let err = guard.call(Request::new(Body::empty())).await.unwrap_err();
        assert_eq!(err.to_string(), "the API server did not answer within 65 s");
    }
}
