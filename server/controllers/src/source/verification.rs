//! Whether a version is signed by somebody who is trusted.
//!
//! In: `spec.verify`, the Secret with the trusted keys, the objects of the version. Out: who signed
//! it, or why it is refused. It comes before the verdict and before any content: nobody can
//! acknowledge their way around a signature. That a check could not be made (no Secret, an API
//! server or a store that does not answer) is no answer: the run fails and is tried again.

use std::collections::BTreeMap;
use std::sync::Arc;

use fixpoint_api_types::names::reasons;
use fixpoint_api_types::{GitRepositoryVerification, GitVerificationMode};
use fixpoint_base::{Chain, Classified};
use fixpoint_ledger::entry;
use fixpoint_signature::{Keys, KeysProblem, Seconds, SignatureProblem, Signer};
use fixpoint_source::{NameClass, Objects, Pointer, Store, StoreError};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use tokio::time::Instant;

use super::reconcile::{Run, blocking};
use super::status::Said;

/// Who signed a version.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What had to be signed.
    pub mode: GitVerificationMode,
    /// One sentence for the status.
    pub message: String,
    /// How the ledger knows it.
    pub evidence: entry::Signature,
}

/// Why a version is refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// One word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Whether only an edit of the source mends it.
    pub stalled: bool,
    /// How the ledger knows it.
    pub evidence: entry::Signature,
}

/// What a check comes to.
enum Failed {
    Keys(KeysProblem),
    Store(StoreError),
    Refused(Refused),
}

impl Run<'_> {
    /// Checks the signatures that are declared; `None` where none are. `at` is when they count.
    ///
    /// # Errors
    /// The inner error refuses the version; the outer one ends a run that could not tell.
    pub async fn verify(
        &self,
        store: &Arc<dyn Store>,
        pointer: &Pointer,
        at: Seconds,
        began: Instant,
    ) -> Result<Result<Option<Verified>, Refused>, Said> {
        let Some(declared) = &self.repository.spec.verify else { return Ok(Ok(None)) };
        let check = Check { mode: mode(declared), pointer: pointer.clone(), at };
        if let Err(refused) = check.can_be_made() {
            return Ok(Err(refused));
        }
        let name = declared.secret_ref.name.clone();
        let values = self.trusted(&name).await?;
        let store = store.clone();
        let checked = blocking(move || {
            let values = values.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let keys = Keys::read(values).map_err(Failed::Keys)?;
            let objects = store.objects(&check.pointer).map_err(Failed::Store)?;
            check.run(&keys, &objects).map_err(Failed::Refused)
        });
        match checked.await {
            Ok(verified) => Ok(Ok(Some(verified))),
            Err(Failed::Refused(refused)) => Ok(Err(refused)),
            Err(Failed::Store(err)) => Err(self.fetch_failed(&err, began.elapsed())),
            Err(Failed::Keys(problem)) => {
                let hint = problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                let message = format!("public keys of Secret {name}: {}{hint}", Chain(&problem));
                Err(Said::Failed { reason: reasons::VERIFICATION_ERROR, message })
            }
        }
    }

    /// The values of the Secret with the trusted keys.
    async fn trusted(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Said> {
        let failed = |message| Said::Failed { reason: reasons::VERIFICATION_ERROR, message };
        let api: Api<Secret> = Api::namespaced(self.ctx.client.clone(), &self.name.namespace);
        let found = api.get_opt(name).await.map_err(|err| {
            failed(format!("could not read Secret {name} with the public keys: {}", Chain(&err)))
        })?;
        let secret = found
            .ok_or_else(|| failed(format!("Secret {name} with the public keys does not exist")))?;
        Ok(secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.0))
            .collect())
    }
}

/// What has to be signed. The older spelling means the same.
fn mode(declared: &GitRepositoryVerification) -> GitVerificationMode {
    match declared.mode {
        GitVerificationMode::LowercaseHead | GitVerificationMode::Head => GitVerificationMode::Head,
        GitVerificationMode::Tag => GitVerificationMode::Tag,
        GitVerificationMode::TagAndHead => GitVerificationMode::TagAndHead,
    }
}

