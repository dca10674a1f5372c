//! Real CustomResourceDefinitions, where a corpus of them lies beside the project.

use std::path::{Path, PathBuf};

use fixpoint_api_machinery::{Crd, Schema, TypeSchema};
use fixpoint_base::Limits;
use serde_json::{Value, json};

fn yaml_files(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            out.push(path);
        }
    }
}

fn definitions() -> Vec<(PathBuf, Value)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut files = Vec::new();
    yaml_files(&corpus, &mut files);
    let mut out = Vec::new();
    for file in files {
        let text = std::fs::read(&file).unwrap_or_default();
        if !text.windows(24).any(|part| part == b"CustomResourceDefinition") {
            continue;
        }
        // Some are charts or kustomizations that only name the kind.
        for object in fixpoint_yaml::parse(&text, &Limits::default()).unwrap_or_default() {
            if object["kind"] == "CustomResourceDefinition" && object["spec"]["versions"].is_array()
            {
                out.push((file.clone(), object));
            }
        }
    }
    out
}

#[test]
fn real_definitions_are_served() {
    let definitions = definitions();
    if definitions.is_empty() {
        eprintln!("skipped: there is no corpus beside the project");
        return;
    }
    for (file, object) in definitions {
        let crd = Crd::read(&object).unwrap_or_else(|errors| panic!("{file:?}: {errors:?}"));
        for version in &crd.versions {
            let schema = Schema::parse(&version.schema).unwrap();
            assert!(schema.warnings().is_empty(), "{file:?}: {:?}", schema.warnings());
            assert_ne!(TypeSchema::from_crd(&version.schema), TypeSchema::Deduced);
            let mut empty = json!({"apiVersion": "x", "kind": "x", "metadata": {"name": "x"}});
            schema.default(&mut empty);
            assert_eq!(schema.prune(&mut empty), Vec::<String>::new(), "{file:?}");
        }
    }
}

/// A GitRepository as people get it wrong, in the words they know.
#[test]
fn words_of_a_real_definition() {
    let definitions = definitions();
    let Some((_, object)) = definitions.iter().find(|(_, object)| {
        object["metadata"]["name"] == "gitrepositories.source.toolkit.fluxcd.io"
    }) else {
        return;
    };
    let crd = Crd::read(object).unwrap();
    let schema = Schema::parse(&crd.version("v1").unwrap().schema).unwrap();
    let object = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "x"}, "spec": {"url": "ftp://x", "timeout": "soon", "provider": "gitlab"}});
    let got: Vec<String> = schema.validate(&object).iter().map(ToString::to_string).collect();
    assert!(got.contains(&"spec.interval: Required value".to_owned()), "{got:#?}");
    assert!(
        got.contains(
            &"spec.url: Invalid value: \"ftp://x\": spec.url in body should match \
              '^(http|https|ssh)://.*$'"
                .to_owned()
        ),
        "{got:#?}"
    );
    assert!(
        got.contains(
            &"spec.provider: Unsupported value: \"gitlab\": supported values: \"generic\", \
              \"aws\", \"azure\", \"github\""
                .to_owned()
        ),
        "{got:#?}"
    );
}
