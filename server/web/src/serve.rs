//! The listener of the page: plain HTTP on a loopback address.
//!
//! In: connections. Out: requests for the router. Nobody can hold it up: heads must come in time,
//! connections are counted, and at the end live pages are ended and the rest may finish.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Connections at once: some browsers with some tabs each.
const CONNECTIONS: usize = 256;
/// A head that takes longer is not sent by a browser.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a head; ours are short.
const HEAD_BYTES: usize = 16 * 1024;
/// How long requests that were begun may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptors left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `closing` turns true, then drains.
pub async fn serve(listener: TcpListener, router: Router, closing: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = closing.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    loop {
        // Cancel-safe: `accept` loses no connection, and a slot that goes is free again.
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, closing) = (router.clone(), closing.clone());
                connections.spawn(async move {
                    connection(stream, router, closing).await;
                    drop(slot);
                });
            }
            Err(err) => {
                tracing::warn!(error = %err, "a connection to the page could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests to the page did not finish in time");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true); // an event must not wait for the next one
    let service = service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        router.oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Cancel-safe: the connection is kept and goes on below.
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = closing.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        tracing::debug!(error = %err, "a connection to the page broke off");
    }
}
