//! A client that waits for no answer for ever.
//!
//! In: a client, which has no limits of its own. Out: one whose calls end in time, with an error
//! where they must. A watch may be quiet for as long as it asked for and not longer: one whose
//! connection died without a word is begun anew.

use std::io;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, timeout_at};
use tower::BoxError;

/// How long the first byte of an answer may take, and how long its end after that. A server that
/// is well answers within seconds. Longer than calls to a target may take, which say more then.
const ANSWER: Duration = Duration::from_secs(40);

/// How long a watch lasts where it does not say.
const WATCH: Duration = Duration::from_secs(295);

/// Gives every call of a client a limit.
pub fn timely(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| ask(client.clone(), request));
    Client::new(service, namespace)
}

async fn ask(
    client: Client,
    request: Request<Body>,
) -> Result<Response<impl http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send>, BoxError>
{
    let quiet = watched(request.uri().query().unwrap_or_default()).unwrap_or_default();
    let sent = timeout_at(Instant::now() + ANSWER, client.send(request));
    let response = sent.await.map_err(|_| late("did not answer", ANSWER))??;
    let limit = quiet + ANSWER;
    let until = Instant::now() + limit;
    Ok(response.map(|body| {
        let frames = stream::unfold(Some(body), move |body| async move {
            let mut body = body?;
            match timeout_at(until, body.frame()).await {
                Ok(frame) => Some((frame?.map_err(BoxError::from), Some(body))),
                Err(_) => Some((Err(late("did not end its answer", limit)), None)),
            }
        });
        StreamBody::new(frames.boxed())
    }))
}

/// How long a request asks to be told of changes; `None` where it does not.
fn watched(query: &str) -> Option<Duration> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = |wanted: &str| pairs.clone().find(|(key, _)| *key == wanted).map(|(_, v)| v);
    let asked = value("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
    pairs
        .any(|(key, value)| key == "watch" && matches!(value, "true" | "1"))
        .then(|| asked.map_or(WATCH, Duration::from_secs))
}

fn late(what: &str, limit: Duration) -> BoxError {
    let text = format!("the API server {what} within {} s", limit.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request<Body> {
        Request::get(uri).body(Body::empty()).unwrap()
    }

    /// A server that says so much and then nothing more.
    fn mute(head: bool) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            if !head {
                std::future::pending::<()>().await;
            }
            let never = stream::pending::<Result<http_body::Frame<bytes::Bytes>, io::Error>>();
            Ok::<_, io::Error>(Response::new(StreamBody::new(never)))
        });
        timely(Client::new(service, "default"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_ends() {
        let began = Instant::now();
        let err = mute(false).send(request("/api/v1/pods")).await.err().unwrap();
        assert!(format!("{err:?}").contains("did not answer within 40 s"), "{err:?}");
        assert_eq!(began.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_an_end_ends() {
        for (uri, seconds) in [
            ("/api/v1/pods", 40),
            ("/api/v1/pods?watch=false&timeoutSeconds=290", 40),
            ("/api/v1/pods?watch=true&timeoutSeconds=290", 330),
            ("/api/v1/pods?watch=1", 335),
        ] {
            let began = Instant::now();
            let response = mute(true).send(request(uri)).await.unwrap();
            let err = response.into_body().collect().await.err().unwrap();
            assert!(format!("{err:?}").contains("did not end its answer"), "{err:?}");
            assert_eq!(began.elapsed().as_secs(), seconds, "{uri}");
        }
    }
}
