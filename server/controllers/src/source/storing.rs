//! Makes an accepted version the artifact of its source.
//!
//! In: a version with its content and what it includes. Out: a stored artifact and an entry in the
//! ledger, in this order: what the ledger accepts is there. Nothing else makes artifacts.

use std::time::Instant as Moment;

use fixpoint_api_types::names::reasons;
use fixpoint_base::{Chain, Digest};
use fixpoint_driver_store::Stored;
use fixpoint_source::verdict::Violation;
use fixpoint_source::{Content, Pointer, Tree};
use tokio::time::Instant;

use super::inclusion::{self, Included};
use super::reconcile::{Run, blocking, short, timeout};
use super::status::{self, Said};
use super::verification::Verified;
use crate::record::{Acknowledged, Seeing};
use crate::stage::StageName;

/// A version that may be delivered.
pub(super) struct Version {
    /// Where it is.
    pub pointer: Pointer,
    /// What it holds.
    pub content: Content,
    /// What is copied into it.
    pub included: Vec<Included>,
    /// Who signed it.
    pub signed: Option<Box<Verified>>,
}

/// What was stored, and what of it goes on record.
struct Made {
    stored: Stored,
    /// Digest of the tree, where something was copied in.
    whole: Option<Digest>,
    files: u64,
    bytes: u64,
}

impl Run<'_> {
    /// Stores the artifact, then records the observation.
    pub async fn store(
        &self,
        seeing: Seeing,
        version: Version,
        warning: Option<Violation>,
        answered: Option<(Acknowledged, Violation)>,
        began: Instant,
    ) -> Result<Said, Said> {
        let (verdict, now) = (seeing.verdict, seeing.now);
        let revision = version.pointer.revision();
        let included = version.included.clone();
        let signed = version.signed.clone();
        let made = self.make(version, seeing.read.and_then(|read| read.selection)).await?;
        let Made { stored, whole, files, bytes } = made;
        let seeing = Seeing {
            artifact: Some(stored.digest),
            included: included.iter().map(|included| included.evidence.clone()).collect(),
            whole,
            files,
            bytes,
            ..seeing
        };
        self.record(self.ctx.record.accepted(seeing, warning.as_ref(), answered)).await?;
        let detail = match &warning {
            Some(violation) => violation.warned(),
            None => format!("{verdict}: {}", short(&revision)),
        };
        self.tell(StageName::Verdict, &detail, began.elapsed(), warning.is_none());
        Ok(Said::Stored {
            artifact: Box::new(status::artifact(&stored, &self.ctx.artifact_url, &revision, now)),
            verdict,
            warning: warning.map(Box::new),
            included: included.into_iter().map(|included| included.artifact).collect(),
            signed,
        })
    }

    /// Copies, packs and writes, on a thread that may block.
    async fn make(&self, version: Version, selection: Option<Digest>) -> Result<Made, Said> {
        let artifacts = self.ctx.artifacts.clone();
        let (namespace, name) = (self.name.namespace.clone(), self.name.name.clone());
        let before = self.repository.status.as_ref().and_then(|status| status.artifact.clone());
        let limits = self.ctx.limits.clone();
        let until = Moment::now() + timeout(&self.repository.spec.timeout);
        blocking(move || {
            let Version { pointer, content, included, signed: _ } = version;
            let Content { tree, sieve, .. } = content;
            let tree = inclusion::copy(&artifacts, tree, &included, &sieve, &limits, until)?;
            let plain = selection.is_none() && included.is_empty();
            let file = file_name(&pointer, &tree, plain);
            let stored = artifacts.put("gitrepository", &namespace, &name, &file, &tree);
            let kept = stored.and_then(|stored| {
                // The version before stays for those who are still reading it.
                let before = before.map(|before| before.path).unwrap_or_default();
                artifacts.gc("gitrepository", &namespace, &name, &[&stored.path, &before])?;
                Ok(stored)
            });
            let stored = kept.map_err(|err| Said::Failed {
                reason: reasons::ARCHIVE_OPERATION_FAILED,
                message: Chain(&err).to_string(),
            })?;
            let whole = (!included.is_empty()).then_some(stored.tree_digest);
            Ok(Made { stored, whole, files: tree.len() as u64, bytes: tree.bytes() })
        })
        .await
    }
}

/// What an artifact is called: by its commit and, where that does not say it all, by its content
/// too, so that who reads the one before is not handed another.
fn file_name(pointer: &Pointer, tree: &Tree, plain: bool) -> String {
    if plain {
        pointer.commit.clone()
    } else {
        format!("{}-{}", pointer.commit, tree.digest().short())
    }
}
