//! Who we say we are to a Git server, and what we go through to it: read from the Secrets that the
//! source names.
//!
//! In: a spec. Out: values that only the driver may look into, or which key of which Secret is not
//! as it should be.

use std::collections::BTreeMap;

use fixpoint_api_types::GitRepositorySpec;
use fixpoint_base::Secret;
use fixpoint_source::{ClientCertificate, Credentials, Proxy, SshIdentity};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::Api;

/// What a Secret for `https://` may hold.
const HTTP: &str = "bearerToken nor username and password, nor ca.crt, nor tls.crt";

/// What a Secret for `ssh://` must hold.
const SSH: &str = "identity nor known_hosts, which an ssh:// URL needs";

/// What a Secret for a proxy must hold.
const PROXY: &str = "address nor anything else that names a proxy";

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
    /// It holds one half of a pair.
    #[error("Secret {name} has {present} without {missing}")]
    Half {
        /// The Secret.
        name: String,
        /// The key that is there.
        present: &'static str,
        /// The key that belongs to it.
        missing: &'static str,
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

/// All that the Secrets of a source say.
#[derive(Debug, Default)]
pub struct Access {
    /// Who we are.
    pub credentials: Credentials,
    /// Whom to trust instead of the system's authorities, as PEM.
    pub ca: Option<Vec<u8>>,
    /// What a TLS server may know us by.
    pub certificate: Option<ClientCertificate>,
    /// What to go through.
    pub proxy: Option<Proxy>,
}

/// Reads the Secrets of a source.
///
/// # Errors
/// When a Secret is missing or holds nothing that can be used.
pub async fn read(
    client: &kube::Client,
    namespace: &str,
    spec: &GitRepositorySpec,
) -> Result<Access, CredentialsError> {
    let mut access = Access::default();
    if let Some(reference) = &spec.secret_ref {
        let keys = Keys::read(client, namespace, &reference.name).await?;
        if spec.url.starts_with("ssh://") {
            access.credentials = Credentials::Ssh(keys.ssh()?);
        } else {
            access = keys.http()?;
        }
    }
    if let Some(reference) = &spec.proxy_secret_ref {
        access.proxy = Some(Keys::read(client, namespace, &reference.name).await?.proxy()?);
    }
    Ok(access)
}

/// What one Secret holds.
struct Keys {
    name: String,
    data: BTreeMap<String, ByteString>,
}

impl Keys {
    async fn read(
        client: &kube::Client,
        namespace: &str,
        name: &str,
    ) -> Result<Self, CredentialsError> {
        let api: Api<SecretObject> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|source| CredentialsError::Unreadable {
            name: name.to_owned(),
            source: Box::new(source),
        })?;
        let secret = found.ok_or_else(|| CredentialsError::Missing(name.to_owned()))?;
        Ok(Self { name: name.to_owned(), data: secret.data.unwrap_or_default() })
    }

    /// A value under the first of these keys that is there: the newer ones come first.
    fn bytes(&mut self, keys: &[&str]) -> Option<Vec<u8>> {
        keys.iter().find_map(|key| self.data.remove(*key)).map(|bytes| bytes.0)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, CredentialsError> {
        let Some(bytes) = self.bytes(&[key]) else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(_) => Err(CredentialsError::NotText { name: self.name.clone(), key }),
        }
    }

    fn ssh(mut self) -> Result<SshIdentity, CredentialsError> {
        let Some(key) = self.text("identity")? else { return Err(self.empty(SSH)) };
        Ok(SshIdentity {
            key: Secret::new(key),
            passphrase: self.text("password")?.map(Secret::new),
            known_hosts: self.text("known_hosts")?.unwrap_or_default(),
        })
    }

    fn http(mut self) -> Result<Access, CredentialsError> {
        let ca = self.bytes(&["ca.crt", "caFile"]);
        let certificate = self.certificate()?;
        let words = (self.text("bearerToken")?, self.text("username")?, self.text("password")?);
        let credentials = match words {
            (Some(token), _, _) => Credentials::Bearer(Secret::new(token)),
            (None, Some(username), Some(password)) => {
                Credentials::Basic { username, password: Secret::new(password) }
            }
            (None, _, _) if ca.is_some() || certificate.is_some() => Credentials::Anonymous,
            (None, _, _) => return Err(self.empty(HTTP)),
        };
        Ok(Access { credentials, ca, certificate, proxy: None })
    }

    fn certificate(&mut self) -> Result<Option<ClientCertificate>, CredentialsError> {
        let pair = (self.bytes(&["tls.crt", "certFile"]), self.bytes(&["tls.key", "keyFile"]));
        let half = |present, missing| {
            Err(CredentialsError::Half { name: self.name.clone(), present, missing })
        };
        match pair {
            (Some(chain), Some(key)) => {
                Ok(Some(ClientCertificate { chain, key: Secret::new(key) }))
            }
            (Some(_), None) => half("tls.crt", "tls.key"),
            (None, Some(_)) => half("tls.key", "tls.crt"),
            (None, None) => Ok(None),
        }
    }

    fn proxy(mut self) -> Result<Proxy, CredentialsError> {
        let Some(address) = self.text("address")? else { return Err(self.empty(PROXY)) };
        let login = match (self.text("username")?, self.text("password")?) {
            (None, None) => None,
            (Some(username), Some(password)) => Some((username, Secret::new(password))),
            (present, _) => {
                let (present, missing) = match present {
                    Some(_) => ("username", "password"),
                    None => ("password", "username"),
                };
                return Err(CredentialsError::Half { name: self.name, present, missing });
            }
        };
        Ok(Proxy { address, login })
    }

    fn empty(self, wanted: &'static str) -> CredentialsError {
        CredentialsError::Empty { name: self.name, wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        let value = |key: &str| (key.to_owned(), ByteString(format!("{key}!\n").into_bytes()));
        Keys { name: "git".to_owned(), data: text.split_whitespace().map(value).collect() }
    }

    fn told<T: std::fmt::Debug>(result: Result<T, CredentialsError>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(err) => err.to_string(),
        }
    }

    #[test]
    fn what_a_secret_for_http_may_hold() {
        let http = |case: &str| keys(case).http().unwrap();
        assert!(matches!(http("username password").credentials, Credentials::Basic { .. }));
        let token = http("bearerToken username password");
        assert!(matches!(token.credentials, Credentials::Bearer(_)));
        assert_eq!(http("caFile").ca.unwrap(), b"caFile!\n");
        assert_eq!(http("ca.crt caFile").ca.unwrap(), b"ca.crt!\n");
        for pair in ["tls.crt tls.key", "certFile keyFile", "tls.crt keyFile"] {
            let access = http(pair);
            assert!(access.certificate.is_some(), "{pair}");
            assert!(matches!(access.credentials, Credentials::Anonymous), "{pair}");
        }
    }

    #[test]
    fn secrets_that_are_of_no_use_say_why() {
        let http = |case: &str| told(keys(case).http());
        assert_eq!(http("tls.crt"), "Secret git has tls.crt without tls.key");
        assert_eq!(http("keyFile"), "Secret git has tls.key without tls.crt");
        for case in ["", "username"] {
            assert_eq!(http(case), format!("Secret git has neither {HTTP}"));
        }
        assert!(keys("identity known_hosts password identity.pub").ssh().is_ok());
        assert_eq!(told(keys("password").ssh()), format!("Secret git has neither {SSH}"));
        let mut odd = keys("identity");
        odd.data.insert("identity".to_owned(), ByteString(vec![0xff]));
        assert_eq!(told(odd.ssh()), "value identity of Secret git is not UTF-8 text");

        let proxy = |case: &str| told(keys(case).proxy());
        assert!(keys("address").proxy().unwrap().login.is_none());
        assert!(keys("address username password").proxy().unwrap().login.is_some());
        assert_eq!(proxy("address password"), "Secret git has password without username");
        assert_eq!(proxy("address username"), "Secret git has username without password");
        assert_eq!(proxy("username"), format!("Secret git has neither {PROXY}"));
    }
}
