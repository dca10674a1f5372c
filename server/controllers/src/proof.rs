//! Whether an acknowledgement was written by whom it names.
//!
//! In: an acknowledgement as it stands on an object. Out: the same, or why it proves nothing. Our
//! own API server writes the name itself, so there it is proven; elsewhere somebody has to vouch.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::record::Acknowledged;

type Vouch = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Vouches for the names in acknowledgements. Cheap to clone.
#[derive(Clone, Default)]
pub struct Proof(Option<Arc<Vouch>>);

impl Proof {
    /// The API server writes the names itself.
    pub fn of_the_server() -> Self {
        Self(None)
    }

    /// Somebody is asked, each time: what was in force a minute ago need not be now.
    pub fn asked(
        vouch: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(vouch)))
    }

    /// Gives an acknowledgement back where it is proven who wrote it.
    ///
    /// # Errors
    /// When it is not, in words that go into the status.
    pub async fn check(&self, ack: Acknowledged) -> Result<Acknowledged, String> {
        let Some(vouch) = &self.0 else { return Ok(ack) };
        let unproven = |why: &str| format!("the acknowledgement is not taken: {why}");
        if !ack.is_signed() {
            return Err(unproven("it does not say who wrote it; use `fixpoint ack`"));
        }
        vouch().await.map_err(|why| unproven(&why))?;
        Ok(ack)
    }
}
