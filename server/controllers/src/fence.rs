//! Whether this engine may act now: it may not where another one may have taken over.
//!
//! In: whoever knows. Out: yes, or the reason why not. Asked before a store is polled, before a
//! permit is made and before each step that a permit covers; a yes is never kept.

use std::sync::Arc;

use fixpoint_base::{Class, Classified};

/// Another engine may act, so this one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another replica may lead, so this one does nothing")]
pub struct NotLeading;

impl Classified for NotLeading {
    fn class(&self) -> Class {
        Class::Transient
    }
}

/// Knows whether this engine may act. Cheap to clone.
#[derive(Clone, Default)]
pub struct Fence(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Fence {
    /// For an engine that has no other beside it: it may always act.
    pub fn none() -> Self {
        Self(None)
    }

    /// For one of several: it may act while `leads` says so.
    pub fn of(leads: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(leads)))
    }

    /// Whether this engine may act now.
    ///
    /// # Errors
    /// When another one may.
    pub fn check(&self) -> Result<(), NotLeading> {
        match &self.0 {
            Some(leads) if !leads() => Err(NotLeading),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_yes_is_never_kept() {
        let leads = Arc::new(AtomicBool::new(true));
        let asked = leads.clone();
        let fence = Fence::of(move || asked.load(Ordering::Relaxed));
        assert_eq!(fence.check(), Ok(()));
        leads.store(false, Ordering::Relaxed);
        assert_eq!(fence.check(), Err(NotLeading));
        assert_eq!(Fence::none().check(), Ok(()));
    }
}
