//! Which cluster answers.

use std::time::Duration;

use kube::Client;
use serde_json::Value;

use crate::call::{self, Answer, Call};
use crate::error::{Act, TargetError, What};
use crate::rest::Rest;

/// The namespace that every cluster has from its first minute on, and that cannot be deleted.
const NAMESPACE: &str = "kube-system";

/// Longest uid; they are UUIDs.
const MAX_UID: usize = 64;

/// How long a cluster may take to say which one it is: everything else waits for that.
const LIMIT: Duration = Duration::from_secs(15);

/// Asks a cluster which one it is: the uid of its namespace kube-system, which is made with the
/// cluster and never again.
///
/// # Errors
/// When it does not say.
pub async fn cluster_of(client: &Client, rest: &Rest) -> Result<String, TargetError> {
    let what = What::of_a_stranger(format!("Namespace/{NAMESPACE}"));
    let call = Call::get(Act::Identify, what, format!("/api/v1/namespaces/{NAMESPACE}"));
    match call::send(client, rest, &call, LIMIT).await? {
        Answer::Ok(_, namespace) => {
            match namespace.pointer("/metadata/uid").and_then(Value::as_str) {
                Some(uid) if is_uid(uid) => Ok(uid.to_owned()),
                _ => Err(call::nonsense(&call, "the namespace has no uid")),
            }
        }
        Answer::Missing(_) => {
            Err(call::nonsense(&call, "it is no cluster, or lost that namespace"))
        }
        Answer::No(code @ (401 | 403 | 408 | 429 | 500..=599), status) => {
            Err(call.refusal(code, &status))
        }
        Answer::No(code, _) => Err(call::nonsense(&call, &format!("it is a {code}"))),
    }
}

/// What goes into names on record; a cluster cannot write what it likes there.
fn is_uid(text: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !text.is_empty() && text.len() <= MAX_UID && text.chars().all(sign)
}
