//! What is served: versions, groups, kinds, and their OpenAPI documents.

use fixpoint_api_machinery::openapi::{self, KindInfo};
use http::StatusCode;
use serde_json::{Value, json};

use crate::kinds::{Kind, Registry};
use crate::review::REVIEWS;
use crate::server::Server;
use crate::wire::{Answer, Request, accept, reply};

/// What clients take the server for.
const VERSION: &str = "v1.36.0+fixpoint";

/// Answers a question about what is served; `None` when the path asks for something else.
pub fn answer(server: &Server, request: &Request, segments: &[&str]) -> Option<Answer> {
    let registry = server.registry();
    let header = request.header(http::header::ACCEPT);
    let plain = |value: Option<Value>| -> Answer {
        accept::discovery(header)?;
        let value = value.ok_or_else(fixpoint_api_machinery::status::no_such_resource)?;
        Ok(reply::value(StatusCode::OK, &value))
    };
    Some(match segments {
        ["version"] => plain(Some(version())),
        [] => plain(Some(paths(&registry))),
        ["api"] => root(&registry, header, true),
        ["apis"] => root(&registry, header, false),
        ["api", version] => plain(resources(&registry, "", version)),
        ["apis", group] => plain(group_of(&registry, group)),
        ["apis", group, version] => plain(resources(&registry, group, version)),
        ["openapi", "v2"] => Ok(reply::json(StatusCode::OK, openapi_v2())),
        ["openapi", "v3"] => plain(Some(openapi_index(&registry))),
        ["openapi", "v3", "api", version] => openapi_document(&registry, "", version),
        ["openapi", "v3", "apis", group, version] => openapi_document(&registry, group, version),
        _ => return None,
    })
}

fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": VERSION, "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none",
        "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS,
            match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other })})
}

fn paths(registry: &Registry) -> Value {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis"].map(str::to_owned).into();
    for (group, version, _) in versions(registry).filter(|(group, _, _)| !group.is_empty()) {
        paths.push(format!("/apis/{group}/{version}"));
    }
    let others =
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    paths.extend(others.map(str::to_owned));
    json!({"paths": paths})
}

/// Every group and version, the preferred version of a group first; reviews included.
fn versions(registry: &Registry) -> impl Iterator<Item = (String, String, Vec<Value>)> {
    let mut out = Vec::new();
    for group in group_names(registry) {
        for version in group_versions(registry, &group) {
            let resources = described(registry, &group, &version);
            out.push((group.clone(), version, resources));
        }
    }
    out.into_iter()
}

fn group_names(registry: &Registry) -> Vec<String> {
    let mut names: Vec<String> = registry.groups().map(|(group, _)| group.to_owned()).collect();
    names.extend(REVIEWS.iter().map(|(group, _, _)| (*group).to_owned()));
    names.sort();
    names.dedup();
    names
}

fn group_versions(registry: &Registry, group: &str) -> Vec<String> {
    let mut versions: Vec<String> =
        registry.versions(group).into_iter().map(str::to_owned).collect();
    let reviewed = REVIEWS.iter().any(|(found, _, _)| *found == group);
    if reviewed && !versions.iter().any(|version| version == "v1") {
        versions.push("v1".to_owned());
    }
    versions
}

const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The resources of one group and version, as `APIResource`s.
fn described(registry: &Registry, group: &str, version: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for kind in registry.version(group, version).into_iter().flat_map(|kinds| kinds.values()) {
        out.push(resource(kind));
        for subresource in subresources(kind) {
            out.push(subresource_of(kind, subresource));
        }
    }
    if version == "v1" {
        for (_, plural, kind) in REVIEWS.into_iter().filter(|(found, _, _)| *found == group) {
            out.push(json!({"name": plural, "singularName": kind.to_lowercase(),
                "namespaced": false, "kind": kind, "verbs": ["create"]}));
        }
    }
    out
}

fn resource(kind: &Kind) -> Value {
    let mut out = json!({"name": kind.plural, "singularName": kind.singular,
        "namespaced": kind.namespaced, "kind": kind.kind, "verbs": VERBS});
    if !kind.short_names.is_empty() {
        out["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        out["categories"] = json!(kind.categories);
    }
    out["storageVersionHash"] = short_hash(&format!("{}/{}", kind.stored_as, kind.kind)).into();
    out
}

fn short_hash(text: &str) -> String {
    fixpoint_base::Digest::of(text.as_bytes()).short()
}

fn subresources(kind: &Kind) -> Vec<&'static str> {
    let mut out = Vec::new();
    if kind.group.is_empty() && kind.plural == "namespaces" {
        out.push("finalize");
    }
    if kind.scale.is_some() {
        out.push("scale");
    }
    if kind.status {
        out.push("status");
    }
    out
}

