//! Finds the target of a delivery: home, or the cluster that its kubeconfig leads to, once that is
//! known to be the one on record.

use std::sync::Arc;

use fixpoint_api_types::kustomization::{KubeConfigRef, SecretKeyRef};
use fixpoint_api_types::names::{annotations, reasons};
use fixpoint_base::{Chain, Classified};
use fixpoint_driver_kube::{Access, KubeconfigError};
use fixpoint_ledger::Stranger;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::Api;
use serde_json::Value;

use super::reconcile::Run;
use super::status::Said;
use crate::record::{Acknowledged, Answering};
use crate::targets::{Target, Unreached};
use crate::world::Kind;

/// The keys that are tried where the delivery names none, as Flux does.
const KEYS: [&str; 2] = ["value", "value.yaml"];

/// Why a delivery has no target.
#[derive(Debug)]
pub(super) enum NoTarget {
    /// The Secret with the kubeconfig is gone.
    NoSecret {
        /// Its name.
        secret: String,
    },
    /// Something else.
    Said(Said),
}

impl NoTarget {
    /// What the delivery has to say.
    pub fn said(self) -> Said {
        match self {
            Self::NoSecret { secret } => failed(format!("Secret {secret} does not exist")),
            Self::Said(said) => said,
        }
    }
}

impl Run<'_> {
    /// The target of this delivery.
    pub async fn target(&self) -> Result<Arc<Target>, NoTarget> {
        let targets = &self.ctx.targets;
        match &self.delivery.spec.kube_config {
            None => {
                targets.goes_home(self.name);
                Ok(targets.home().clone())
            }
            Some(KubeConfigRef { secret_ref: Some(reference), .. }) => self.remote(reference).await,
            Some(KubeConfigRef { secret_ref: None, .. }) => Err(NoTarget::Said(Said::Stalled {
                reason: "UnsupportedField",
                message: "spec.kubeConfig names no Secret; set secretRef".to_owned(),
                polls: false,
            })),
        }
    }

    /// The target as it is now, before it is changed: nothing is done to a cluster that the plan
    /// was not made for.
    pub async fn check_still_there(&self, target: &Target) -> Result<(), Said> {
        match target.is_still_there().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(format!(
                "another cluster answers in place of {}; nothing was changed there",
                target.name
            ))),
            Err(err) => Err(failed(with_hint(&err))),
        }
    }

    async fn remote(&self, reference: &SecretKeyRef) -> Result<Arc<Target>, NoTarget> {
        let text = self.kubeconfig(reference).await?;
        let read = tokio::task::spawn_blocking(move || Access::read(&text)).await;
        let read = read.map_err(|err| said(Said::failed(reasons::RECONCILIATION_FAILED, &err)))?;
        let access = read.map_err(|err: KubeconfigError| stuck(reference, &err))?;
        let answering = self.ctx.targets.ask(self.name, &access).await;
        let answering = answering.map_err(|err| match err {
            Unreached::Connect(err) => stuck(reference, &err),
            Unreached::Target(err) => said(failed(with_hint(&err))),
            Unreached::Asked | Unreached::TooMany => said(failed(err.to_string())),
        })?;
        self.welcome(reference, &access, &answering.uid).await?;
        Ok(self.ctx.targets.met(answering))
    }

    async fn kubeconfig(&self, reference: &SecretKeyRef) -> Result<Vec<u8>, NoTarget> {
        let SecretKeyRef { name, key } = reference;
        let api: Api<SecretObject> = Api::namespaced(self.ctx.client.clone(), &self.name.namespace);
        let found = api.get_opt(name).await;
        let found = found.map_err(|err| {
            said(failed(format!("could not read Secret {name}: {}", crate::words(&err))))
        })?;
        let secret = found.ok_or_else(|| NoTarget::NoSecret { secret: name.clone() })?;
        let mut data = secret.data.unwrap_or_default();
        let keys: &[&str] = match key {
            Some(key) => &[key.as_str()],
            None => &KEYS,
        };
        match keys.iter().find_map(|key| data.remove(*key)) {
            Some(bytes) => Ok(bytes.0),
            None => Err(said(failed(format!("Secret {name} has no key {}", keys.join(" or "))))),
        }
    }

    /// Lets a delivery go on to a cluster that is the one on record for its kubeconfig.
    async fn welcome(
        &self,
        reference: &SecretKeyRef,
        access: &Access,
        cluster: &str,
    ) -> Result<(), NoTarget> {
        let server = access.shown();
        let subject = format!("KubeConfig/{}/{}", self.name.namespace, reference.name);
        let mut answering = Answering {
            subject: &subject,
            server: &server,
            cluster,
            ack: None,
            now: self.ctx.now(),
        };
        let Some(stranger) = self.meet(answering.clone()).await? else { return Ok(()) };
        let unproven = match self.proven(&stranger).await {
            Some(Ok(ack)) => {
                answering.ack = Some(ack);
                if self.meet(answering).await?.is_none() {
                    self.wake_sharers(reference);
                    return Ok(());
                }
                String::new()
            }
            Some(Err(why)) => format!("; {why}"),
            None => String::new(),
        };
        let Stranger { before, id } = stranger;
        Err(said(Said::Stranger {
            message: format!(
                "{server} leads to cluster {cluster} now, and not to cluster {before}, which is on \
                 record for Secret {}; nothing is delivered there until somebody agrees{unproven} \
                 [ack {id}]",
                reference.name
            ),
        }))
    }

    async fn meet(&self, answering: Answering<'_>) -> Result<Option<Stranger>, NoTarget> {
        let met = self.ctx.record.meet(answering).await;
        met.map_err(|err| said(Said::failed("LedgerFailed", &err)))
    }

    /// The acknowledgement of this change of clusters, or why it is not taken.
    async fn proven(&self, stranger: &Stranger) -> Option<Result<Acknowledged, String>> {
        let ack = Acknowledged::read(self.object, annotations::DELIVERY_ACKNOWLEDGE)?;
        if ack.id != stranger.id {
            return None;
        }
        Some(self.ctx.proof.check(ack).await)
    }

    /// Others that wait with the same kubeconfig need no answer of their own.
    fn wake_sharers(&self, reference: &SecretKeyRef) {
        let world = &self.ctx.world;
        for (name, object) in world.all(Kind::Delivery) {
            let same = name.namespace == self.name.namespace
                && object["spec"]["kubeConfig"]["secretRef"]["name"] == reference.name.as_str();
            if same && name != *self.name && is_held(&object) {
                world.waker(Kind::Delivery).wake(name);
            }
        }
    }
}

fn is_held(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == super::status::TARGET_IDENTITY && condition["status"] == "False"
    })
}

fn said(said: Said) -> NoTarget {
    NoTarget::Said(said)
}

fn failed(message: String) -> Said {
    Said::Failed { reason: reasons::RECONCILIATION_FAILED, message }
}

/// What will not mend itself before the Secret is changed, which nothing tells us.
fn stuck(reference: &SecretKeyRef, err: &impl Classified) -> NoTarget {
    said(Said::Stalled {
        reason: reasons::RECONCILIATION_FAILED,
        message: format!("Secret {}: {}", reference.name, with_hint(err)),
        polls: true,
    })
}

fn with_hint(err: &impl Classified) -> String {
    match err.hint() {
        Some(hint) => format!("{} ({hint})", Chain(err)),
        None => Chain(err).to_string(),
    }
}
