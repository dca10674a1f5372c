//! CustomResourceDefinitions: reading them, their defaults and their status.
//!
//! In: the object as a client wrote it. Out: what the server must know to serve the kind, or
//! everything that is wrong with it, in the words of kube-apiserver. A definition that cannot be
//! read serves nothing, and takes nothing from the others.

use serde_json::{Map, Value, json};

use crate::names;
use crate::schema::{FieldError, FieldErrorKind, Schema};

/// A CustomResourceDefinition that was read and found good.
#[derive(Debug, Clone)]
pub struct Crd {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Kind of lists.
    pub list_kind: String,
    /// Plural.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Versions, as listed.
    pub versions: Vec<Version>,
}

/// One version of a CustomResourceDefinition.
#[derive(Debug, Clone)]
pub struct Version {
    /// Name, such as `v1beta1`.
    pub name: String,
    /// Whether it can be asked for.
    pub served: bool,
    /// Whether objects are stored in it.
    pub storage: bool,
    /// The warning that its use brings, if it is deprecated.
    pub deprecation: Option<String>,
    /// `openAPIV3Schema`.
    pub schema: Value,
    /// Whether it has a status subresource.
    pub status: bool,
    /// The scale subresource: `specReplicasPath`, `statusReplicasPath`, `labelSelectorPath`.
    pub scale: Option<Value>,
    /// `additionalPrinterColumns`.
    pub printer_columns: Vec<Value>,
    /// `selectableFields`, as dotted paths without the leading dot.
    pub selectable_fields: Vec<String>,
}

impl Crd {
    /// Reads a CustomResourceDefinition (defaulted or not).
    ///
    /// # Errors
    /// Everything that kube-apiserver would refuse.
    pub fn read(object: &Value) -> Result<Self, Vec<FieldError>> {
        let mut object = object.clone();
        default(&mut object);
        let mut errors = Vec::new();
        let spec = &object["spec"];
        let group = required(spec, "group", "spec.group", &mut errors);
        if !group.is_empty() {
            for message in names::dns1123_subdomain(&group) {
                errors.push(FieldError::invalid("spec.group", group.as_str().into(), message));
            }
            if !group.contains('.') {
                let detail = "should be a domain with at least one dot";
                errors.push(FieldError::invalid("spec.group", group.as_str().into(), detail));
            }
        }
        let crd = Self {
            kind: name(spec, "kind", &mut errors),
            list_kind: name(spec, "listKind", &mut errors),
            plural: name(spec, "plural", &mut errors),
            singular: name(spec, "singular", &mut errors),
            short_names: words(&spec["names"]["shortNames"]),
            categories: words(&spec["names"]["categories"]),
            namespaced: scope(spec, &mut errors),
            versions: versions(spec, &mut errors),
            group,
        };
        if !crd.kind.is_empty() && crd.kind.eq_ignore_ascii_case(&crd.list_kind) {
            let detail = "kind and listKind may not be the same";
            errors.push(FieldError::invalid(
                "spec.names.listKind",
                crd.list_kind.as_str().into(),
                detail,
            ));
        }
        let (wanted, found) =
            (format!("{}.{}", crd.plural, crd.group), fixpoint_base::object::name(&object));
        if found != Some(wanted.as_str()) {
            let found = found.unwrap_or_default().into();
            let detail = "must be spec.names.plural+\".\"+spec.group";
            errors.push(FieldError::invalid("metadata.name", found, detail));
        }
        if errors.is_empty() { Ok(crd) } else { Err(errors) }
    }

    /// The version that is stored.
    pub fn storage(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.storage)
    }

    /// The served versions, the preferred one first (`v1`, `v2beta1`, `v1alpha1`, others).
    pub fn served(&self) -> Vec<&Version> {
        let mut out: Vec<&Version> =
            self.versions.iter().filter(|version| version.served).collect();
        out.sort_by(|a, b| rank(&b.name).cmp(&rank(&a.name)).then_with(|| a.name.cmp(&b.name)));
        out
    }

    /// The version with a name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
}

/// How good a version is: stable before beta before alpha, then by number; others have no rank.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..end].parse().ok()?;
    match &rest[end..] {
        "" => Some((2, major, 0)),
        stage => {
            let (stage, minor) = match stage.strip_prefix("beta") {
                Some(minor) => (1, minor),
                None => (0, stage.strip_prefix("alpha")?),
            };
            Some((stage, major, minor.parse().ok()?))
        }
    }
}

fn required(spec: &Value, key: &str, path: &str, errors: &mut Vec<FieldError>) -> String {
    let found = spec[key].as_str().unwrap_or_default();
    if found.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    found.to_owned()
}

