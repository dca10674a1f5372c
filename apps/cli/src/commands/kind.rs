//! How a command line names an object: `KIND/NAME`, with Flux's spellings as aliases.

use std::str::FromStr;

use anyhow::Result;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};

use crate::client::Client;
use crate::report::advice;

/// A kind that the engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A source in Git.
    GitRepository,
    /// A delivery.
    Kustomization,
}

impl Kind {
    /// The kinds in belt order.
    pub const ALL: [Self; 2] = [Self::GitRepository, Self::Kustomization];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::Kustomization => "Kustomization",
        }
    }

    /// What it is on the belt.
    pub fn word(self) -> &'static str {
        match self {
            Self::GitRepository => "source",
            Self::Kustomization => "delivery",
        }
    }

    /// How the API serves it.
    pub fn resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::GitRepository => ("source.toolkit.fluxcd.io", "gitrepositories"),
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "kustomizations"),
        };
        let gvk = GroupVersionKind::gvk(group, "v1", self.name());
        ApiResource::from_gvk_with_plural(&gvk, plural)
    }

    /// A client for it in one namespace.
    pub fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.kube.clone(), namespace, &self.resource())
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "gitrepository" | "gitrepositories" | "gitrepo" | "git" | "source" => {
                Ok(Self::GitRepository)
            }
            "kustomization" | "kustomizations" | "ks" | "delivery" => Ok(Self::Kustomization),
            _ => Err(advice(
                format!("{text:?} is not a kind that the engine keeps"),
                "use gitrepository/NAME (also gitrepo, source) or kustomization/NAME (also ks, \
                 delivery)",
            )),
        }
    }
}

/// One object as a command line names it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Target {
    /// Reads `KIND/NAME`, `KIND NAME` or Flux's `source git NAME`.
    pub fn parse(words: &[String]) -> Result<Self> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (kind, name) = match words.as_slice() {
            [word] => word.split_once('/').ok_or_else(|| usage(word))?,
            ["source", "git", name] => ("gitrepository", *name),
            [kind, name] => (*kind, *name),
            _ => return Err(usage(&words.join(" "))),
        };
        if name.is_empty() {
            return Err(usage(&words.join(" ")));
        }
        Ok(Self { kind: kind.parse()?, name: name.to_owned() })
    }
}

fn usage(given: &str) -> anyhow::Error {
    advice(
        format!("{given:?} does not name an object"),
        "name it as KIND/NAME, such as kustomization/apps",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        match Target::parse(&words) {
            Ok(target) => format!("{} {}", target.kind.name(), target.name),
            Err(err) => err.to_string(),
        }
    }

    #[test]
    fn spellings() {
        assert_eq!(parse("ks/apps"), "Kustomization apps");
        assert_eq!(parse("delivery/apps"), "Kustomization apps");
        assert_eq!(parse("kustomization apps"), "Kustomization apps");
        assert_eq!(parse("source git shop"), "GitRepository shop");
        assert_eq!(parse("GitRepository/shop"), "GitRepository shop");
        assert_eq!(parse("apps"), "\"apps\" does not name an object");
        assert_eq!(parse("pod/x"), "\"pod\" is not a kind that the engine keeps");
        assert_eq!(parse("ks/"), "\"ks/\" does not name an object");
    }
}
