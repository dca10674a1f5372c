//! Whether it is proven who acknowledged.
//!
//! In: a client. Out: nothing, or why an acknowledgement proves nothing here. In a cluster anybody
//! who may edit an object can write any name into its annotations; the installed
//! ValidatingAdmissionPolicy lets only one's own in. Without it, or with another in its place, no
//! acknowledgement is taken.

use kube::{Api, Client};
use serde_json::Value;

use crate::install;
use crate::names::POLICY;

/// Why an acknowledgement proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The policy or its binding is not installed.
    #[error("{0} {POLICY} is not installed (`fixpoint install` installs it)")]
    Missing(String),
    /// It is not the one that we know.
    #[error("{0} {POLICY} is not the one that `fixpoint install` installs")]
    Different(String),
    /// It cannot be told.
    #[error("{kind} {POLICY} cannot be read: {why}")]
    Unreadable {
        /// Which of the two.
        kind: String,
        /// What the API server said.
        why: String,
    },
}

/// Checks that the policy and its binding are in force, exactly as they are installed.
///
/// # Errors
/// When they are not, or it cannot be told.
pub async fn proven(client: &Client) -> Result<(), Unproven> {
    for wanted in install::policy() {
        let kind = wanted["kind"].as_str().unwrap_or_default().to_owned();
        let found = read(client, &wanted)
            .await
            .map_err(|err| Unproven::Unreadable { kind: kind.clone(), why: crate::words(&err) })?;
        match found {
            None => return Err(Unproven::Missing(kind)),
            Some(found) if !is_as_installed(&wanted, &found) => {
                return Err(Unproven::Different(kind));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn read(client: &Client, wanted: &Value) -> Result<Option<Value>, kube::Error> {
    use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
    let (group, version) =
        wanted["apiVersion"].as_str().and_then(|at| at.split_once('/')).unwrap_or_default();
    let kind = GroupVersionKind::gvk(group, version, wanted["kind"].as_str().unwrap_or_default());
    let plural = match kind.kind.as_str() {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
        _ => "validatingadmissionpolicybindings",
    };
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let found = api.get_opt(POLICY).await?;
    found.map(|found| serde_json::to_value(found).map_err(kube::Error::SerdeError)).transpose()
}

/// Everything that could weaken it is in the spec, which is written out with its defaults; and one
/// that is being deleted will not be there for the next acknowledgement.
fn is_as_installed(wanted: &Value, found: &Value) -> bool {
    found["spec"] == wanted["spec"] && found["metadata"]["deletionTimestamp"].is_null()
}

#[cfg(test)]
mod tests {
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// Asks a cluster that has the policy and the binding after these edits.
    async fn check(edit: fn(&mut Value, &mut Value)) -> Result<(), Unproven> {
        let [mut policy, mut binding] = install::policy();
        edit(&mut policy, &mut binding);
        let service = service_fn(move |request: http::Request<Body>| {
            let found = match request.uri().path().rsplit('/').nth(1) {
                Some("validatingadmissionpolicies") => policy.clone(),
                _ => binding.clone(),
            };
            let (code, body) = match found {
                Value::Null => (
                    404,
                    json!({"kind": "Status", "message": "no", "code": 404,
                                            "reason": "NotFound"}),
                ),
                found => (200, found),
            };
            let body = Body::from(body.to_string().into_bytes());
            let response = http::Response::builder().status(code).body(body);
            std::future::ready(Ok::<_, std::convert::Infallible>(response.unwrap()))
        });
        proven(&Client::new(service, "default")).await
    }

    #[tokio::test]
    async fn only_the_installed_policy_proves_anything() {
        let policy = || "ValidatingAdmissionPolicy".to_owned();
        let binding = || "ValidatingAdmissionPolicyBinding".to_owned();
        assert_eq!(check(|_, _| ()).await, Ok(()));
        assert_eq!(check(|p, _| *p = Value::Null).await, Err(Unproven::Missing(policy())));
        assert_eq!(check(|_, b| *b = Value::Null).await, Err(Unproven::Missing(binding())));
        let ignored = check(|p, _| p["spec"]["failurePolicy"] = "Ignore".into()).await;
        assert_eq!(ignored, Err(Unproven::Different(policy())));
        let excepted = check(|p, _| p["spec"]["matchConditions"] = json!([{"name": "x"}])).await;
        assert_eq!(excepted, Err(Unproven::Different(policy())));
        let only_warns = check(|_, b| b["spec"]["validationActions"] = json!(["Warn"])).await;
        assert_eq!(only_warns, Err(Unproven::Different(binding())));
        let elsewhere = check(|_, b| b["spec"]["matchResources"] = json!({})).await;
        assert_eq!(elsewhere, Err(Unproven::Different(binding())));
        let going =
            check(|_, b| b["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()).await;
        assert_eq!(going, Err(Unproven::Different(binding())));
    }
}
