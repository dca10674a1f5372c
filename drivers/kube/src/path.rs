//! Where an object is found in an API server.

use fixpoint_base::{Gvk, Key};

use crate::error::TargetError;
use crate::kinds::Kind;

/// The path that lists the kinds of an API version.
pub fn version(gvk: &Gvk) -> String {
    if gvk.group.is_empty() {
        format!("/api/{}", segment(&gvk.version))
    } else {
        format!("/apis/{}/{}", segment(&gvk.group), segment(&gvk.version))
    }
}

/// The path of the collection that an object is in.
pub fn collection(key: &Key, kind: &Kind) -> Result<String, TargetError> {
    let base = version(&key.gvk);
    let plural = segment(&kind.plural);
    if !kind.namespaced {
        return Ok(format!("{base}/{plural}"));
    }
    if key.namespace.is_empty() {
        return Err(TargetError::NoNamespace { what: key.to_string() });
    }
    check(key, &key.namespace)?;
    Ok(format!("{base}/namespaces/{}/{plural}", segment(&key.namespace)))
}

/// The path of an object.
pub fn object(key: &Key, kind: &Kind) -> Result<String, TargetError> {
    check(key, &key.name)?;
    Ok(format!("{}/{}", collection(key, kind)?, segment(&key.name)))
}

fn check(key: &Key, name: &str) -> Result<(), TargetError> {
    if matches!(name, "" | "." | "..") {
        return Err(TargetError::BadName { what: key.to_string() });
    }
    Ok(())
}

/// Writes a name as one path segment, whatever is in it.
fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(api: &str, namespace: &str, name: &str, namespaced: bool) -> String {
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let key = Key::new(Gvk::new(group, version, "Thing"), namespace, name);
        let kind = Kind { plural: "things".to_owned(), namespaced };
        object(&key, &kind).unwrap_or_else(|err| err.to_string())
    }

    #[test]
    fn objects_have_their_places() {
        assert_eq!(path("v1", "a", "b", true), "/api/v1/namespaces/a/things/b");
        assert_eq!(path("x.io/v1", "", "b", false), "/apis/x.io/v1/things/b");
        // A cluster-scoped kind has no use for the namespace that a manifest may name.
        assert_eq!(path("x.io/v1", "a", "system:b", false), "/apis/x.io/v1/things/system:b");
        assert_eq!(path("v1", "", "b", true), "Thing/b needs a namespace");
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(path("v1", "a", "../b?c", true), "/api/v1/namespaces/a/things/..%2Fb%3Fc");
        assert_eq!(path("v1", "a", "..", true), "Thing/a/.. has a name that cannot be asked for");
    }
}
