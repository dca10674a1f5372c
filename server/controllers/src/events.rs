//! Kubernetes events about our objects.
//!
//! An event is a courtesy: one that cannot be written is logged and forgotten, never retried,
//! and no decision reads them.

use serde_json::{Value, json};

use crate::looper::Named;
use crate::world::Kind;

/// How much attention an event wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something went as it should.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Longest message that is kept; kube-apiserver refuses events beyond 1,024 bytes.
const MAX_MESSAGE: usize = 1024;

/// Makes the event object.
pub fn event(
    kind: Kind,
    about: &Value,
    severity: Severity,
    reason: &str,
    message: &str,
    now: &str,
    unique: u64,
) -> Value {
    let metadata = &about["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let mut short = message.to_owned();
    if short.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE - '…'.len_utf8();
        while !short.is_char_boundary(end) {
            end -= 1;
        }
        short.truncate(end);
        short.push('…');
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{name}.{unique:016x}"), "namespace": namespace},
        "involvedObject": {
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "name": name,
            "namespace": namespace,
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": match severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        },
        "reason": reason,
        "message": short,
        "source": {"component": "fixpoint"},
        "reportingComponent": "fixpoint",
        "reportingInstance": "fixpoint",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

/// Writes an event; failure is logged only.
pub async fn publish(client: &kube::Client, about: &Named, event: Value) {
    let path = format!("/api/v1/namespaces/{}/events", about.namespace);
    let request = match http::Request::post(path)
        .header("content-type", "application/json")
        .body(event.to_string().into_bytes())
    {
        Ok(request) => request,
        Err(err) => {
            tracing::warn!(object = %about, error = %err, "event not written");
            return;
        }
    };
    if let Err(err) = client.request::<Value>(request).await {
        tracing::warn!(object = %about, error = crate::words(&err), "event not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let about = json!({"metadata": {"name": "a", "namespace": "b"}});
        let long = "é".repeat(2000);
        let event = event(Kind::Source, &about, Severity::Normal, "R", &long, "", 1);
        let message = event["message"].as_str().unwrap();
        assert!(message.len() <= MAX_MESSAGE && message.ends_with('…'));
    }
}
