//! ConfigMaps and Secrets made from literals, files and environment files.
//!
//! In: the arguments of a generator and the files it names. Out: an object whose name will end
//! with a hash of its content, unless told otherwise. Values of Secrets appear in no message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::kustomization::{Generator, GeneratorOptions};
use crate::path;
use crate::resource::{Behavior, Resource, field_text};

/// Which kind to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// Finds the content of a file by its path from the kustomization.
pub(crate) type Files<'a> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'a;

/// Makes one object.
pub(crate) fn generate(
    kind: Kind,
    args: &Generator,
    global: &GeneratorOptions,
    files: &Files<'_>,
) -> Result<Value, String> {
    if args.name.is_empty() {
        return Err("has a generator without a name".to_owned());
    }
    let about = |reason: String| format!("has generator {:?}, which {reason}", args.name);
    let data = data(args, files).map_err(about)?;
    let mut object = match kind {
        Kind::ConfigMap => config_map(data),
        Kind::Secret => secret(data, &args.secret_type),
    };
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(args.name));
    if !args.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(args.namespace));
    }
    for (field, own, global) in [
        ("labels", &args.options.labels, &global.labels),
        ("annotations", &args.options.annotations, &global.annotations),
    ] {
        let merged: BTreeMap<&String, &String> = global.iter().chain(own).collect();
        if !merged.is_empty() {
            metadata.insert(field.to_owned(), json!(merged));
        }
    }
    object.insert("metadata".to_owned(), Value::Object(metadata));
    if args.options.immutable || global.immutable {
        object.insert("immutable".to_owned(), Value::Bool(true));
    }
    Ok(Value::Object(object))
}

/// What the generator does to an object that is already there.
pub(crate) fn behavior(args: &Generator) -> Result<Behavior, String> {
    match args.behavior.as_str() {
        "" | "create" | "unspecified" => Ok(Behavior::Create),
        "replace" => Ok(Behavior::Replace),
        "merge" => Ok(Behavior::Merge),
        _ => Err(format!("has generator {:?} with an unknown behavior", args.name)),
    }
}

/// Takes over what the older of two generated objects says and the newer does not.
pub(crate) fn absorb(new: &mut Resource, old: &Resource, behavior: Behavior) {
    for field in ["labels", "annotations"] {
        overlay(&mut new.value, &old.value, &format!("/metadata/{field}"), &["metadata", field]);
    }
    if behavior == Behavior::Merge {
        for field in ["data", "binaryData"] {
            overlay(&mut new.value, &old.value, &format!("/{field}"), &[field]);
        }
    }
    if let Some(metadata) = crate::resource::metadata(&mut new.value) {
        for field in ["name", "namespace"] {
            match old.value.pointer(&format!("/metadata/{field}")) {
                Some(value) => metadata.insert(field.to_owned(), value.clone()),
                None => metadata.remove(field),
            };
        }
    }
    new.previous.clone_from(&old.previous);
    new.prefixes.clone_from(&old.prefixes);
    new.suffixes.clone_from(&old.suffixes);
    new.hashed &= old.hashed;
    new.refresh();
}

