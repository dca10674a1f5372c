//! What one operation may still spend: time and bytes.
//!
//! Readers deep inside of a library can only fail with an `io::Error`; the meter keeps the real
//! reason, so that whoever called the library can tell it. It also makes the errors that name the
//! repository, so that no other URL than the shown one gets into a message.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fixpoint_source::StoreError;

/// Longest time given: an operation that may take longer is no operation.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Counts down the time and the bytes of one operation on one repository.
#[derive(Debug)]
pub(crate) struct Meter {
    url: String,
    until: Instant,
    timeout: Duration,
    budget: u64,
    left: AtomicU64,
    failure: Mutex<Option<StoreError>>,
}

impl Meter {
    /// Starts an operation; `url` is shown in errors.
    pub(crate) fn start(url: &str, timeout: Duration, bytes: u64) -> Self {
        let timeout = timeout.min(FOR_EVER);
        Self {
            url: url.to_owned(),
            until: Instant::now() + timeout,
            timeout,
            budget: bytes,
            left: AtomicU64::new(bytes),
            failure: Mutex::new(None),
        }
    }

    /// The repository as errors show it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Time left; zero when it is over.
    pub(crate) fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Fails when the time is over.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.remaining().is_zero() { Err(self.timeout()) } else { Ok(()) }
    }

    /// What is left of the time and the bytes, for another repository.
    pub(crate) fn within(&self, url: &str) -> Self {
        let left = self.left.load(Ordering::Relaxed);
        Self {
            url: url.to_owned(),
            until: self.until,
            timeout: self.timeout,
            budget: left,
            left: AtomicU64::new(left),
            failure: Mutex::new(None),
        }
    }

    /// Bytes that were counted.
    pub(crate) fn spent(&self) -> u64 {
        self.budget.saturating_sub(self.left.load(Ordering::Relaxed))
    }

    /// Counts bytes that were received.
    pub(crate) fn spend(&self, bytes: u64) -> Result<(), StoreError> {
        self.check()?;
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        match spent {
            Ok(_) => Ok(()),
            Err(_) => Err(self.limit(format!("a fetch may receive {} bytes", self.budget))),
        }
    }

    /// Keeps a reason and hands out an error for a library to carry.
    pub(crate) fn fail(&self, err: StoreError) -> io::Error {
        let carried = io::Error::other(err.to_string());
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(err);
        carried
    }

    /// The reason kept, or else what the library says.
    pub(crate) fn reason(&self, err: &io::Error) -> StoreError {
        let kept = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| match err.kind() {
            io::ErrorKind::UnexpectedEof => self.unreachable("the connection closed half way"),
            io::ErrorKind::TimedOut => self.timeout(),
            _ => self.unreachable(err.to_string()),
        })
    }

    /// The reason kept, if there is one.
    pub(crate) fn kept(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn timeout(&self) -> StoreError {
        StoreError::Timeout { url: self.url.clone(), seconds: self.timeout.as_secs() }
    }

    pub(crate) fn limit(&self, what: impl Into<String>) -> StoreError {
        StoreError::Limit { url: self.url.clone(), what: what.into() }
    }

    pub(crate) fn unreachable(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Unreachable { url: self.url.clone(), reason: reason.into() }
    }

    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt { url: self.url.clone(), reason: reason.into() }
    }

    pub(crate) fn local(&self, source: io::Error) -> StoreError {
        StoreError::Local { url: self.url.clone(), source }
    }
}

/// Text from outside that a message may carry: one line, no control characters, not endless.
pub(crate) fn plain(text: &str, length: usize) -> String {
    let bidi = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !bidi(c))
        .take(length)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_bind_at_the_limit() {
        let meter = Meter::start("https://x", Duration::from_secs(60), 10);
        assert!(meter.spend(10).is_ok());
        assert_eq!(
            meter.spend(1).unwrap_err().to_string(),
            "https://x is over a limit: a fetch may receive 10 bytes"
        );
        let meter = Meter::start("https://x", Duration::ZERO, 10);
        assert_eq!(meter.spend(1).unwrap_err().to_string(), "https://x did not answer within 0 s");
    }

    #[test]
    fn the_first_reason_is_kept() {
        let meter = Meter::start("https://x", Duration::from_secs(60), 0);
        let first = meter.fail(meter.limit("one"));
        let _second = meter.fail(meter.limit("two"));
        assert_eq!(meter.reason(&first).to_string(), "https://x is over a limit: one");
        assert_eq!(
            meter.reason(&io::ErrorKind::UnexpectedEof.into()).to_string(),
            "could not reach https://x: the connection closed half way"
        );
    }

    #[test]
    fn text_from_outside_is_one_plain_line() {
        assert_eq!(plain("a\u{1b}[31mb\r\nc\u{202e}d", 99), "a [31mb  cd");
        assert_eq!(plain("  abcdef", 5), "abc");
    }
}
