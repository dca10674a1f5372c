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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn ack(by: &str) -> Acknowledged {
        Acknowledged { id: "1".to_owned(), by: by.to_owned(), reason: String::new() }
    }

    fn vouched(answer: Result<(), &'static str>) -> Proof {
        Proof::asked(move || std::future::ready(answer.map_err(str::to_owned)).boxed())
    }

    #[tokio::test]
    async fn a_name_counts_where_somebody_vouches_for_it() {
        let taken = |proof: Proof, by: &'static str| async move {
            proof.check(ack(by)).await.map(|ack| ack.by)
        };
        assert_eq!(taken(vouched(Ok(())), "alice").await, Ok("alice".to_owned()));
        let refused = taken(vouched(Err("there is no policy")), "alice").await.unwrap_err();
        assert_eq!(refused, "the acknowledgement is not taken: there is no policy");
        for nobody in ["", "unknown"] {
            let refused = taken(vouched(Ok(())), nobody).await.unwrap_err();
            assert!(refused.contains("does not say who wrote it"), "{refused}");
        }
        assert_eq!(taken(Proof::of_the_server(), "").await, Ok(String::new()));
    }
}