/// Adds the fields of a mapping of `old` that `new` does not have.
fn overlay(new: &mut Value, old: &Value, pointer: &str, path: &[&str]) {
    let Some(Value::Object(older)) = old.pointer(pointer) else { return };
    let mut at = new;
    for part in path {
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(*part).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(fields) = at.as_object_mut() {
        for (key, value) in older {
            fields.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
}

fn config_map(data: BTreeMap<String, Vec<u8>>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!("v1"));
    object.insert("kind".to_owned(), json!("ConfigMap"));
    for (key, bytes) in data {
        let (field, text) = match String::from_utf8(bytes) {
            Ok(text) => ("data", text),
            Err(err) => ("binaryData", wrapped_base64(err.as_bytes())),
        };
        let field = object.entry(field).or_insert_with(|| Value::Object(Map::new()));
        if let Some(field) = field.as_object_mut() {
            field.insert(key, Value::String(text));
        }
    }
    object
}

fn secret(data: BTreeMap<String, Vec<u8>>, secret_type: &str) -> Map<String, Value> {
    let data: Map<String, Value> =
        data.into_iter().map(|(key, bytes)| (key, json!(wrapped_base64(&bytes)))).collect();
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!("v1"));
    object.insert("kind".to_owned(), json!("Secret"));
    object.insert(
        "type".to_owned(),
        json!(if secret_type.is_empty() { "Opaque" } else { secret_type }),
    );
    object.insert("data".to_owned(), Value::Object(data));
    object
}

/// Base64 as kustomize writes it: in lines of 70 characters once it does not fit one.
fn wrapped_base64(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let packed = BASE64_STANDARD.encode(bytes);
    if packed.len() < LINE {
        return packed;
    }
    let mut out = String::with_capacity(packed.len() + packed.len() / LINE + 1);
    for line in packed.as_bytes().chunks(LINE) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out
}

fn data(args: &Generator, files: &Files<'_>) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut data = BTreeMap::new();
    let mut add = |key: String, value: Vec<u8>| {
        if !is_key(&key) {
            return Err(format!("has the key {key:?}, which is not a valid one"));
        }
        match data.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("has the key {key:?} twice")),
        }
    };
    let single = (!args.env.is_empty()).then_some(&args.env);
    for file in args.envs.iter().chain(single) {
        for (key, value) in env_pairs(&files(file)?, file)? {
            add(key, value)?;
        }
    }
    for literal in &args.literals {
        let (key, value) = literal
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or("has a literal that is not of the form key=value")?;
        add(key.to_owned(), unquoted(value).as_bytes().to_vec())?;
    }
    for source in &args.files {
        let (key, file) = file_source(source)?;
        add(key.to_owned(), files(file)?)?;
    }
    Ok(data)
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}

fn file_source(source: &str) -> Result<(&str, &str), String> {
    let bad = || format!("has the file {source:?}, which is not of the form [key=]path");
    match source.split_once('=') {
        None => Ok((path::base(source), source)),
        Some((key, file)) if key.is_empty() || file.is_empty() || file.contains('=') => Err(bad()),
        Some(parts) => Ok(parts),
    }
}

fn env_pairs(content: &[u8], file: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let content = std::str::from_utf8(content)
        .map_err(|_| format!("has the environment file {file:?}, which is not UTF-8"))?;
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let mut pairs = Vec::new();
    for (at, line) in content.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if !is_variable(key) {
            let line = at + 1;
            return Err(format!(
                "has the environment file {file:?}, whose line {line} is not NAME=value"
            ));
        }
        pairs.push((key.to_owned(), value.as_bytes().to_vec()));
    }
    Ok(pairs)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key.chars().all(is_key_char)
        && key != "."
        && !key.starts_with("..")
}

fn is_variable(key: &str) -> bool {
    is_key(key) && !key.starts_with(|c: char| c.is_ascii_digit())
}

/// The end of the name of a generated object: kustomize's hash of its content.
pub(crate) fn hash(object: &Value) -> String {
    let kind = field_text(object, "kind").unwrap_or_default();
    let (optional, with_type) = match kind.as_ref() {
        "Secret" => ("stringData", true),
        _ => ("binaryData", false),
    };
    let mut content = Map::new();
    content.insert("kind".to_owned(), json!(kind));
    // Kustomize means to take the name in and looks for a field called "metadata/name".
    content.insert("name".to_owned(), json!(""));
    let data = object.get("data").filter(|data| !data.is_null());
    content.insert("data".to_owned(), data.cloned().unwrap_or_else(|| json!("")));
    if with_type {
        content.insert("type".to_owned(), json!(field_text(object, "type").unwrap_or_default()));
    }
    if let Some(extra @ Value::Object(_)) = object.get(optional) {
        content.insert(optional.to_owned(), extra.clone());
    }
    encode(&go_json(&Value::Object(content)))
}

/// JSON as Go's encoder writes it: compact, keys sorted, and HTML's characters escaped.
fn go_json(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// Ten hex digits of the hash, those that could spell words replaced.
fn encode(content: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    let hex = fixpoint_base::digest::hex(&digest[..5]);
    hex.chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kustomize() {
        let hash_of = |object: Value| hash(&object);
        assert_eq!(
            hash_of(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
                "data": {"k": "<v>"}})),
            "m95cgghbtk"
        );
    }

    #[test]
    fn base64_is_wrapped_from_seventy_characters_on() {
        assert_eq!(wrapped_base64(&[0; 51]).len(), 68);
        let long = wrapped_base64(&[0; 54]);
        assert_eq!(long.lines().map(str::len).collect::<Vec<_>>(), [70, 2]);
        assert!(long.ends_with('\n'));
    }
}
