//! Names, labels and annotations: what they may look like.
//!
//! In: text, or the metadata of an object. Out: what is wrong with it, in the words of
//! kube-apiserver; nothing where nothing is.

use serde_json::{Map, Value};

use crate::schema::{FieldError, FieldErrorKind};

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// The bytes that all annotations of an object may have together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

fn too_long(most: usize) -> String {
    format!("must be no more than {most} bytes")
}

fn explain(what: &str, format: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{what} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// Says whether a text begins and ends with `edge` and has only `middle` between.
fn is_framed(text: &str, edge: fn(u8) -> bool, middle: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            edge(*first) && edge(*last) && bytes.iter().all(|c| middle(*c))
        }
        _ => false,
    }
}

fn is_label(text: &str) -> bool {
    is_framed(text, lower, |c| lower(c) || c == b'-')
}

fn is_qualified(text: &str) -> bool {
    is_framed(
        text,
        |c| c.is_ascii_alphanumeric(),
        |c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'),
    )
}

/// Says what is wrong with a DNS-1123 label; empty when nothing is.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push(too_long(63));
    }
    if !is_label(text) {
        out.push(explain(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
             and must start and end with an alphanumeric character",
            LABEL_FORMAT,
            &["my-name", "123-abc"],
        ));
    }
    out
}

/// Says what is wrong with a DNS-1123 subdomain; empty when nothing is.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 253 {
        out.push(too_long(253));
    }
    if !text.split('.').all(is_label) {
        out.push(explain(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    out
}

/// Says what is wrong with a DNS-1035 label; empty when nothing is.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push(too_long(63));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        out.push(explain(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character",
            DNS1035_FORMAT,
            &["my-name", "abc-123"],
        ));
    }
    out
}

/// Says what is wrong with a name that becomes a path segment; empty when nothing is.
pub fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .into_iter()
        .filter(|part| text.contains(part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// Says what is wrong with the key of a label, annotation or finalizer; empty when nothing is.
pub fn qualified_name(text: &str) -> Vec<String> {
    let format = explain(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character",
        QUALIFIED_FORMAT,
        &["MyName", "my.name", "123-abc"],
    );
    let mut out = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {format} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            out.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            out.extend(dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            name
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push(format!("name part {}", too_long(63)));
    }
    if !is_qualified(name) {
        out.push(format!("name part {format}"));
    }
    out
}

/// Says what is wrong with the value of a label; empty when nothing is.
pub fn label_value(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push(too_long(63));
    }
    if !text.is_empty() && !is_qualified(text) {
        out.push(explain(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED_FORMAT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    out
}

/// What the name of an object may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS-1123 label: namespaces.
    Label,
    /// A DNS-1123 subdomain: most kinds and all custom resources.
    Subdomain,
    /// A DNS-1035 label: services.
    Dns1035,
    /// Anything that can stand between two slashes: RBAC.
    PathSegment,
}

impl NameRule {
    /// The rule of a kind.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Label,
            ("", "Service") => Self::Dns1035,
            ("rbac.authorization.k8s.io", _) => Self::PathSegment,
            _ => Self::Subdomain,
        }
    }

    /// Says what is wrong with a name; empty when nothing is.
    pub fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Label => dns1123_label(name),
            Self::Subdomain => dns1123_subdomain(name),
            Self::Dns1035 => dns1035_label(name),
            Self::PathSegment => path_segment(name),
        }
    }
}

/// Makes a name of `generateName` and a random suffix, cutting the base to what fits.
pub fn generate_name(base: &str, random: &str) -> String {
    let mut room = 63_usize.saturating_sub(random.len()).min(base.len());
    while !base.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{random}", &base[..room])
}

/// Lists everything wrong with `metadata` of an object that is about to be stored.
pub fn validate_metadata(object: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let empty = Map::new();
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            return vec![FieldError::invalid("metadata", other.clone(), "must be an object")];
        }
    };
    let mut errors = Vec::new();
    check_name(metadata, rule, &mut errors);
    check_namespace(metadata, namespaced, &mut errors);
    check_labels(metadata, &mut errors);
    check_annotations(metadata, &mut errors);
    check_finalizers(metadata, &mut errors);
    check_owners(metadata, &mut errors);
    errors
}

