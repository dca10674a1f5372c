//! Whether the cluster has what the engine needs: the definitions of its kinds.
//!
//! In: a client. Out: nothing, or everything that is missing at once. A kind that is served and may
//! not be read is as good as missing: its watch would be silent.

use fixpoint_api_types::crds;
use fixpoint_base::{Class, Classified};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;

/// Why the engine cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum NotInstalled {
    /// Definitions are missing, or do not serve what is needed.
    #[error("the cluster does not serve the engine's kinds: {}", .0.join("; "))]
    Definitions(Vec<String>),
    /// A kind may not be read.
    #[error("{kind} may not be listed in all namespaces: {why}")]
    Forbidden {
        /// The kind.
        kind: String,
        /// What the API server said.
        why: String,
    },
    /// It cannot be told.
    #[error("could not read the definitions of the engine's kinds: {0}")]
    Unreadable(String),
}

impl Classified for NotInstalled {
    fn class(&self) -> Class {
        match self {
            Self::Definitions(_) => Class::User,
            Self::Forbidden { .. } => Class::Refused,
            Self::Unreadable(_) => Class::Transient,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Definitions(_) => {
                Some("install them with `fixpoint install --kubeconfig FILE`".to_owned())
            }
            Self::Forbidden { .. } => Some(
                "bind the user to the ClusterRole fixpoint that `fixpoint install --export` prints"
                    .to_owned(),
            ),
            Self::Unreadable(_) => None,
        }
    }
}

/// Checks that every kind of the engine is served.
///
/// # Errors
/// When one is not, or it cannot be told.
pub async fn check(client: &Client) -> Result<(), NotInstalled> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut missing = Vec::new();
    for wanted in crds() {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let found = definitions.get_opt(name).await;
        let found = found.map_err(|err| NotInstalled::Unreadable(crate::words(&err)))?;
        if let Some(objection) = objection(&wanted, found.as_ref()) {
            missing.push(format!("{name} {objection}"));
        }
    }
    if !missing.is_empty() {
        return Err(NotInstalled::Definitions(missing));
    }
    for wanted in crds() {
        can_list(client, &wanted).await?;
    }
    Ok(())
}

async fn can_list(client: &Client, definition: &Value) -> Result<(), NotInstalled> {
    let text = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let kind = GroupVersionKind::gvk(
        text("/spec/group"),
        text("/spec/versions/0/name"),
        text("/spec/names/kind"),
    );
    let resource = ApiResource::from_gvk_with_plural(&kind, text("/spec/names/plural"));
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    match objects.list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Err(NotInstalled::Forbidden { kind: kind.kind, why: status.message })
        }
        Err(err) => Err(NotInstalled::Unreadable(crate::words(&err))),
    }
}

fn objection(wanted: &Value, found: Option<&CustomResourceDefinition>) -> Option<String> {
    let Some(found) = found else { return Some("is not there".to_owned()) };
    let version = wanted["spec"]["versions"][0]["name"].as_str().unwrap_or_default();
    let served = |wanted| found.spec.versions.iter().any(|at| at.name == wanted && at.served);
    if !served(version) {
        return Some(format!("does not serve {version}"));
    }
    let conditions = found.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut established =
        conditions.filter(|at| at.type_ == "Established").map(|at| at.status == "True");
    (!established.next().unwrap_or_default()).then(|| "is not established yet".to_owned())
}
