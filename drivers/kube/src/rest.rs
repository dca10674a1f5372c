//! When a server is left alone.
//!
//! In: what calls came to. Out: whether the next one is worth a try. A server that asked to be left
//! alone is, by all calls with the same identity; one that hangs is not waited for by every call
//! anew, so that it occupies few runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Reads in a row that were not answered in time, after which the server counts as hanging. One
/// alone may be a slow extension of it.
const STRIKES: u32 = 3;

/// How long a server that hangs is not asked.
const PAUSE: Duration = Duration::from_secs(15);

/// The longest that a server may ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// What is known of a server's rest; clones are the same. One for each connection.
#[derive(Debug, Clone, Default)]
pub struct Rest(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    strikes: u32,
    hangs_until: Option<Instant>,
    busy_until: Option<Instant>,
}

/// Why a server is left alone now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It asked to be, for so much longer.
    Asked(Duration),
    /// It did not answer the last reads.
    Hangs,
}

impl Rest {
    /// Whether to leave the server alone.
    pub fn why(&self) -> Option<Why> {
        let state = self.state();
        let left = |until: Option<Instant>| {
            until.map(|until| until.saturating_duration_since(Instant::now()))
        };
        match (left(state.busy_until), left(state.hangs_until)) {
            (Some(left), _) if !left.is_zero() => Some(Why::Asked(left)),
            (_, Some(left)) if !left.is_zero() => Some(Why::Hangs),
            _ => None,
        }
    }

    /// It answered, whatever it said.
    pub fn answered(&self) {
        let mut state = self.state();
        state.strikes = 0;
        state.hangs_until = None;
    }

    /// It did not answer a read in time.
    pub fn missed(&self) {
        let mut state = self.state();
        state.strikes = state.strikes.saturating_add(1);
        if state.strikes >= STRIKES {
            state.hangs_until = Some(Instant::now() + PAUSE);
        }
    }

    /// It asked to be left alone for a while.
    pub fn asked(&self, pause: Duration) {
        self.state().busy_until = Some(Instant::now() + pause.min(LONGEST));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_left_alone_for_a_while() {
        let rest = Rest::default();
        rest.missed();
        rest.missed();
        rest.answered();
        rest.missed();
        rest.missed();
        assert_eq!(rest.why(), None, "it answered in between");
        rest.missed();
        assert_eq!(rest.why(), Some(Why::Hangs));
        tokio::time::sleep(PAUSE).await;
        assert_eq!(rest.why(), None);
        rest.missed();
        assert_eq!(rest.why(), Some(Why::Hangs), "it has not answered since");
        rest.answered();
        assert_eq!(rest.why(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_left_alone_as_long_as_it_asks_within_reason() {
        let rest = Rest::default();
        rest.asked(Duration::from_secs(60));
        rest.answered();
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(rest.why(), Some(Why::Asked(Duration::from_secs(1))));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rest.why(), None);
        rest.asked(Duration::from_secs(86_400));
        assert_eq!(rest.why(), Some(Why::Asked(LONGEST)));
    }
}
