//! `GitRepository`: a Git repository as a source.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::interval::{Interval, PATTERN_WITHOUT_HOURS};
use crate::meta::{Artifact, LocalObjectReference, is_false};

/// What to fetch, from where, and how often to look.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "GitRepository",
    plural = "gitrepositories",
    shortname = "gitrepo",
    category = "all",
    category = "fluxcd",
    category = "fluxcd-sources",
    doc = "A Git repository as a source.",
    namespaced,
    status = "GitRepositoryStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".spec.url"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.serviceAccountName) || (has(self.provider) && (self.provider == 'azure' || self.provider == 'aws'))",
    "message": "serviceAccountName needs the provider 'azure' or 'aws'"
}]))]
pub struct GitRepositorySpec {
    /// Address of the repository: http, https or ssh.
    #[schemars(regex(pattern = r"^(http|https|ssh)://.*$"))]
    pub url: String,
    /// How often to look for a new version. Approximate: the moments are spread a little.
    pub interval: Interval,
    /// How long one operation on the repository may take.
    #[serde(default = "default_timeout")]
    #[schemars(regex(pattern = PATTERN_WITHOUT_HOURS))]
    pub timeout: Interval,
    /// Who issues the credentials; generic where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<GitProvider>,
    /// Secret with the credentials: username and password or bearerToken for HTTPS, identity and
    /// known_hosts for SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalObjectReference>,
    /// Secret with the proxy to go through: address, username and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalObjectReference>,
    /// ServiceAccount to authenticate as, with the providers azure and aws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Which version to follow; the branch master where it is not set.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<GitRepositoryRef>,
    /// Whose signatures to require.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<GitRepositoryVerification>,
    /// Paths to leave out, in the notation of .gitignore. Replaces the default list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Stops looking for new versions.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// Fetches the submodules too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recurse_submodules: bool,
    /// Directories to fetch; all of them where the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sparse_checkout: Vec<String>,
    /// Artifacts of other repositories to copy into this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<GitRepositoryInclude>,
}

fn default_timeout() -> Interval {
    Interval::new("60s")
}

/// Who issues the credentials of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GitProvider {
    /// The Secret has them.
    Generic,
    /// CodeCommit.
    Aws,
    /// Azure DevOps.
    Azure,
    /// A GitHub App.
    Github,
}

/// Which version to follow. Commit is stronger than name, name than semver, semver than tag, and
/// tag than branch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryRef {
    /// Branch to follow; master where nothing else is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Tag to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Range of semantic versions; the highest tag in it is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// Full name of the reference to follow, such as refs/heads/main or refs/pull/420/head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Commit to stay at; with branch, it must be on that branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Whose signatures to require.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryVerification {
    /// Which objects must be signed. HEAD and head mean the same.
    #[serde(default)]
    pub mode: GitVerificationMode,
    /// Secret with the public keys of trusted authors: PGP keys under names that end in .asc, SSH
    /// keys under names that end in .sshpub.
    pub secret_ref: LocalObjectReference,
}

/// Which Git objects must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum GitVerificationMode {
    /// The commit, in an older spelling.
    #[serde(rename = "head")]
    LowercaseHead,
    /// The commit.
    #[default]
    #[serde(rename = "HEAD")]
    Head,
    /// The tag.
    Tag,
    /// The tag and the commit it points to.
    #[serde(rename = "TagAndHEAD")]
    TagAndHead,
}

/// Another repository's artifact to copy in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitRepositoryInclude {
    /// The repository, in the same namespace.
    pub repository: LocalObjectReference,
    /// Path to copy from; the root where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_path: Option<String>,
    /// Path to copy to; the name of the repository where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_path: Option<String>,
}

/// What was last fetched, and from which settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct GitRepositoryStatus {
    /// The generation that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds for the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The last version that was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The artifacts that were copied in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included_artifacts: Vec<Artifact>,
    /// The request that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The ignore that the artifact was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_ignore: Option<String>,
    /// The include that the artifact was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_include: Vec<GitRepositoryInclude>,
    /// The recurseSubmodules that the artifact was made with.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observed_recurse_submodules: bool,
    /// The sparseCheckout that the artifact was made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed_sparse_checkout: Vec<String>,
    /// The mode of the last successful verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_verification_mode: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_can_be_written() {
        let text = r#"{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository",
            "metadata":{"name":"shop"},"spec":{"url":"https://example.org/shop","interval":"1m",
            "ref":{"branch":"main"},"unknown":1}}"#;
        let read: GitRepository = serde_json::from_str(text).unwrap();
        assert_eq!(read.spec.timeout.as_str(), "60s");
        assert_eq!(read.status, None);
        let spec = serde_json::to_string(&read.spec).unwrap();
        assert_eq!(
            spec,
            r#"{"url":"https://example.org/shop","interval":"1m","timeout":"60s","ref":{"branch":"main"}}"#
        );
        assert_eq!(serde_json::to_string(&GitRepositoryStatus::default()).unwrap(), "{}");
    }

    #[test]
    fn signatures_are_of_the_commit_unless_said() {
        let verify: GitRepositoryVerification =
            serde_json::from_str(r#"{"secretRef":{"name":"keys"}}"#).unwrap();
        assert_eq!(verify.mode, GitVerificationMode::Head);
        for (text, mode) in [
            ("\"head\"", GitVerificationMode::LowercaseHead),
            ("\"HEAD\"", GitVerificationMode::Head),
            ("\"Tag\"", GitVerificationMode::Tag),
            ("\"TagAndHEAD\"", GitVerificationMode::TagAndHead),
        ] {
            assert_eq!(serde_json::from_str::<GitVerificationMode>(text).unwrap(), mode);
        }
    }
}