fn text<'a>(metadata: &'a Map<String, Value>, key: &str, errors: &mut Vec<FieldError>) -> &'a str {
    match metadata.get(key) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            let path = format!("metadata.{key}");
            errors.push(FieldError::invalid(path, other.clone(), "must be a string"));
            ""
        }
    }
}

fn check_name(metadata: &Map<String, Value>, rule: NameRule, errors: &mut Vec<FieldError>) {
    let base = text(metadata, "generateName", errors);
    if !base.is_empty() {
        // A suffix follows, so the base may end in a dash or dot.
        let whole = format!("{}a", base.trim_end_matches(['-', '.']));
        for message in rule.check(&whole) {
            errors.push(FieldError::invalid("metadata.generateName", base.into(), message));
        }
    }
    let name = text(metadata, "name", errors);
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        for message in rule.check(name) {
            errors.push(FieldError::invalid("metadata.name", name.into(), message));
        }
    }
}

fn check_namespace(metadata: &Map<String, Value>, namespaced: bool, errors: &mut Vec<FieldError>) {
    let namespace = text(metadata, "namespace", errors);
    match (namespaced, namespace) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => {
            for message in dns1123_label(namespace) {
                errors.push(FieldError::invalid("metadata.namespace", namespace.into(), message));
            }
        }
        (false, "") => {}
        (false, _) => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
    }
}

/// The entries of a map of strings, with an error for anything else.
fn entries<'a>(
    metadata: &'a Map<String, Value>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<(&'a str, &'a str)> {
    let path = format!("metadata.{field}");
    let map = match metadata.get(field) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Object(map)) => map,
        Some(other) => {
            errors.push(FieldError::invalid(path, other.clone(), "must be a map of strings"));
            return Vec::new();
        }
    };
    let mut out = Vec::new();
    for (key, value) in map {
        match value {
            Value::String(value) => out.push((key.as_str(), value.as_str())),
            Value::Null => out.push((key.as_str(), "")),
            other => {
                let path = format!("{path}.{key}");
                errors.push(FieldError::invalid(path, other.clone(), "must be a string"));
            }
        }
    }
    out
}

fn check_labels(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(metadata, "labels", errors) {
        for message in qualified_name(key) {
            errors.push(FieldError::invalid("metadata.labels", key.into(), message));
        }
        for message in label_value(value) {
            errors.push(FieldError::invalid("metadata.labels", value.into(), message));
        }
    }
}

fn check_annotations(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations", errors) {
        size += key.len() + value.len();
        for message in qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key.into(), message));
        }
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::new(
            "metadata.annotations",
            FieldErrorKind::TooLong,
            Value::Null,
            format!("may not be more than {MAX_ANNOTATIONS} bytes"),
        ));
    }
}

fn items<'a>(
    metadata: &'a Map<String, Value>,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> &'a [Value] {
    match metadata.get(field) {
        None | Some(Value::Null) => &[],
        Some(Value::Array(items)) => items,
        Some(other) => {
            let path = format!("metadata.{field}");
            errors.push(FieldError::invalid(path, other.clone(), "must be a list"));
            &[]
        }
    }
}

fn check_finalizers(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for item in items(metadata, "finalizers", errors) {
        let messages =
            item.as_str().map_or_else(|| vec!["must be a string".to_owned()], qualified_name);
        for message in messages {
            errors.push(FieldError::invalid("metadata.finalizers", item.clone(), message));
        }
    }
}

fn check_owners(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&str> = None;
    for owner in items(metadata, "ownerReferences", errors) {
        let field = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        for (key, what) in
            [("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")]
        {
            if field(key).is_empty() {
                let path = format!("metadata.ownerReferences.{key}");
                errors.push(FieldError::invalid(
                    path,
                    "".into(),
                    format!("{what} must not be empty"),
                ));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in \
                     references for {first} and {}",
                    field("name")
                );
                let path = "metadata.ownerReferences";
                errors.push(FieldError::invalid(path, owner.clone(), detail));
            }
            controller = Some(field("name"));
        }
    }
}

