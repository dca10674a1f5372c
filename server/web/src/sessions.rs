//! Sessions: browsers that are signed in.
//!
//! In: the time, the text of a cookie. Out: whether it is a session, and until when. Sessions live
//! in memory only: they end with the engine, after hours, when they are signed out, and when too
//! many newer ones begin.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::secret::{self, Kept};

/// A working day.
pub const LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// Sessions at once; the oldest goes first.
const MOST: usize = 64;
/// Live pages of one session at once; browsers allow six connections to a host themselves.
pub const STREAMS: usize = 8;

struct Session {
    kept: Kept,
    until: Instant,
    streams: Arc<Semaphore>,
    /// Dropped with the session, which those who follow it notice.
    alive: watch::Sender<()>,
}

/// One session, to go on with.
#[derive(Clone)]
pub struct Visit {
    /// When it ends by itself.
    pub until: Instant,
    streams: Arc<Semaphore>,
    alive: watch::Receiver<()>,
}

impl Visit {
    /// A place for one more live page; `None` where there are too many.
    pub fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// Resolves when the session has ended.
    pub async fn ended(&mut self) {
        // Nothing is ever sent: an error is the sender that went with its session.
        let signed_out = async { while self.alive.changed().await.is_ok() {} };
        // Both arms are cancel-safe: neither keeps what the other would need.
        tokio::select! {
            () = signed_out => {}
            () = tokio::time::sleep_until(self.until) => {}
        }
    }
}

/// The sessions.
#[derive(Default)]
pub struct Sessions(Mutex<VecDeque<Session>>);

impl Sessions {
    /// Begins a session and gives the text of its cookie; `None` where the system gives no
    /// randomness.
    pub fn begin(&self, now: Instant) -> Option<String> {
        let (text, kept) = secret::fresh()?;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.until > now);
        while sessions.len() >= MOST {
            sessions.pop_front();
        }
        sessions.push_back(Session {
            kept,
            until: now + LIFE,
            streams: Arc::new(Semaphore::new(STREAMS)),
            alive: watch::Sender::new(()),
        });
        Some(text)
    }

    /// The session that a cookie stands for.
    pub fn find(&self, text: &str, now: Instant) -> Option<Visit> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.until > now);
        // All are compared, so that the time tells nothing about which one it was.
        sessions.iter().fold(None, |found, session| {
            if session.kept.is_of(text) { Some(session.visit()) } else { found }
        })
    }

    /// Ends a session.
    pub fn end(&self, text: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.kept.is_of(text));
    }
}

impl Session {
    fn visit(&self) -> Visit {
        let Self { kept: _, until, streams, alive } = self;
        Visit { until: *until, streams: streams.clone(), alive: alive.subscribe() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_and_when_it_is_signed_out() {
        let sessions = Sessions::default();
        let began = Instant::now();
        let (one, two) = (sessions.begin(began).unwrap(), sessions.begin(began).unwrap());
        let (mut first, mut second) =
            (sessions.find(&one, began).unwrap(), sessions.find(&two, began).unwrap());
        sessions.end(&one);
        first.ended().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(sessions.find(&one, began).is_none());
        second.ended().await;
        assert_eq!(began.elapsed().as_secs(), LIFE.as_secs());
        assert!(sessions.find(&two, Instant::now()).is_none());
    }

    #[test]
    fn live_pages_and_sessions_are_bounded() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let oldest = sessions.begin(now).unwrap();
        let visit = sessions.find(&oldest, now).unwrap();
        let streams: Vec<_> = (0..STREAMS).map(|_| visit.stream().unwrap()).collect();
        assert!(sessions.find(&oldest, now).unwrap().stream().is_none());
        drop(streams);
        assert!(visit.stream().is_some());
        for _ in 0..MOST {
            sessions.begin(now).unwrap();
        }
        assert!(sessions.find(&oldest, now).is_none());
    }
}