fn name(spec: &Value, key: &str, errors: &mut Vec<FieldError>) -> String {
    let path = format!("spec.names.{key}");
    let found = required(&spec["names"], key, &path, errors);
    if !found.is_empty() {
        // Kinds are written in camel case but may hold what a label may.
        for message in names::dns1035_label(&found.to_lowercase()) {
            errors.push(FieldError::invalid(path.as_str(), found.as_str().into(), message));
        }
    }
    found
}

fn words(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

fn scope(spec: &Value, errors: &mut Vec<FieldError>) -> bool {
    match &spec["scope"] {
        Value::String(scope) if scope == "Namespaced" => true,
        Value::String(scope) if scope == "Cluster" => false,
        Value::Null => {
            errors.push(FieldError::required("spec.scope", ""));
            false
        }
        other => {
            let names = ["Cluster", "Namespaced"];
            errors.push(FieldError::not_supported("spec.scope", other.clone(), &names));
            false
        }
    }
}

fn versions(spec: &Value, errors: &mut Vec<FieldError>) -> Vec<Version> {
    let mut out: Vec<Version> = Vec::new();
    for (at, found) in spec["versions"].as_array().into_iter().flatten().enumerate() {
        let version = version(spec, found, &format!("spec.versions[{at}]"), errors);
        if out.iter().any(|other| other.name == version.name) {
            let detail = "must contain unique version names";
            errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
        }
        out.push(version);
    }
    if out.iter().filter(|version| version.storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
    out
}

fn version(spec: &Value, found: &Value, path: &str, errors: &mut Vec<FieldError>) -> Version {
    let name = found["name"].as_str().unwrap_or_default().to_owned();
    for message in names::dns1035_label(&name) {
        errors.push(FieldError::invalid(format!("{path}.name"), name.as_str().into(), message));
    }
    let schema = found.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    let at = format!("{path}.schema.openAPIV3Schema");
    if schema.is_null() {
        errors.push(FieldError::required(at, "schemas are required"));
    } else if let Err(wrong) = Schema::parse(&schema) {
        errors.extend(wrong.into_iter().map(|err| {
            let path = if err.path.is_empty() { at.clone() } else { format!("{at}.{}", err.path) };
            FieldError { path, ..err }
        }));
    }
    let columns = found["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
    for (place, column) in columns.iter().enumerate() {
        check_column(column, &format!("{path}.additionalPrinterColumns[{place}]"), errors);
    }
    let subresources = &found["subresources"];
    let deprecation = (found["deprecated"] == true).then(|| {
        found["deprecationWarning"].as_str().map_or_else(
            || {
                let group = spec["group"].as_str().unwrap_or_default();
                let kind = spec["names"]["kind"].as_str().unwrap_or_default();
                format!("{group}/{name} {kind} is deprecated")
            },
            str::to_owned,
        )
    });
    Version {
        served: found["served"] == true,
        storage: found["storage"] == true,
        deprecation,
        status: subresources.get("status").is_some_and(Value::is_object),
        scale: subresources.get("scale").filter(|scale| scale.is_object()).cloned(),
        printer_columns: columns,
        selectable_fields: found["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|field| field["jsonPath"].as_str())
            .map(|path| path.trim_start_matches('.').to_owned())
            .collect(),
        schema,
        name,
    }
}

fn check_column(column: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for key in ["name", "type", "jsonPath"] {
        if column[key].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.{key}"), ""));
        }
    }
    let kinds = ["boolean", "date", "integer", "number", "string"];
    if let Some(kind) = column["type"].as_str().filter(|kind| !kinds.contains(kind)) {
        let path = format!("{path}.type");
        errors.push(FieldError::not_supported(path, kind.into(), &kinds));
    }
}

/// Sets the defaults of a CustomResourceDefinition: `singular`, `listKind`, conversion strategy.
pub fn default(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) else { return };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !kind.is_empty() {
        names.entry("singular").or_insert_with(|| kind.to_lowercase().into());
        names.entry("listKind").or_insert_with(|| format!("{kind}List").into());
    }
}

/// Sets `status`: accepted names, stored versions, `NamesAccepted` and `Established`. `now` is an
/// RFC 3339 time. `taken` says why the names cannot be had, if they cannot.
pub fn set_status(object: &mut Value, taken: Option<&str>, now: &str) {
    let (names_accepted, established) = match taken {
        None => (
            ("True", "NoConflicts", "no conflicts found"),
            ("True", "InitialNamesAccepted", "the initial names have been accepted"),
        ),
        Some(why) => {
            (("False", "NameConflict", why), ("False", "NotAccepted", "not all names are accepted"))
        }
    };
    let accepted = object.pointer("/spec/names").cloned().unwrap_or_default();
    let storage = object
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    let Some(object) = object.as_object_mut() else { return };
    let status = object.entry("status").or_insert_with(|| Value::Object(Map::new()));
    if !status.is_object() {
        *status = Value::Object(Map::new());
    }
    set_condition(status, "NamesAccepted", names_accepted, now);
    set_condition(status, "Established", established, now);
    if taken.is_none() {
        status["acceptedNames"] = accepted;
    } else if status.get("acceptedNames").is_none() {
        status["acceptedNames"] = json!({"kind": "", "plural": ""});
    }
    let mut stored = status["storedVersions"].as_array().cloned().unwrap_or_default();
    if let Some(storage) = storage
        && !stored.contains(&storage)
    {
        stored.push(storage);
    }
    status["storedVersions"] = stored.into();
}

/// A condition keeps its time while its status stays.
fn set_condition(status: &mut Value, kind: &str, said: (&str, &str, &str), now: &str) {
    let (value, reason, message) = said;
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let old = conditions.iter_mut().find(|condition| condition["type"] == kind);
    let since = match &old {
        Some(old) if old["status"] == value => old["lastTransitionTime"].clone(),
        Some(_) | None => now.into(),
    };
    let new = json!({"type": kind, "status": value, "reason": reason, "message": message,
        "lastTransitionTime": since});
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
    status["conditions"] = conditions.into();
}

/// Lists what an update of a CustomResourceDefinition may not change.
pub fn validate_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for pointer in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
        let (now, was) = (object.pointer(pointer), old.pointer(pointer));
        if now != was {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            let now = now.cloned().unwrap_or_default();
            errors.push(FieldError::new(path, FieldErrorKind::Invalid, now, "field is immutable"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widget() -> Value {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
                "versions": [
                    {"name": "v1alpha1", "served": true, "storage": false, "deprecated": true,
                        "schema": {"openAPIV3Schema": {"type": "object"}}},
                    {"name": "v1", "served": true, "storage": true,
                        "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
    }

    #[test]
    fn a_good_definition() {
        let crd = Crd::read(&widget()).unwrap();
        assert_eq!((crd.singular.as_str(), crd.list_kind.as_str()), ("widget", "WidgetList"));
        assert_eq!(crd.storage().unwrap().name, "v1");
        let served: Vec<&str> = crd.served().iter().map(|version| version.name.as_str()).collect();
        assert_eq!(served, ["v1", "v1alpha1"]);
        assert_eq!(
            crd.version("v1alpha1").unwrap().deprecation.as_deref(),
            Some("example.com/v1alpha1 Widget is deprecated")
        );
        assert!(crd.version("v1").unwrap().status);
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Value), want: &[&str]) {
        let mut object = widget();
        change(&mut object);
        let got: Vec<String> =
            Crd::read(&object).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn bad_definitions() {
        refused(
            |crd| crd["metadata"]["name"] = "x".into(),
            &["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
        );
        refused(
            |crd| crd["spec"]["scope"] = "World".into(),
            &["spec.scope: Unsupported value: \"World\": supported values: \"Cluster\", \
               \"Namespaced\""],
        );
        refused(
            |crd| crd["spec"]["versions"][1]["schema"] = Value::Null,
            &["spec.versions[1].schema.openAPIV3Schema: Required value: schemas are required"],
        );
        refused(
            |crd| {
                crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"] =
                    json!({"spec": {}});
            },
            &["spec.versions[1].schema.openAPIV3Schema.properties[spec].type: Required value: \
               must not be empty for specified object fields"],
        );
        for object in
            [json!(null), json!({}), json!({"spec": []}), json!({"spec": {"versions": [1]}})]
        {
            assert!(Crd::read(&object).is_err(), "{object}");
        }
    }

    #[test]
    fn status_keeps_its_times() {
        let mut crd = widget();
        set_status(&mut crd, None, "t1");
        let first = crd.clone();
        set_status(&mut crd, None, "t2");
        assert_eq!(crd, first);
        assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
        assert_eq!(crd["status"]["conditions"][1]["type"], "Established");
        set_status(&mut crd, Some("plural is taken"), "t3");
        assert_eq!(crd["status"]["conditions"][0]["lastTransitionTime"], "t3");
    }

    #[test]
    fn better_versions_come_first() {
        let mut names = ["v1alpha1", "foo", "v10", "v2", "v1beta2", "v2beta1", "v1"];
        names.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.cmp(b)));
        assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
