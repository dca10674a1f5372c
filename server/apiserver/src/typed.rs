//! What the server knows of built-in kinds beyond their names: defaults and checks of those whose
//! content matters here. The others are stored as they come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fixpoint_api_machinery::{Crd, FieldError, crd};
use fixpoint_base::object::{name, set_label};
use serde_json::{Map, Value, json};

use crate::kinds::{APIEXTENSIONS, Kind};

/// Bytes of a Secret's or a ConfigMap's data, as kube-apiserver limits them.
const DATA_BYTES: usize = 1024 * 1024;

/// Fills in what a client may leave out.
pub fn default(kind: &Kind, old: Option<&Value>, new: &mut Value) {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => default_namespace(old, new),
        ("", "secrets") => default_secret(new),
        (APIEXTENSIONS, "customresourcedefinitions") => crd::default(new),
        _ => {}
    }
}

fn default_namespace(old: Option<&Value>, new: &mut Value) {
    if let Some(name) = name(new).map(str::to_owned) {
        set_label(new, "kubernetes.io/metadata.name", &name);
    }
    if old.is_none() {
        new["spec"] = json!({"finalizers": ["kubernetes"]});
        new["status"] = json!({"phase": "Active"});
    }
}

/// `stringData` is a way to write `data`; it is never stored.
pub fn fold_string_data(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(Value::Object(plain)) = object.remove("stringData") else { return };
    let data = object.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in plain {
        if let Some(text) = value.as_str() {
            data.insert(key, BASE64.encode(text).into());
        }
    }
}

fn default_secret(new: &mut Value) {
    fold_string_data(new);
    if let Some(object) = new.as_object_mut() {
        object.entry("type").or_insert_with(|| "Opaque".into());
    }
}

/// Lists what is wrong with an object of a built-in kind.
pub fn validate(kind: &Kind, old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "secrets") => validate_secret(old, new),
        ("", "configmaps") => validate_config_map(old, new),
        ("" | "events.k8s.io", "events") => validate_event(new),
        ("coordination.k8s.io", "leases") => validate_lease(new),
        (APIEXTENSIONS, "customresourcedefinitions") => {
            let mut errors = Crd::read(new).err().unwrap_or_default();
            errors.extend(old.map(|old| crd::validate_update(new, old)).unwrap_or_default());
            errors
        }
        _ => validate_shape(new),
    }
}

/// The parts that every kind has and that the server itself walks into.
fn validate_shape(new: &Value) -> Vec<FieldError> {
    ["spec", "status"]
        .into_iter()
        .filter_map(|field| {
            let value = new.get(field).filter(|value| !value.is_object() && !value.is_null())?;
            Some(FieldError::invalid(field, value.clone(), "must be an object"))
        })
        .collect()
}

fn validate_secret(old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    for (key, value) in entries(new, "data", &mut errors) {
        let path = format!("data[{key}]");
        check_key(&path, key, &mut errors);
        // The value itself stays out of the error: it is the secret.
        match value.as_str().map(|text| BASE64.decode(text)) {
            Some(Ok(decoded)) => bytes += decoded.len(),
            _ if value.is_null() => {}
            _ => errors.push(FieldError::invalid(path, "<redacted>".into(), "must be base64 text")),
        }
    }
    check_size("data", bytes, &mut errors);
    if let Some(old) = old {
        if old.get("type") != new.get("type") {
            let value = new.get("type").cloned().unwrap_or_default();
            errors.push(FieldError::invalid("type", value, "field is immutable"));
        }
        check_immutable(old, new, &["data"], &mut errors);
    }
    errors
}

