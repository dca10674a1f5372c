//! How many wrong tokens are answered.
//!
//! In: the time of a wrong one. Out: whether it was one too many. A right token never comes here,
//! so nobody is locked out by somebody else's guesses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong tokens in a row that are answered as such.
const BURST: u32 = 10;
/// One more is forgiven after this long.
const FORGIVEN_AFTER: Duration = Duration::from_secs(6);

struct Bucket {
    left: u32,
    since: Instant,
}

/// Counts wrong tokens.
#[derive(Default)]
pub struct Throttle(Mutex<Option<Bucket>>);

impl Throttle {
    /// Whether a wrong token is one too many.
    pub fn is_too_many(&self, now: Instant) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = bucket.get_or_insert(Bucket { left: BURST, since: now });
        let passed = now.saturating_duration_since(bucket.since);
        let forgiven = passed.as_secs() / FORGIVEN_AFTER.as_secs();
        if forgiven > 0 {
            let forgiven = u32::try_from(forgiven).unwrap_or(BURST);
            bucket.left = bucket.left.saturating_add(forgiven).min(BURST);
            bucket.since = now;
        }
        if bucket.left == 0 {
            return true;
        }
        bucket.left -= 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tokens_are_limited_and_forgiven() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let refused =
            |at: Instant, tries: u32| (0..tries).filter(|_| throttle.is_too_many(at)).count();
        assert_eq!(refused(now, 12), 2);
        assert_eq!(refused(now + Duration::from_secs(13), 3), 1);
        assert_eq!(refused(now + Duration::from_secs(3600), 10), 0);
    }
}
