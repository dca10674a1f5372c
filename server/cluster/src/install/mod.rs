//! The manifests of an installation.
//!
//! In: the image, and whether the engine may deliver everything. Out: the manifests, as people read
//! them and as objects, in the order in which they are to be applied: the policy on
//! acknowledgements comes before the kinds that it is about, so that none is older than it.

use fixpoint_base::Limits;
use serde_json::Value;

const NAMESPACE: &str = include_str!("namespace.yaml");
const POLICY: &str = include_str!("policy.yaml");
const RBAC: &str = include_str!("rbac.yaml");
const ADMIN: &str = include_str!("admin.yaml");
const ENGINE: &str = include_str!("engine.yaml");

/// What can be chosen about an installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The image of the Deployment.
    pub image: String,
    /// Whether the engine is bound to cluster-admin, to deliver what it likes.
    pub admin: bool,
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the name of an image")]
pub struct BadImage(String);

impl Installation {
    /// The manifests as one YAML stream.
    ///
    /// # Errors
    /// When the image has a name that no image has.
    pub fn text(&self) -> Result<String, BadImage> {
        Ok(self.parts()?.join("---\n"))
    }

    /// The manifests as objects.
    ///
    /// # Errors
    /// When the image has a name that no image has.
    pub fn objects(&self) -> Result<Vec<Value>, BadImage> {
        Ok(self.parts()?.iter().flat_map(|part| parsed(part)).collect())
    }

    fn parts(&self) -> Result<Vec<String>, BadImage> {
        // Image references have no other characters; anything else could become more than a name.
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
        if self.image.is_empty() || self.image.len() > 512 || !self.image.chars().all(fits) {
            return Err(BadImage(self.image.clone()));
        }
        let mut parts = vec![NAMESPACE.to_owned(), POLICY.to_owned()];
        parts.extend(fixpoint_api_types::crds().iter().map(fixpoint_yaml::to_string));
        parts.push(RBAC.to_owned());
        if self.admin {
            parts.push(ADMIN.to_owned());
        }
        parts.push(ENGINE.replace("{image}", &self.image));
        Ok(parts)
    }
}

/// The policy on acknowledgements and its binding.
pub(crate) fn policy() -> [Value; 2] {
    let objects = parsed(POLICY);
    objects.try_into().expect("the policy and its binding are two documents")
}

fn parsed(part: &str) -> Vec<Value> {
    fixpoint_yaml::parse(part.as_bytes(), &Limits::default())
        .expect("manifests in this crate are valid YAML")
}