fn validate_config_map(old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut bytes = 0;
    let data = entries(new, "data", &mut errors);
    for (key, value) in &data {
        let path = format!("data[{key}]");
        check_key(&path, key, &mut errors);
        match value.as_str() {
            Some(text) => bytes += text.len(),
            None if value.is_null() => {}
            None => errors.push(FieldError::invalid(path, (*value).clone(), "must be a string")),
        }
    }
    for (key, value) in entries(new, "binaryData", &mut errors) {
        let path = format!("binaryData[{key}]");
        check_key(&path, key, &mut errors);
        if data.iter().any(|(other, _)| *other == key) {
            let detail = "duplicate of key present in data";
            errors.push(FieldError::invalid(path, key.as_str().into(), detail));
            continue;
        }
        match value.as_str().map(|text| BASE64.decode(text)) {
            Some(Ok(decoded)) => bytes += decoded.len(),
            _ => errors.push(FieldError::invalid(path, value.clone(), "must be base64 text")),
        }
    }
    check_size("", bytes, &mut errors);
    if let Some(old) = old {
        check_immutable(old, new, &["data", "binaryData"], &mut errors);
    }
    errors
}

fn entries<'a>(
    object: &'a Value,
    field: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<(&'a String, &'a Value)> {
    match object.get(field) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(map)) => map.iter().collect(),
        Some(_) => {
            errors.push(FieldError::invalid(field, "<redacted>".into(), "must be a map"));
            Vec::new()
        }
    }
}

fn check_key(path: &str, key: &str, errors: &mut Vec<FieldError>) {
    let value = || Value::from(key);
    if key.len() > 253 {
        errors.push(FieldError::invalid(path, value(), "must be no more than 253 characters"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.is_empty() || !key.chars().all(allowed) {
        let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
             (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
             '[-._a-zA-Z0-9]+')";
        errors.push(FieldError::invalid(path, value(), detail));
    } else if key == "." || key == ".." {
        errors.push(FieldError::invalid(path, value(), format!("must not be '{key}'")));
    }
}

fn check_size(path: &str, bytes: usize, errors: &mut Vec<FieldError>) {
    if bytes > DATA_BYTES {
        let kind = fixpoint_api_machinery::FieldErrorKind::TooLong;
        let detail = format!("may not be more than {DATA_BYTES} bytes");
        errors.push(FieldError::new(path, kind, Value::from(""), detail));
    }
}

fn check_immutable(old: &Value, new: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old.get("immutable") != Some(&Value::Bool(true)) {
        return;
    }
    let why = "field is immutable when `immutable` is set";
    if new.get("immutable") != Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden("immutable", why));
    }
    let empty = Value::Object(Map::new());
    for field in fields {
        let content = |object: &Value| object.get(*field).unwrap_or(&empty).clone();
        if content(old) != content(new) {
            errors.push(FieldError::forbidden(*field, why));
        }
    }
}

fn validate_event(new: &Value) -> Vec<FieldError> {
    let subject = new.get("involvedObject").or_else(|| new.get("regarding"));
    let namespace = subject.and_then(|subject| subject.get("namespace")).and_then(Value::as_str);
    let own = fixpoint_base::object::namespace(new);
    // Events about cluster-scoped objects live in `default`.
    match namespace.unwrap_or("") {
        "" if own == "default" || own == "kube-system" || subject.is_none() => Vec::new(),
        namespace if namespace == own || namespace.is_empty() => Vec::new(),
        namespace => vec![FieldError::invalid(
            "involvedObject.namespace",
            namespace.into(),
            "does not match event.namespace",
        )],
    }
}

fn validate_lease(new: &Value) -> Vec<FieldError> {
    let mut errors = validate_shape(new);
    let spec = &new["spec"];
    if let Some(seconds) = spec.get("leaseDurationSeconds").and_then(Value::as_i64)
        && seconds <= 0
    {
        let path = "spec.leaseDurationSeconds";
        errors.push(FieldError::invalid(path, seconds.into(), "must be greater than 0"));
    }
    if let Some(count) = spec.get("leaseTransitions").and_then(Value::as_i64)
        && count < 0
    {
        let path = "spec.leaseTransitions";
        errors.push(FieldError::invalid(path, count.into(), "must be greater than or equal to 0"));
    }
    errors
}
