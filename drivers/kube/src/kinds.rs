//! Which kinds a server serves, and under which path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fixpoint_base::Gvk;
use kube::Client;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call::{self, Answer, Call};
use crate::error::{Act, TargetError, What};
use crate::path;
use crate::rest::Rest;

/// A kind that was not there is asked for again after this long, so that a thousand objects of a
/// missing kind cost one request.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How a kind is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub plural: String,
    pub namespaced: bool,
}

/// The kinds of one API version, as of a moment.
#[derive(Debug)]
struct Served {
    at: Instant,
    kinds: BTreeMap<String, Kind>,
}

type Slot = Arc<Mutex<Option<Served>>>;

/// Remembers what a server serves; each API version is asked for when one of its kinds is first
/// needed, and again when a kind is missing.
#[derive(Debug, Default)]
pub struct Kinds {
    versions: Mutex<BTreeMap<String, Slot>>,
}

impl Kinds {
    /// Finds a kind.
    pub async fn find(
        &self,
        client: &Client,
        rest: &Rest,
        gvk: &Gvk,
        limit: Duration,
    ) -> Result<Kind, TargetError> {
        let slot = self.slot(gvk).await;
        // Held across the request: whoever needs the same version waits for the one answer.
        let mut slot = slot.lock().await;
        let known = slot.as_ref().and_then(|served| served.kinds.get(&gvk.kind));
        if let Some(kind) = known {
            return Ok(kind.clone());
        }
        if slot.as_ref().is_none_or(|served| served.at.elapsed() >= ASK_AGAIN) {
            let kinds = discover(client, rest, gvk, limit).await?;
            *slot = Some(Served { at: Instant::now(), kinds });
        }
        let found = slot.as_ref().and_then(|served| served.kinds.get(&gvk.kind));
        found.cloned().ok_or_else(|| TargetError::UnknownKind { kind: spell(gvk) })
    }

    /// Forgets what is known of a kind's API version: a definition came or went.
    pub async fn forget(&self, gvk: &Gvk) {
        *self.slot(gvk).await.lock().await = None;
    }

    /// Forgets everything.
    pub async fn clear(&self) {
        self.versions.lock().await.clear();
    }

    async fn slot(&self, gvk: &Gvk) -> Slot {
        self.versions.lock().await.entry(gvk.api_version()).or_default().clone()
    }
}

async fn discover(
    client: &Client,
    rest: &Rest,
    gvk: &Gvk,
    limit: Duration,
) -> Result<BTreeMap<String, Kind>, TargetError> {
    let what = What::plain(gvk.api_version());
    let call = Call::get(Act::Discover, what, path::version(gvk));
    match call::send(client, rest, &call, limit).await? {
        Answer::Ok(_, list) => Ok(read_kinds(&list)),
        Answer::Missing(_) => Ok(BTreeMap::new()),
        Answer::No(code, status) => Err(call.refusal(code, &status)),
    }
}

fn read_kinds(list: &Value) -> BTreeMap<String, Kind> {
    let resources = list.get("resources").and_then(Value::as_array).into_iter().flatten();
    resources
        .filter_map(|resource| {
            let plural = resource.get("name")?.as_str()?.to_owned();
            let kind = resource.get("kind")?.as_str()?.to_owned();
            let namespaced = resource.get("namespaced")?.as_bool()?;
            // `deployments/scale` and the like are parts of objects.
            (!plural.contains('/')).then_some((kind, Kind { plural, namespaced }))
        })
        .collect()
}

/// `Widget.example.org/v1`, or `ConfigMap/v1` for the core group.
pub fn spell(gvk: &Gvk) -> String {
    let dot = if gvk.group.is_empty() { "" } else { "." };
    format!("{}{dot}{}/{}", gvk.kind, gvk.group, gvk.version)
}
