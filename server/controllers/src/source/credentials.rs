//! Who we say we are to a Git server: read from the Secret that the source names.

use fixpoint_api_types::GitRepositorySpec;
use fixpoint_base::Secret;
use fixpoint_source::{Credentials, SshIdentity};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::Api;

/// What a Secret for `https://` may hold.
const HTTP: &str = "bearerToken nor username and password, nor ca.crt";

/// What a Secret for `ssh://` must hold.
const SSH: &str = "identity nor known_hosts, which an ssh:// URL needs";

/// Why the Secret cannot be used. Never carries a value.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It is not there.
    #[error("Secret {0} does not exist")]
    Missing(String),
    /// It holds nothing that fits.
    #[error("Secret {name} has neither {wanted}")]
    Empty {
        /// The Secret.
        name: String,
        /// The keys that would fit.
        wanted: &'static str,
    },
    /// One of its values is not text.
    #[error("value {key} of Secret {name} is not UTF-8 text")]
    NotText {
        /// The Secret.
        name: String,
        /// The key.
        key: &'static str,
    },
    /// Client certificates are not built yet.
    #[error("Secret {name} has a client certificate, which is not supported yet")]
    ClientCertificate {
        /// The Secret.
        name: String,
    },
    /// The API server did not answer.
    #[error("could not read Secret {name}")]
    Unreadable {
        /// The Secret.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Reads the credentials and the certificate authority of a source.
///
/// # Errors
/// When the Secret is missing or holds nothing that can be used.
pub async fn read(
    client: &kube::Client,
    namespace: &str,
    spec: &GitRepositorySpec,
) -> Result<(Credentials, Option<Vec<u8>>), CredentialsError> {
    let Some(reference) = &spec.secret_ref else { return Ok((Credentials::Anonymous, None)) };
    let name = reference.name.clone();
    let api: Api<SecretObject> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(&name).await.map_err(|source| CredentialsError::Unreadable {
        name: name.clone(),
        source: Box::new(source),
    })?;
    let secret = found.ok_or_else(|| CredentialsError::Missing(name.clone()))?;
    let mut data = secret.data.unwrap_or_default();
    if data.contains_key("tls.crt") || data.contains_key("tls.key") {
        return Err(CredentialsError::ClientCertificate { name });
    }
    let ca = data.remove("ca.crt").or_else(|| data.remove("caFile")).map(|bytes| bytes.0);
    let mut text = |key: &'static str| match data.remove(key) {
        None => Ok(None),
        Some(bytes) => match String::from_utf8(bytes.0) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(_) => Err(CredentialsError::NotText { name: name.clone(), key }),
        },
    };
    if spec.url.starts_with("ssh://") {
        let Some(key) = text("identity")? else {
            return Err(CredentialsError::Empty { name, wanted: SSH });
        };
        let identity = SshIdentity {
            key: Secret::new(key),
            passphrase: text("password")?.map(Secret::new),
            known_hosts: text("known_hosts")?.unwrap_or_default(),
        };
        return Ok((Credentials::Ssh(identity), None));
    }
    let credentials = match (text("bearerToken")?, text("username")?, text("password")?) {
        (Some(token), _, _) => Credentials::Bearer(Secret::new(token)),
        (None, Some(username), Some(password)) => {
            Credentials::Basic { username, password: Secret::new(password) }
        }
        (None, _, _) if ca.is_some() => Credentials::Anonymous,
        (None, _, _) => return Err(CredentialsError::Empty { name, wanted: HTTP }),
    };
    Ok((credentials, ca))
}
