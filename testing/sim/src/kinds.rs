//! The kinds that scripts speak of, by their short words, and objects in one word.
//!
//! In: `configmap/web/site,color=blue`. Out: where the API server has the object, and the object.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

/// Namespace of everything that names none.
pub const NAMESPACE: &str = "default";

/// A kind that scripts know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// How scripts call it.
    pub word: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its API version.
    pub api_version: &'static str,
    /// Its resource.
    pub plural: &'static str,
    /// Whether it has a namespace.
    pub namespaced: bool,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    kind("namespace", "Namespace", "v1", "namespaces", false),
    kind(
        "crd",
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        false,
    ),
    kind("source", "GitRepository", "source.toolkit.fluxcd.io/v1", "gitrepositories", true),
    kind("delivery", "Kustomization", "kustomize.toolkit.fluxcd.io/v1", "kustomizations", true),
    kind("configmap", "ConfigMap", "v1", "configmaps", true),
    kind("secret", "Secret", "v1", "secrets", true),
    kind("widget", "Widget", "example.org/v1", "widgets", true),
];

/// Sources.
pub const SOURCE: Kind = KINDS[2];
/// Deliveries.
pub const DELIVERY: Kind = KINDS[3];
/// Events; no scenario makes one.
pub const EVENT: Kind = kind("event", "Event", "v1", "events", true);

const fn kind(
    word: &'static str,
    kind: &'static str,
    api_version: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind { word, kind, api_version, plural, namespaced }
}

impl Kind {
    /// Path of all objects of the kind.
    pub fn all(&self) -> String {
        format!("{}/{}", self.root(), self.plural)
    }

    fn root(&self) -> String {
        match self.api_version.contains('/') {
            true => format!("/apis/{}", self.api_version),
            false => format!("/api/{}", self.api_version),
        }
    }
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty where the kind has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Place {
    /// Reads `kind/name` or `kind/namespace/name`.
    ///
    /// # Errors
    /// When the kind is not known or a part is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let (word, rest) = text.split_once('/').with_context(|| format!("{text} is no object"))?;
        let kind = KINDS.iter().find(|kind| kind.word == word);
        let kind = *kind.with_context(|| format!("there is no kind {word}"))?;
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (namespace, name),
            None if kind.namespaced => (NAMESPACE, rest),
            None => ("", rest),
        };
        Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// A source or a delivery of this name.
    pub fn named(kind: Kind, name: &str) -> Self {
        Self { kind, namespace: NAMESPACE.to_owned(), name: name.to_owned() }
    }

    /// Where an object that was read is.
    pub fn of(kind: Kind, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { kind, namespace: text("namespace"), name: text("name") }
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        let Self { kind, namespace, name } = self;
        match kind.namespaced {
            true => format!("{}/namespaces/{namespace}/{}/{name}", kind.root(), kind.plural),
            false => format!("{}/{}/{name}", kind.root(), kind.plural),
        }
    }

    /// The object with nothing in it but its name.
    pub fn blank(&self) -> Value {
        let mut metadata = Map::from_iter([("name".to_owned(), json!(self.name))]);
        if self.kind.namespaced {
            metadata.insert("namespace".to_owned(), json!(self.namespace));
        }
        let Kind { kind, api_version, .. } = self.kind;
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata})
    }
}

/// As scripts write it: the default namespace goes without saying.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name } = self;
        match namespace.as_str() {
            "" | NAMESPACE => write!(f, "{}/{name}", kind.word),
            _ => write!(f, "{}/{namespace}/{name}", kind.word),
        }
    }
}

/// Makes an object of one word: `configmap/site,color=blue`.
///
/// # Errors
/// When the kind is not known or cannot be made this way.
pub fn object(text: &str) -> Result<Value> {
    let mut parts = text.split(',');
    let place = Place::parse(parts.next().unwrap_or_default())?;
    let values = parts
        .map(|part| part.split_once('=').with_context(|| format!("{part} is not key=value")))
        .collect::<Result<Vec<_>>>()?;
    let mut object = place.blank();
    if let Some((field, value)) = content(place.kind, &values)? {
        object[field] = value;
    }
    Ok(object)
}

/// The field that holds what is in an object of a kind, made of keys and values.
///
/// # Errors
/// When scripts do not make objects of the kind.
pub fn content(kind: Kind, values: &[(&str, &str)]) -> Result<Option<(&'static str, Value)>> {
    let map = |make: fn(&str) -> Value| {
        values.iter().map(|(key, value)| ((*key).to_owned(), make(value))).collect::<Value>()
    };
    Ok(match kind.word {
        "namespace" => None,
        "configmap" => Some(("data", map(|text| json!(text)))),
        "secret" => Some(("data", map(|text| json!(ByteString(text.as_bytes().to_vec()))))),
        "widget" => Some(("spec", map(word))),
        "crd" => Some(("spec", definition())),
        word => bail!("a {word} is not made this way"),
    })
}

/// Text as JSON where it is JSON, otherwise as itself.
pub fn word(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// The one definition that scenarios bring: widgets with a size, and a status of their own.
fn definition() -> Value {
    json!({
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "versions": [{
            "name": "v1",
            "served": true,
            "storage": true,
            "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_in_one_word() {
        assert_eq!(
            object("configmap/web/site,color=blue").unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "site", "namespace": "web"},
                "data": {"color": "blue"},
            })
        );
        assert_eq!(object("widget/a,size=3").unwrap()["spec"], json!({"size": 3}));
        assert_eq!(object("secret/a,k=v").unwrap()["data"], json!({"k": "dg=="}));
        assert_eq!(object("namespace/a").unwrap()["metadata"], json!({"name": "a"}));
        assert!(object("source/a").is_err());
        assert!(object("comet/a").is_err());
    }

    #[test]
    fn the_default_namespace_goes_without_saying() {
        for text in ["configmap/a", "configmap/b/a", "namespace/a"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        let path = Place::parse("delivery/apps").unwrap().path();
        assert_eq!(
            path,
            "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/default/kustomizations/apps"
        );
    }
}
