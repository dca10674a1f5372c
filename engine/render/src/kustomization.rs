//! What a kustomization file says.
//!
//! In: the text of one file. Out: its fields with their types, and a problem for each field that
//! is unknown, of the wrong type, or not built yet; nothing is skipped silently.

use std::collections::BTreeMap;

use fixpoint_base::Limits;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Problem;

/// The names a kustomization file may have.
pub(crate) const FILE_NAMES: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Replaces the name, tag or digest of images.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Image {
    /// The image to replace, without tag or digest; a regular expression.
    pub name: String,
    /// The new name; empty to keep it.
    pub new_name: String,
    /// What to append to the tag.
    pub tag_suffix: String,
    /// The new tag; empty to keep it.
    pub new_tag: String,
    /// The new digest; empty to keep it.
    pub digest: String,
}

/// Chooses objects; each part that is not empty must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Selector {
    /// API group, a regular expression for the whole of it.
    pub group: String,
    /// API version, likewise.
    pub version: String,
    /// Kind, likewise.
    pub kind: String,
    /// Name, the original or the current one, likewise.
    pub name: String,
    /// Namespace, the original or the current one, likewise.
    pub namespace: String,
    /// Labels, as `kubectl -l` takes them.
    pub label_selector: String,
    /// Annotations, likewise.
    pub annotation_selector: String,
}

/// Changes objects, by strategic merge or by JSON patch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Patch {
    /// The patch itself.
    pub patch: String,
    /// Which objects to change; a strategic merge patch may name its one object itself.
    pub target: Option<Selector>,
    /// The file that holds the patch, in place of `patch`.
    pub path: String,
    /// `allowNameChange` and `allowKindChange`.
    pub options: BTreeMap<String, bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) fields: Vec<LabelField>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct LabelField {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) create: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

/// Arguments of `configMapGenerator` and `secretGenerator`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct Generator {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    #[serde(rename = "type")]
    pub(crate) secret_type: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    pub(crate) env: String,
    pub(crate) options: GeneratorOptions,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy_sort_options: Option<LegacySortOptions>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct LegacySortOptions {
    pub(crate) order_first: Vec<String>,
    pub(crate) order_last: Vec<String>,
}

/// The fields of one kustomization file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kustomization {
    pub(crate) is_component: bool,
    pub(crate) resources: Vec<String>,
    pub(crate) components: Vec<String>,
    pub(crate) namespace: String,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) images: Vec<Image>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) patches_strategic_merge: Vec<String>,
    pub(crate) patches_json6902: Vec<Patch>,
    pub(crate) config_maps: Vec<Generator>,
    pub(crate) secrets: Vec<Generator>,
    pub(crate) generator_options: GeneratorOptions,
    pub(crate) sort_options: Option<SortOptions>,
}

/// Fields of kustomize that are not built yet.
const NOT_YET: [&str; 14] = [
    "buildMetadata",
    "configurations",
    "crds",
    "generators",
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    "imageTags",
    "inventory",
    "openapi",
    "replacements",
    "transformers",
    "validators",
    "vars",
];

impl Kustomization {
    /// Reads a kustomization file; adds what is wrong with it to `problems`.
    pub(crate) fn read(
        text: &[u8],
        file: &str,
        limits: &Limits,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut this = Self::default();
        let mut values = match fixpoint_yaml::parse(text, limits) {
            Ok(values) => values,
            Err(err) => {
                problems.push(Problem::yaml(file, &err));
                return this;
            }
        };
        let fields = match values.pop() {
            Some(Value::Object(fields)) if values.is_empty() => fields,
            Some(_) if !values.is_empty() => {
                let problem = Problem::new(file, "holds more than one document");
                problems.push(problem.hint("a kustomization file holds one document"));
                return this;
            }
            _ => {
                let problem = Problem::new(file, "holds no kustomization");
                problems.push(problem.hint("list the files to render under resources"));
                return this;
            }
        };
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or("Kustomization").to_owned();
        let mut bases = Vec::new();
        for (name, mut value) in fields {
            drop_nulls(&mut value);
            if value.is_null() {
                continue;
            }
            let mut read = Field { file, name: &name, value, problems };
            match name.as_str() {
                "apiVersion" => read.expect_version(&kind),
                "kind" => this.is_component = read.kind(),
                "metadata" => {}
                "resources" => this.resources = read.list(),
                "bases" => bases = read.list(),
                "components" => this.components = read.list(),
                "namespace" => this.namespace = read.typed(),
                "namePrefix" => this.name_prefix = read.typed(),
                "nameSuffix" => this.name_suffix = read.typed(),
                "labels" => this.labels = read.list(),
                "commonLabels" => this.common_labels = read.typed(),
                "commonAnnotations" => this.common_annotations = read.typed(),
                "images" => this.images = read.list(),
                "replicas" => this.replicas = read.list(),
                "patches" => this.patches = read.list(),
                "patchesStrategicMerge" => this.patches_strategic_merge = read.list(),
                "patchesJson6902" => this.patches_json6902 = read.list(),
                "configMapGenerator" => this.config_maps = read.list(),
                "secretGenerator" => this.secrets = read.list(),
                "generatorOptions" => this.generator_options = read.typed(),
                "sortOptions" => this.sort_options = Some(read.typed()),
                _ => read.refuse(),
            }
        }
        this.resources.extend(bases);
        this
    }
}

/// One field on its way from JSON to its type.
struct Field<'a> {
    file: &'a str,
    name: &'a str,
    value: Value,
    problems: &'a mut Vec<Problem>,
}

impl Field<'_> {
    fn problem(&mut self, message: impl Into<String>, hint: &str) {
        let problem = Problem::new(self.file, message).field(self.name).hint(hint);
        self.problems.push(problem);
    }

    fn typed<T: DeserializeOwned + Default>(&mut self) -> T {
        serde_json::from_value(self.value.take()).unwrap_or_else(|err| {
            self.problem(format!("is not as it should be: {err}"), "correct it, or quote the text");
            T::default()
        })
    }

    fn list<T: DeserializeOwned>(&mut self) -> Vec<T> {
        self.typed()
    }

    fn kind(&mut self) -> bool {
        match self.value.as_str() {
            Some("Kustomization") => false,
            Some("Component") => true,
            _ => {
                self.problem("is not Kustomization or Component", "correct the kind");
                false
            }
        }
    }

    fn expect_version(&mut self, kind: &str) {
        let expected = match kind {
            "Component" => "kustomize.config.k8s.io/v1alpha1",
            _ => "kustomize.config.k8s.io/v1beta1",
        };
        if self.value.as_str() != Some(expected) {
            self.problem(format!("is not {expected}"), "correct the version");
        }
    }

    fn refuse(&mut self) {
        let is_empty = match &self.value {
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !NOT_YET.contains(&self.name) {
            self.problem("is unknown", "remove it, or correct its spelling");
        } else if !is_empty {
            self.problem("is not supported yet", "render the folder another way for now");
        }
    }
}

/// Go takes a null for an absent field wherever it stands.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
