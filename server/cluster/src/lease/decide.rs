//! What to do about a lease, decided from what was seen of it. Pure: the time is an argument.
//!
//! In: the lease as it was last read, and since when it looks like that on our own clock. Out: one
//! act. Times written by others are compared with each other only, never with our clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

use super::Terms;

/// A lease as it was last seen.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The lease.
    pub lease: Lease,
    /// Since when its spec is what it is, on our clock.
    pub since: Instant,
}

impl Sight {
    /// Takes note of a lease; one that was not renewed keeps the time it was first seen like that.
    pub fn see(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let since = match before {
            Some(before) if before.lease.spec == lease.spec => before.since,
            _ => now,
        };
        Self { lease, since }
    }

    /// Who holds it; nobody does where no name is in it.
    pub fn holder(&self) -> Option<&str> {
        let holder = self.lease.spec.as_ref()?.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }

    /// Whether this is who holds it.
    pub fn is_held_by(&self, me: &str) -> bool {
        self.holder() == Some(me)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Make it.
    Create,
    /// Write ourselves into it, over exactly this version.
    Write {
        /// The lease as it was read.
        lease: Box<Lease>,
    },
    /// Leave it to its holder.
    StandBy {
        /// Who.
        holder: String,
    },
}

/// Decides.
pub fn next(sight: Option<&Sight>, me: &str, terms: Terms, now: Instant) -> Act {
    let Some(sight) = sight else { return Act::Create };
    let write = || Act::Write { lease: Box::new(sight.lease.clone()) };
    match sight.holder() {
        None => write(),
        Some(holder) if holder == me => write(),
        Some(_) if now >= sight.since + lasts(sight.lease.spec.as_ref(), terms) => write(),
        Some(holder) => Act::StandBy { holder: holder.to_owned() },
    }
}

/// How long its holder counts on it; at least as long as we would, so that a small number in it
/// cannot depose anybody.
fn lasts(spec: Option<&LeaseSpec>, terms: Terms) -> Duration {
    let written = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    let written = u64::try_from(written).unwrap_or_default();
    Duration::from_secs(written).max(terms.duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: Option<&str>, seconds: i32, transitions: i32) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(seconds),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    fn check(lease: Option<Lease>, seen_for: u64) -> &'static str {
        let began = Instant::now();
        let sight = lease.map(|lease| Sight::see(None, lease, began));
        let now = began + Duration::from_secs(seen_for);
        match next(sight.as_ref(), "me", Terms::default(), now) {
            Act::Create => "create",
            Act::Write { .. } => "write",
            Act::StandBy { .. } => "stand by",
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken() {
        assert_eq!(check(None, 0), "create");
        assert_eq!(check(Some(lease(None, 1, 3)), 0), "write");
        assert_eq!(check(Some(lease(Some(""), 1, 3)), 0), "write");
        assert_eq!(check(Some(Lease::default()), 0), "write");
    }

    #[test]
    fn another_holder_is_left_alone_until_it_was_seen_not_to_renew() {
        assert_eq!(check(Some(lease(Some("other"), 15, 0)), 0), "stand by");
        assert_eq!(check(Some(lease(Some("other"), 15, 0)), 14), "stand by");
        assert_eq!(check(Some(lease(Some("other"), 15, 0)), 15), "write");
        assert_eq!(check(Some(lease(Some("other"), 60, 0)), 59), "stand by");
        assert_eq!(check(Some(lease(Some("other"), 1, 0)), 14), "stand by");
        assert_eq!(check(Some(lease(Some("me"), 15, 0)), 0), "write");
    }

    #[test]
    fn a_renewal_starts_the_wait_anew() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let sight = Sight::see(None, lease(Some("other"), 15, 0), began);
        let same = Sight::see(Some(sight.clone()), lease(Some("other"), 15, 0), at(10));
        assert_eq!(same.since, began);
        let renewed = Sight::see(Some(sight), lease(Some("other"), 15, 1), at(10));
        assert_eq!(renewed.since, at(10));
        let act = next(Some(&renewed), "me", Terms::default(), at(24));
        assert_eq!(act, Act::StandBy { holder: "other".to_owned() });
    }
}
