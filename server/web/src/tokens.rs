//! One-time tokens: what an administrator gets from the engine's API to sign in with.
//!
//! In: the time. Out: a token, and whether one that comes back is good. A token is good once, and
//! for minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::secret::{self, Kept};

/// Long enough to carry the address to a browser, short enough to be worthless in a history.
pub const LIFE: Duration = Duration::from_secs(5 * 60);
/// Tokens that wait at once; the oldest goes first.
const MOST: usize = 16;

struct Token {
    kept: Kept,
    until: Instant,
}

/// The tokens that were handed out and did not come back yet.
#[derive(Default)]
pub struct Tokens(Mutex<VecDeque<Token>>);

impl Tokens {
    /// Makes a token; `None` where the system gives no randomness.
    pub fn issue(&self, now: Instant) -> Option<String> {
        let (text, kept) = secret::fresh()?;
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|token| token.until > now);
        while tokens.len() >= MOST {
            tokens.pop_front();
        }
        tokens.push_back(Token { kept, until: now + LIFE });
        Some(text)
    }

    /// Whether a token is good; it is not any more afterwards.
    pub fn redeem(&self, text: &str, now: Instant) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|token| token.until > now);
        let before = tokens.len();
        // All are compared, so that the time tells nothing about which one it was.
        tokens.retain(|token| !token.kept.is_of(text));
        tokens.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_and_for_minutes() {
        let tokens = Tokens::default();
        let now = Instant::now();
        let first = tokens.issue(now).unwrap();
        let second = tokens.issue(now).unwrap();
        assert!(!tokens.redeem("wrong", now));
        assert!(tokens.redeem(&first, now));
        assert!(!tokens.redeem(&first, now), "a second time");
        assert!(!tokens.redeem(&second, now + LIFE), "too late");
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let tokens = Tokens::default();
        let now = Instant::now();
        let oldest = tokens.issue(now).unwrap();
        let next = tokens.issue(now).unwrap();
        for _ in 0..MOST - 1 {
            tokens.issue(now).unwrap();
        }
        assert!(!tokens.redeem(&oldest, now));
        assert!(tokens.redeem(&next, now));
    }
}
