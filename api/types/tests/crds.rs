//! The CRDs as goldens, and against the fields that Flux's have.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test, helpers included")]

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect_file;
use serde_json::Value;

fn golden(name: &str) -> String {
    let crds = fixpoint_api_types::crds();
    let crd = crds.iter().find(|crd| crd["metadata"]["name"] == name).unwrap();
    format!("{}\n", serde_json::to_string_pretty(crd).unwrap())
}

#[test]
fn git_repository() {
    let name = "gitrepositories.source.toolkit.fluxcd.io";
    expect_file!["../crds/gitrepositories.source.toolkit.fluxcd.io.json"].assert_eq(&golden(name));
}

#[test]
fn kustomization() {
    let name = "kustomizations.kustomize.toolkit.fluxcd.io";
    expect_file!["../crds/kustomizations.kustomize.toolkit.fluxcd.io.json"]
        .assert_eq(&golden(name));
}

#[test]
fn every_crd_has_a_golden_and_a_status() {
    let crds = fixpoint_api_types::crds();
    let goldens = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).unwrap();
    assert_eq!(goldens.count(), crds.len());
    for crd in &crds {
        let version = &crd["spec"]["versions"][0];
        assert_eq!(version["subresources"], serde_json::json!({"status": {}}));
        assert!(!crd.to_string().contains("nullable"));
    }
}

/// Field by field, our schemas are Flux's. The table lies outside of the repository, so the test
/// says so and passes where it is missing.
#[test]
fn fields_are_those_of_flux() {
    let table =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/flux-crd-fields.tsv");
    let Ok(table) = std::fs::read_to_string(table) else {
        println!("skipped: the table of Flux's fields is not there");
        return;
    };
    for crd in fixpoint_api_types::crds() {
        let prefix = prefix(&crd);
        let ours: BTreeSet<String> = rows(&crd).into_iter().map(sorted).collect();
        let theirs: BTreeSet<String> = table
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(|line| sorted(line.to_owned()))
            .collect();
        assert!(!theirs.is_empty(), "{prefix} is in the table");
        let more: Vec<_> = ours.difference(&theirs).collect();
        let less: Vec<_> = theirs.difference(&ours).collect();
        assert!(more.is_empty() && less.is_empty(), "ours only: {more:#?}\nFlux's: {less:#?}");
    }
}

/// `group/version`, tab, kind, tab: how the rows of a kind start.
fn prefix(crd: &Value) -> String {
    let spec = &crd["spec"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let version = text(&spec["versions"][0]["name"]);
    format!("{}/{version}\t{}\t", text(&spec["group"]), text(&spec["names"]["kind"]))
}

/// The constraints of a row have no order.
fn sorted(row: String) -> String {
    let (row, constraints) = row.rsplit_once('\t').unwrap();
    let mut constraints: Vec<&str> = constraints.split("; ").collect();
    constraints.sort_unstable();
    format!("{row}\t{}", constraints.join("; "))
}

/// A CRD as rows: field, type, required, constraints.
fn rows(crd: &Value) -> Vec<String> {
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut rows = vec![];
    for field in ["spec", "status"] {
        row(&root["properties"][field], field, is_required(root, field), &mut rows);
    }
    rows
}

fn row(schema: &Value, field: &str, required: bool, rows: &mut Vec<String>) {
    let required = if required { "required" } else { "" };
    let kind = schema["type"].as_str().unwrap_or("");
    rows.push(format!("{field}\t{kind}\t{required}\t{}", constraints(schema)));
    // The table leaves out what is in a condition.
    if field == "status.conditions" {
        return;
    }
    if let Some(items) = schema.get("items") {
        row(items, &format!("{field}[]"), false, rows);
    }
    if let Some(values) = schema.get("additionalProperties") {
        row(values, &format!("{field}{{}}"), false, rows);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        row(property, &format!("{field}.{name}"), is_required(schema, name), rows);
    }
}

fn is_required(schema: &Value, field: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == field))
}

fn constraints(schema: &Value) -> String {
    let mut found = vec![];
    for keyword in ["default", "pattern", "format", "minLength", "maxLength", "minimum", "maximum"]
    {
        if let Some(value) = schema.get(keyword) {
            found.push(format!("{keyword}={}", flow(value)));
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(flow).collect();
        found.push(format!("enum={}", values.join("|")));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.push(format!("cel={}", flow(&rule["rule"])));
    }
    found.join("; ")
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
