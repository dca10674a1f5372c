//! Health and counts, for probes and scrapers: plain HTTP, nothing secret, nothing to change.
//!
//! In: connections. Out: `/healthz`, `/readyz`, `/livez` and `/metrics`. A replica that stands by
//! is ready: it has nothing to catch up with before it can lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use crate::tenure::Tenure;

/// How far a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is known of the lease yet.
    Starting,
    /// Another replica leads.
    StandingBy,
    /// It leads, and opens what it needs.
    Opening,
    /// It leads, and its loops run.
    Leading,
    /// It ends.
    Stopping,
}

impl Phase {
    const ALL: [Self; 5] =
        [Self::Starting, Self::StandingBy, Self::Opening, Self::Leading, Self::Stopping];
}

/// What the health paths answer from. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    phase: Arc<AtomicU8>,
    tenure: Tenure,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Health {
    /// Starts in [`Phase::Starting`].
    pub fn new(tenure: Tenure, metrics: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { phase: Arc::default(), tenure, metrics: Arc::new(metrics) }
    }

    /// Says how far the replica has come.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        let at = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(at).copied().unwrap_or(Phase::Starting)
    }

    /// Answers one request.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Bytes> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "everything here is read-only\n");
        }
        match path {
            "/healthz" | "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => {
                let leads = u8::from(self.tenure.holds());
                let own = format!(
                    "# HELP fixpoint_leader Whether this replica leads.\n\
                     # TYPE fixpoint_leader gauge\nfixpoint_leader {leads}\n"
                );
                text(StatusCode::OK, &(own + &(self.metrics)()))
            }
            _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    fn ready(&self) -> Response<Bytes> {
        let not_yet = StatusCode::SERVICE_UNAVAILABLE;
        match self.phase() {
            Phase::Starting => text(not_yet, "starting\n"),
            Phase::StandingBy => text(StatusCode::OK, "ok: standing by\n"),
            Phase::Opening => text(not_yet, "leading, and opening the ledger\n"),
            Phase::Leading if self.tenure.holds() => text(StatusCode::OK, "ok: leading\n"),
            Phase::Leading => text(not_yet, "the lease may be lost\n"),
            Phase::Stopping => text(not_yet, "stopping\n"),
        }
    }
}

fn text(code: StatusCode, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = code;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn ask(health: &Health, path: &str) -> (u16, String) {
        let answer = health.answer(&Method::GET, path);
        (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_or_stands_by_is_ready() {
        let tenure = Tenure::default();
        let health = Health::new(tenure.clone(), || "more 1\n".to_owned());
        assert_eq!(ask(&health, "/readyz").0, 503);
        assert_eq!(ask(&health, "/healthz"), (200, "ok\n".to_owned()));
        health.set(Phase::StandingBy);
        assert_eq!(ask(&health, "/readyz"), (200, "ok: standing by\n".to_owned()));
        health.set(Phase::Opening);
        assert_eq!(ask(&health, "/readyz").0, 503);
        health.set(Phase::Leading);
        assert_eq!(ask(&health, "/readyz"), (503, "the lease may be lost\n".to_owned()));
        tenure.extend(Instant::now() + Duration::from_secs(10));
        assert_eq!(ask(&health, "/readyz"), (200, "ok: leading\n".to_owned()));
        assert!(ask(&health, "/metrics").1.ends_with("fixpoint_leader 1\nmore 1\n"));
        health.set(Phase::Stopping);
        assert_eq!(ask(&health, "/readyz").0, 503);
        assert_eq!(ask(&health, "/else").0, 404);
    }
}
