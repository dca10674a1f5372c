//! Fields that can be written but are not acted upon yet.
//!
//! In: a spec. Out: the fields that are set in it and would have no effect. One table, so that a
//! feature that lands deletes its line; an object whose field is ignored in silence must not
//! exist.

use crate::git_repository::{GitProvider, GitRepositorySpec};
use crate::kustomization::KustomizationSpec;

/// A field and whether a spec sets it to something that would have no effect.
type Row<S> = (&'static str, fn(&S) -> bool);

const GIT_REPOSITORY: &[Row<GitRepositorySpec>] = &[
    ("spec.provider", |spec| !matches!(spec.provider, None | Some(GitProvider::Generic))),
    ("spec.serviceAccountName", |spec| spec.service_account_name.is_some()),
];

const KUSTOMIZATION: &[Row<KustomizationSpec>] = &[
    ("spec.buildMetadata", |spec| !spec.build_metadata.is_empty()),
    ("spec.decryption", |spec| spec.decryption.is_some()),
    ("spec.dependsOn[].readyExpr", |spec| spec.depends_on.iter().any(|d| d.ready_expr.is_some())),
    ("spec.healthCheckExprs", |spec| !spec.health_check_exprs.is_empty()),
    ("spec.ignore", |spec| !spec.ignore.is_empty()),
    ("spec.kubeConfig.configMapRef", |spec| {
        spec.kube_config.as_ref().is_some_and(|config| config.config_map_ref.is_some())
    }),
    ("spec.postBuild", |spec| spec.post_build.is_some()),
    ("spec.serviceAccountName", |spec| spec.service_account_name.is_some()),
];

/// A spec that can tell which of its fields would have no effect.
pub trait Unsupported {
    /// The fields that are set but not acted upon, sorted.
    fn unsupported_fields(&self) -> Vec<&'static str>;
}

impl Unsupported for GitRepositorySpec {
    fn unsupported_fields(&self) -> Vec<&'static str> {
        set(GIT_REPOSITORY, self)
    }
}

impl Unsupported for KustomizationSpec {
    fn unsupported_fields(&self) -> Vec<&'static str> {
        set(KUSTOMIZATION, self)
    }
}

/// The fields of a spec that are set but not acted upon, sorted.
pub fn unsupported_fields(spec: &impl Unsupported) -> Vec<&'static str> {
    spec.unsupported_fields()
}

fn set<S>(table: &[Row<S>], spec: &S) -> Vec<&'static str> {
    table.iter().filter(|(_, is_set)| is_set(spec)).map(|(field, _)| *field).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn git(spec: Value) -> Vec<&'static str> {
        unsupported_fields(&serde_json::from_value::<GitRepositorySpec>(spec).unwrap())
    }

    fn kustomization(spec: Value) -> Vec<&'static str> {
        unsupported_fields(&serde_json::from_value::<KustomizationSpec>(spec).unwrap())
    }

    #[test]
    fn what_is_not_set_is_not_named() {
        let plain = json!({"url": "https://example.org/shop", "interval": "1m",
            "provider": "generic", "ref": {"semver": ">=1"}, "secretRef": {"name": "token"}});
        assert_eq!(git(plain), [""; 0]);
        let plain = json!({"interval": "1m", "prune": true, "wait": true, "force": true,
            "deletionPolicy": "MirrorPrune", "dependsOn": [{"name": "infra"}],
            "sourceRef": {"kind": "GitRepository", "name": "shop"}, "namePrefix": "a-"});
        assert_eq!(kustomization(plain), [""; 0]);
    }

    #[test]
    fn everything_at_once() {
        let all = git(json!({"url": "https://example.org/shop", "interval": "1m", "ignore": "",
            "include": [{"repository": {"name": "other"}}], "provider": "azure",
            "serviceAccountName": "me", "sparseCheckout": ["apps"],
            "verify": {"secretRef": {"name": "keys"}}}));
        assert_eq!(all, GIT_REPOSITORY.iter().map(|row| row.0).collect::<Vec<_>>());
        let all = kustomization(json!({"interval": "1m", "prune": true,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
            "buildMetadata": ["originAnnotations"], "decryption": {"provider": "sops"},
            "deletionPolicy": "Orphan", "dependsOn": [{"name": "infra", "readyExpr": "true"}],
            "healthCheckExprs": [{"apiVersion": "example.org/v1", "current": "true"}],
            "healthChecks": [{"kind": "Service", "name": "web"}], "ignore": [{"paths": ["/a"]}],
            "ignoreMissingComponents": true, "kubeConfig": {"configMapRef": {"name": "prod"}},
            "postBuild": {}, "serviceAccountName": "me"}));
        assert_eq!(all, KUSTOMIZATION.iter().map(|row| row.0).collect::<Vec<_>>());
    }

    /// The page that users read is made from the tables, so that it cannot lag behind.
    #[test]
    fn the_page_names_every_field() {
        let mut page = "# Flux's kinds\n\n\
            Every field, default and rule is Flux's own. These fields are stored but not acted upon \
            yet;\nan object that sets one says so in its status. \
            (This page is made by a test of `api/types`.)\n"
            .to_owned();
        let list = |page: &mut String, kind: &str, fields: Vec<&str>| {
            page.push_str(&format!("\n## {kind}\n\n"));
            for field in fields {
                let note = match field {
                    "spec.provider" => ", other than `generic`",
                    "spec.deletionPolicy" => ", other than `MirrorPrune`",
                    _ => "",
                };
                page.push_str(&format!("- `{field}`{note}\n"));
            }
        };
        list(&mut page, "GitRepository", GIT_REPOSITORY.iter().map(|row| row.0).collect());
        list(&mut page, "Kustomization", KUSTOMIZATION.iter().map(|row| row.0).collect());
        expect_test::expect_file!["../../../docs/compat/flux.md"].assert_eq(&page);
    }

    #[test]
    fn tables_are_sorted() {
        assert!(GIT_REPOSITORY.is_sorted_by_key(|row| row.0));
        assert!(KUSTOMIZATION.is_sorted_by_key(|row| row.0));
    }
}