fn subresource_of(kind: &Kind, subresource: &str) -> Value {
    let name = format!("{}/{subresource}", kind.plural);
    let mut out = json!({"name": name, "singularName": "", "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": ["get", "patch", "update"]});
    if subresource == "scale" {
        out["kind"] = "Scale".into();
        out["group"] = "autoscaling".into();
        out["version"] = "v1".into();
    }
    if subresource == "finalize" {
        out["verbs"] = json!(["update"]);
    }
    out
}

fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    if !group_versions(registry, group).iter().any(|found| found == version) {
        return None;
    }
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": crate::kinds::api_version(group, version),
        "resources": described(registry, group, version)}))
}

fn group_of(registry: &Registry, group: &str) -> Option<Value> {
    let versions = group_versions(registry, group);
    if group.is_empty() || versions.is_empty() {
        return None;
    }
    let mut out = group_value(group, &versions);
    out["kind"] = "APIGroup".into();
    out["apiVersion"] = "v1".into();
    Some(out)
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({"groupVersion": crate::kinds::api_version(group, version), "version": version})
        })
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api` and `/apis`, each in the old form and in the aggregated one.
fn root(registry: &Registry, header: Option<&str>, core: bool) -> Answer {
    if accept::discovery(header)? {
        let list = aggregated(registry, core).to_string();
        let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        return Ok(reply::typed(StatusCode::OK, media, list));
    }
    let value = if core {
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    } else {
        let groups: Vec<Value> = group_names(registry)
            .iter()
            .filter(|group| !group.is_empty())
            .map(|group| group_value(group, &group_versions(registry, group)))
            .collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    };
    Ok(reply::value(StatusCode::OK, &value))
}

fn aggregated(registry: &Registry, core: bool) -> Value {
    let groups = group_names(registry).into_iter().filter(|group| group.is_empty() == core);
    let items: Vec<Value> = groups
        .map(|group| {
            let versions: Vec<Value> = group_versions(registry, &group)
                .iter()
                .map(|version| {
                    let resources = described(registry, &group, version);
                    json!({"version": version, "freshness": "Current",
                        "resources": aggregate(&group, version, &resources)})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items})
}

/// Turns `APIResource`s into the aggregated form, in which subresources are within resources.
fn aggregate(group: &str, version: &str, resources: &[Value]) -> Vec<Value> {
    let name = |resource: &Value| resource["name"].as_str().unwrap_or("").to_owned();
    let kind_of = |resource: &Value| {
        let text =
            |field: &str, default: &str| resource[field].as_str().unwrap_or(default).to_owned();
        json!({"group": text("group", group), "version": text("version", version),
            "kind": resource["kind"]})
    };
    let roots = resources.iter().filter(|resource| !name(resource).contains('/'));
    roots
        .map(|resource| {
            let prefix = format!("{}/", name(resource));
            let subresources: Vec<Value> = resources
                .iter()
                .filter_map(|other| {
                    let name = name(other);
                    let name = name.strip_prefix(&prefix)?;
                    Some(json!({"subresource": name, "responseKind": kind_of(other),
                        "verbs": other["verbs"]}))
                })
                .collect();
            let namespaced = resource["namespaced"] == true;
            let mut out = json!({"resource": resource["name"], "responseKind": kind_of(resource),
                "scope": if namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": resource["singularName"], "verbs": resource["verbs"]});
            for field in ["shortNames", "categories"] {
                if let Some(value) = resource.get(field) {
                    out[field] = value.clone();
                }
            }
            if !subresources.is_empty() {
                out["subresources"] = subresources.into();
            }
            out
        })
        .collect()
}

fn openapi_index(registry: &Registry) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in registry.groups() {
        for version in versions.iter().map(|version| &version.name) {
            let path = match group {
                "" => format!("api/{version}"),
                group => format!("apis/{group}/{version}"),
            };
            let hash = short_hash(&format!("{path} {}", registry.stamp(group, version)));
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

fn openapi_document(registry: &Registry, group: &str, version: &str) -> Answer {
    let kinds = registry
        .version(group, version)
        .ok_or_else(fixpoint_api_machinery::status::no_such_resource)?;
    let path = format!("{group}/{version}");
    let document = registry.document(&path, || {
        let kinds: Vec<(KindInfo<'_>, Option<&Value>)> = kinds
            .values()
            .map(|kind| {
                let info = KindInfo {
                    kind: &kind.kind,
                    plural: &kind.plural,
                    namespaced: kind.namespaced,
                    status: kind.status,
                };
                (info, kind.custom.as_ref().map(|custom| &custom.schema))
            })
            .collect();
        openapi::document(group, version, &kinds).to_string().into_bytes()
    });
    Ok(reply::json(StatusCode::OK, document))
}

/// Old clients ask for it before they fall back; it says nothing.
fn openapi_v2() -> String {
    json!({"swagger": "2.0", "info": {"title": "Fixpoint", "version": VERSION}, "paths": {},
        "definitions": {}})
    .to_string()
}
