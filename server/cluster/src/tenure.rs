//! How long we certainly lead.
//!
//! In: renewals, each with the time before it was sent. Out: whether something may still be
//! changed. Times are those of this machine's monotonic clock: a clock that is set proves nothing.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Until when nobody else can lead. Cheap to clone; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Tenure(Arc<Mutex<Option<Instant>>>);

impl Tenure {
    /// Whether nobody else can lead yet. Asked before every change, every poll of a store and
    /// every permit.
    pub fn holds(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    /// When it ends unless it is extended; `None` before it began and after it was given up.
    pub fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Extends it after a renewal; it never becomes shorter by that.
    pub(crate) fn extend(&self, until: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(kept.map_or(until, |before| before.max(until)));
    }

    /// Ends it now.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_and_begins_with_a_renewal() {
        let tenure = Tenure::default();
        assert!(!tenure.holds());
        tenure.extend(Instant::now() + Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(9_999)).await;
        assert!(tenure.holds());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!tenure.holds());
        tenure.extend(Instant::now() + Duration::from_secs(10));
        assert!(tenure.holds());
        tenure.end();
        assert!(!tenure.holds());
    }
}
