//! Which names may become part of a request's path.
//!
//! Names come from manifests and from statuses, so from people; they leave for an API server as
//! path segments. Anything that could name another path is refused here, before it is anywhere.

use fixpoint_base::Key;

/// As long as Kubernetes lets any name be.
const MAX_NAME: usize = 253;

/// Says what is wrong with the names of an object; `None` where nothing is.
pub(crate) fn fault(key: &Key) -> Option<String> {
    let Key { gvk, namespace, name } = key;
    if !is_plain(&gvk.group, ".-", true) {
        return Some(format!("the API group {:?} is not a DNS name", clip(&gvk.group)));
    }
    if !is_plain(&gvk.version, "", false) {
        return Some(format!("the API version {:?} is not a word like v1", clip(&gvk.version)));
    }
    if !is_plain(&gvk.kind, "-", false) {
        return Some(format!("the kind {:?} is not a word", clip(&gvk.kind)));
    }
    if !is_plain(namespace, "-", true) {
        return Some(format!("the namespace {:?} is not a DNS label", clip(namespace)));
    }
    let segment = |c: char| !c.is_whitespace() && !c.is_control() && !"/%?#\\".contains(c);
    if name.is_empty() || name == "." || name == ".." || !name.chars().all(segment) {
        return Some(format!("the name {:?} cannot be part of a path", clip(name)));
    }
    if name.len() > MAX_NAME {
        return Some(format!("the name {:?} is longer than {MAX_NAME} bytes", clip(name)));
    }
    None
}

fn is_plain(text: &str, also: &str, may_be_empty: bool) -> bool {
    (may_be_empty || !text.is_empty())
        && text.len() <= MAX_NAME
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        && !text.contains("..")
}

/// Enough of a text to recognise it in a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fixpoint_base::Gvk;

    use super::*;

    #[test]
    fn only_what_is_one_path_segment_passes() {
        let cases = [
            ("v1", "ConfigMap", "a", "b"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:node"),
            ("v1", "ConfigMap", "a", "../../secrets/b"),
            ("v1", "ConfigMap", "a", ".."),
            ("v1", "ConfigMap", "a", "b?dryRun=All"),
            ("v1", "ConfigMap", "a/b", "c"),
            ("v1", "ConfigMap/x", "a", "c"),
            ("a/b/c", "ConfigMap", "a", "c"),
            ("../x/v1", "ConfigMap", "a", "c"),
            ("v1", "ConfigMap", "a", "b c"),
        ];
        let mut out = String::new();
        for (api, kind, namespace, name) in cases {
            let (group, version) = api.split_once('/').unwrap_or(("", api));
            let key = Key::new(Gvk::new(group, version, kind), namespace, name);
            out += &format!("{}\n", fault(&key).unwrap_or_else(|| "fine".to_owned()));
        }
        expect![[r#"
            fine
            fine
            the name "../../secrets/b" cannot be part of a path
            the name ".." cannot be part of a path
            the name "b?dryRun=All" cannot be part of a path
            the namespace "a/b" is not a DNS label
            the kind "ConfigMap/x" is not a word
            the API version "b/c" is not a word like v1
            the API group ".." is not a DNS name
            the name "b c" cannot be part of a path
        "#]]
        .assert_eq(&out);
    }
}
