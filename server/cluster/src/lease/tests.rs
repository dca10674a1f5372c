//! Replicas against an API server that keeps one lease, in time that tests move.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// An API server with one lease.
#[derive(Default)]
struct Shelf {
    lease: Option<Value>,
    version: u64,
    /// Answers nothing.
    down: bool,
    /// Takes the next write and loses the answer.
    loses_answer: bool,
    no_namespace: bool,
}

impl Shelf {
    fn answer(&mut self, method: &Method, body: &Value) -> (u16, Value) {
        let refuse = |code: u16, reason: &str, kind: &str| {
            let details = json!({"kind": kind, "name": NAME});
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": reason, "reason": reason, "code": code, "details": details});
            (code, status)
        };
        match *method {
            Method::POST if self.no_namespace => refuse(404, "NotFound", "namespaces"),
            Method::POST if self.lease.is_some() => refuse(409, "AlreadyExists", "leases"),
            Method::PUT if self.lease.is_none() => refuse(404, "NotFound", "leases"),
            Method::PUT
                if body["metadata"]["resourceVersion"] != self.version.to_string().as_str() =>
            {
                refuse(409, "Conflict", "leases")
            }
            Method::POST | Method::PUT => {
                self.version += 1;
                let mut lease = body.clone();
                lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.lease = Some(lease.clone());
                (200, lease)
            }
            _ => match &self.lease {
                Some(lease) => (200, lease.clone()),
                None => refuse(404, "NotFound", "leases"),
            },
        }
    }
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Shelf>>);

impl Server {
    fn client(&self) -> kube::Client {
        let shelf = self.0.clone();
        let service = service_fn(move |request: Request<Body>| {
            let shelf = shelf.clone();
            async move {
                let method = request.method().clone();
                let bytes = request.into_body().collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let (lost, (code, answer)) = {
                    let mut shelf = shelf.lock().unwrap();
                    let down = shelf.down;
                    let lost = method == Method::PUT && std::mem::take(&mut shelf.loses_answer);
                    let answer =
                        if down { (500, Value::Null) } else { shelf.answer(&method, &body) };
                    (down || lost, answer)
                };
                if lost {
                    std::future::pending::<()>().await;
                }
                let body = Body::from(answer.to_string().into_bytes());
                let response = Response::builder().status(code).body(body).unwrap();
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        kube::Client::new(service, "default")
    }

    fn candidate(&self, name: &str) -> Candidate {
        Candidate::new(self.client(), name, Terms::default())
    }

    fn set(&self, change: impl FnOnce(&mut Shelf)) {
        change(&mut self.0.lock().unwrap());
    }

    fn spec(&self, field: &str) -> Value {
        let shelf = self.0.lock().unwrap();
        shelf.lease.as_ref().map(|lease| lease["spec"][field].clone()).unwrap_or_default()
    }
}

async fn seconds_pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_stands_by_until_it_lets_go() {
    let server = Server::default();
    let first = server.candidate("first").acquire(|_| ()).await.unwrap();
    assert!(first.tenure().holds());

    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let second = server.candidate("second");
    let second = tokio::spawn(second.acquire(move |holder| {
        heard.lock().unwrap().push(holder.split('_').next().unwrap_or_default().to_owned());
    }));
    seconds_pass(120).await;
    assert!(first.tenure().holds() && !second.is_finished());
    // It is told of its leader once, however often that one renews.
    assert_eq!(*told.lock().unwrap(), ["first"]);

    first.release().await;
    let began = Instant::now();
    let second = second.await.unwrap().unwrap();
    assert!(began.elapsed() <= Duration::from_secs(2) && second.tenure().holds());
    assert_eq!(server.spec("leaseTransitions"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_followed_after_the_lease_has_run_out() {
    let server = Server::default();
    let first = server.candidate("first").acquire(|_| ()).await.unwrap();
    first.keeping.abort();
    let began = Instant::now();
    let second = server.candidate("second").acquire(|_| ()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(second.tenure().holds() && !first.tenure().holds());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stops_before_another_may_begin() {
    let server = Server::default();
    let mut first = server.candidate("first").acquire(|_| ()).await.unwrap();
    let tenure = first.tenure().clone();
    server.set(|shelf| shelf.down = true);
    let began = Instant::now();
    seconds_pass(8).await;
    assert!(tenure.holds());
    let lost = first.lost().await;
    assert!(!tenure.holds() && began.elapsed() < Duration::from_secs(15));
    let text = lost.to_string();
    assert!(text.starts_with("the lease could not be renewed within 10 s: "), "{text}");
    assert!(text.ends_with("did not answer within 4 s"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_ridden_out() {
    let server = Server::default();
    let first = server.candidate("first").acquire(|_| ()).await.unwrap();
    seconds_pass(3).await;
    server.set(|shelf| shelf.down = true);
    seconds_pass(5).await;
    server.set(|shelf| shelf.down = false);
    seconds_pass(60).await;
    assert!(first.tenure().holds() && !first.keeping.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_our_own_that_came_late_takes_nothing_away() {
    let server = Server::default();
    let first = server.candidate("first").acquire(|_| ()).await.unwrap();
    let version = server.0.lock().unwrap().version;
    server.set(|shelf| shelf.loses_answer = true);
    seconds_pass(30).await;
    assert!(server.0.lock().unwrap().version > version + 1);
    assert!(first.tenure().holds() && !first.keeping.is_finished());
    assert_eq!(server.spec("leaseTransitions"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_replaced_says_by_whom() {
    let server = Server::default();
    let mut first = server.candidate("first").acquire(|_| ()).await.unwrap();
    let mut other = server.0.lock().unwrap().lease.clone().unwrap();
    other["spec"]["holderIdentity"] = "second".into();
    server.set(|shelf| {
        shelf.version += 1;
        other["metadata"]["resourceVersion"] = shelf.version.to_string().into();
        shelf.lease = Some(other);
    });
    assert_eq!(first.lost().await.to_string(), "the lease passed to second");
    assert!(!first.tenure().holds());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_took_away_may_have_been_anothers_since() {
    let server = Server::default();
    let mut first = server.candidate("first").acquire(|_| ()).await.unwrap();
    server.set(|shelf| shelf.lease = None);
    assert_eq!(first.lost().await, Lost::Gone);
    assert!(!first.tenure().holds());
}

#[tokio::test(start_paused = true)]
async fn without_its_namespace_there_is_no_place() {
    let server = Server::default();
    server.set(|shelf| shelf.no_namespace = true);
    let failed = server.candidate("first").acquire(|_| ()).await;
    let text = failed.err().unwrap().to_string();
    assert!(text.starts_with("namespace fixpoint-system does not exist"), "{text}");
}
