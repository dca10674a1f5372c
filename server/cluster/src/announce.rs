//! Says in the cluster where the engine's own API is, and which authority signed for it.
//!
//! In: an address and a certificate. Out: a ConfigMap that the program's other commands read. They
//! trust it as far as they trust the API server that gives it to them.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::names::{ENGINE, NAME, NAMESPACE, SERVER_NAME};

/// Where the engine's own API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// `HOST:PORT`.
    pub address: String,
    /// The name in its certificate.
    pub server_name: String,
    /// The authority that signed it, PEM.
    pub authority: String,
    /// The replica that leads.
    pub leader: String,
}

impl Announcement {
    /// One under the name that is in every installation's certificate.
    pub fn new(address: String, authority: String, leader: String) -> Self {
        Self { address, server_name: SERVER_NAME.to_owned(), authority, leader }
    }
}

/// Writes the announcement.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn announce(client: &kube::Client, said: &Announcement) -> Result<(), kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": ENGINE, "namespace": NAMESPACE},
        "data": {
            "address": said.address,
            "serverName": said.server_name,
            "ca.crt": said.authority,
            "leader": said.leader,
        },
    });
    maps.patch(ENGINE, &PatchParams::apply(NAME).force(), &Patch::Apply(map)).await.map(|_| ())
}

/// Reads the announcement; `None` where no engine has announced itself.
///
/// # Errors
/// When the API server refuses or cannot be reached.
pub async fn find(client: &kube::Client) -> Result<Option<Announcement>, kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let Some(map) = maps.get_opt(ENGINE).await? else { return Ok(None) };
    let mut data = map.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).unwrap_or_default();
    Ok(Some(Announcement {
        address: take("address"),
        server_name: take("serverName"),
        authority: take("ca.crt"),
        leader: take("leader"),
    }))
}