/// Lists what an update may not change in `metadata`.
pub fn validate_metadata_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let field = |object: &Value, key: &str| {
        object.get("metadata").and_then(|metadata| metadata.get(key)).cloned().unwrap_or_default()
    };
    let mut errors = Vec::new();
    for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"] {
        let (now, was) = (field(object, key), field(old, key));
        // What an update leaves out is filled in from the stored object.
        if now != was && !now.is_null() {
            let path = format!("metadata.{key}");
            errors.push(FieldError::invalid(path, now, "field is immutable"));
        }
    }
    if !field(old, "deletionTimestamp").is_null() {
        let (now, was) = (field(object, "finalizers"), field(old, "finalizers"));
        let was: &[Value] = was.as_array().map_or(&[], Vec::as_slice);
        let added: Vec<&str> = now
            .as_array()
            .into_iter()
            .flatten()
            .filter(|item| !was.contains(item))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|name| format!("\"{name}\"")).collect();
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new \
                     finalizers []string{{{}}}",
                    list.join(", ")
                ),
            ));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a-b", "1", "a.b-c.d"] {
            assert_eq!(dns1123_subdomain(good), Vec::<String>::new(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a_b", "é", "a."] {
            assert_eq!(dns1123_subdomain(bad).len(), 1, "{bad}");
        }
        assert_eq!(dns1035_label("1a").len(), 1);
        assert_eq!(path_segment("system:node/x"), ["may not contain '/'"]);
        assert_eq!(qualified_name("example.com/My_Name"), Vec::<String>::new());
        for bad in ["", "a/b/c", "/a", "a/", "A/b", "-", &"a".repeat(64)] {
            assert!(!qualified_name(bad).is_empty(), "{bad}");
        }
        assert_eq!(label_value(""), Vec::<String>::new());
        assert_eq!(label_value("a b").len(), 1);
        assert_eq!(generate_name(&"a".repeat(80), "12345").len(), 63);
        assert_eq!(generate_name("web-", "x2z4q"), "web-x2z4q");
    }

    #[test]
    fn the_words_of_the_api_server() {
        assert_eq!(
            dns1123_label("A_b"),
            ["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
              '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
              '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]
        );
    }

    #[track_caller]
    fn check(metadata: Value, want: &[&str]) {
        let object = json!({"metadata": metadata});
        let errors = validate_metadata(&object, true, NameRule::Subdomain);
        let got: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn metadata() {
        check(json!({"name": "a", "namespace": "b"}), &[]);
        check(
            json!({"namespace": "b"}),
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(json!({"name": "a"}), &["metadata.namespace: Required value"]);
        check(
            json!({"name": "a", "namespace": "b", "annotations": {"k": "x".repeat(262_144)}}),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
        check(
            json!({"name": "a", "namespace": "b", "labels": {"k": 1}}),
            &["metadata.labels.k: Invalid value: 1: must be a string"],
        );
        check(
            json!({"name": "a", "namespace": "b", "ownerReferences":
                [{"apiVersion": "v1", "kind": "K", "name": "x"}]}),
            &["metadata.ownerReferences.uid: Invalid value: \"\": uid must not be empty"],
        );
        let cluster = json!({"metadata": {"name": "a", "namespace": "b"}});
        assert_eq!(
            validate_metadata(&cluster, false, NameRule::Subdomain)[0].to_string(),
            "metadata.namespace: Forbidden: not allowed on this type"
        );
    }

    #[test]
    fn updates() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "deletionTimestamp": "t"}});
        let new = json!({"metadata": {"name": "a", "uid": "2", "finalizers": ["x/y"]}});
        let got: Vec<String> =
            validate_metadata_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(
            got,
            [
                "metadata.uid: Invalid value: \"2\": field is immutable",
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is \
                 being deleted, found new finalizers []string{\"x/y\"}",
            ]
        );
    }
}