/// The mode as it is written.
pub fn word(mode: GitVerificationMode) -> &'static str {
    match mode {
        GitVerificationMode::LowercaseHead | GitVerificationMode::Head => "HEAD",
        GitVerificationMode::Tag => "Tag",
        GitVerificationMode::TagAndHead => "TagAndHEAD",
    }
}

/// One check, ready to be made. Pure.
struct Check {
    mode: GitVerificationMode,
    pointer: Pointer,
    at: Seconds,
}

impl Check {
    /// A tag can only be verified where one is followed.
    fn can_be_made(&self) -> Result<(), Refused> {
        let of_tag = matches!(self.pointer.class, NameClass::Tag | NameClass::Semver);
        if self.mode == GitVerificationMode::Head || of_tag {
            return Ok(());
        }
        let message = "cannot verify tag object's signature if a tag reference is not specified";
        let refused = self.refused("InvalidVerificationMode", message.to_owned());
        Err(Refused { stalled: true, ..refused })
    }

    fn run(&self, keys: &Keys, objects: &Objects) -> Result<Verified, Refused> {
        let mut signed = Vec::new();
        let mut by = Vec::new();
        if self.mode != GitVerificationMode::Head {
            let (what, signer) = self.tag(keys, objects)?;
            signed.push(format!("{what} with key '{}'", signer.key));
            by.push(signer.key);
        }
        if self.mode != GitVerificationMode::Tag {
            let (what, signer) = self.commit(keys, objects)?;
            signed.push(format!("{what} with key '{}'", signer.key));
            by.push(signer.key);
        }
        let message = format!("verified signature of\n\t- {}", signed.join("\n\t- "));
        let evidence =
            entry::Signature { mode: word(self.mode).to_owned(), keys: by, problem: None };
        Ok(Verified { mode: self.mode, message, evidence })
    }

    fn tag(&self, keys: &Keys, objects: &Objects) -> Result<(String, Signer), Refused> {
        let (tag, commit) = (tag_name(&self.pointer), &self.pointer.commit);
        let unsigned = || {
            let message = format!("cannot verify signature of tag '{tag}' since it is not signed");
            self.refused("InvalidGitObject", message)
        };
        let object = objects.tag.as_deref().ok_or_else(unsigned)?;
        match fixpoint_signature::verify_tag(keys, object, tag, commit, self.at) {
            Ok(signer) => Ok((format!("tag '{tag}'"), signer)),
            Err(SignatureProblem::Unsigned) => Err(unsigned()),
            Err(problem) => {
                Err(self.failed("InvalidTagSignature", &format!("tag '{tag}'"), &problem))
            }
        }
    }

    fn commit(&self, keys: &Keys, objects: &Objects) -> Result<(String, Signer), Refused> {
        let what = format!("commit '{}'", self.pointer.commit);
        match fixpoint_signature::verify_commit(keys, &objects.commit, self.at) {
            Ok(signer) => Ok((what, signer)),
            Err(problem) => Err(self.failed("InvalidCommitSignature", &what, &problem)),
        }
    }

    fn failed(&self, reason: &'static str, what: &str, problem: &SignatureProblem) -> Refused {
        let hint = problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let problem = Chain(problem);
        self.refused(reason, format!("signature verification of {what} failed: {problem}{hint}"))
    }

    fn refused(&self, reason: &'static str, message: String) -> Refused {
        let evidence = entry::Signature {
            mode: word(self.mode).to_owned(),
            keys: Vec::new(),
            problem: Some(message.clone()),
        };
        Refused { reason, message, stalled: false, evidence }
    }
}

/// The tag as its object names it.
fn tag_name(pointer: &Pointer) -> &str {
    pointer.full.strip_prefix("refs/tags/").unwrap_or(&pointer.name)
}
