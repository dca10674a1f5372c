//! Words that every part and every client must spell alike: annotations, labels, finalizer,
//! condition types, reasons and groups.

/// The finalizer on every object that is reconciled.
pub const FINALIZER: &str = "finalizers.fluxcd.io";

/// API groups.
pub mod groups {
    /// Group of the sources.
    pub const SOURCE: &str = "source.toolkit.fluxcd.io";
    /// Group of the Kustomization.
    pub const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
}

/// Annotations on the objects that are reconciled.
pub mod annotations {
    /// Asks for a reconciliation: any new value does.
    pub const RECONCILE_REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
    /// Asks for a forced one; acts only while it equals the request.
    pub const RECONCILE_FORCE_AT: &str = "reconcile.fluxcd.io/forceAt";
    /// Asks to forget failures; acts only while it equals the request.
    pub const RECONCILE_RESET_AT: &str = "reconcile.fluxcd.io/resetAt";
    /// What a source's verdicts do: `enforce`, `warn` or `mutable`.
    pub const HISTORY: &str = "source.fixpoint.dev/history";
    /// Other servers that a source's submodules may come from: hosts, between commas.
    pub const SUBMODULE_HOSTS: &str = "source.fixpoint.dev/submodule-hosts";
    /// Accepts the version a source is held at.
    pub const SOURCE_ACKNOWLEDGE: &str = "source.fixpoint.dev/acknowledge";
    /// Accepts what a delivery is held for.
    pub const DELIVERY_ACKNOWLEDGE: &str = "delivery.fixpoint.dev/acknowledge";
    /// Metadata forwarded into events starts with this.
    pub const EVENT_PREFIX: &str = "event.toolkit.fluxcd.io/";
    /// The revision of the source that an OCI artifact was built from.
    pub const ORIGIN_REVISION: &str = "org.opencontainers.image.revision";
}

/// Labels on objects that make their controllers look.
pub mod labels {
    /// Set to `Enabled` on a ConfigMap or Secret whose changes should be noticed at once.
    pub const WATCH: &str = "reconcile.fluxcd.io/watch";
    /// Name of the Kustomization that an object belongs to.
    pub const KUSTOMIZATION_NAME: &str = "kustomize.toolkit.fluxcd.io/name";
    /// Namespace of the Kustomization that an object belongs to.
    pub const KUSTOMIZATION_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
}

/// Controls on single delivered objects, read from labels and annotations.
pub mod controls {
    /// `disabled`: leave the object alone altogether.
    pub const RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";
    /// `Override`, `Merge`, `IfNotPresent` or `Ignore`.
    pub const SSA: &str = "kustomize.toolkit.fluxcd.io/ssa";
    /// `enabled`: recreate the object where a change is impossible.
    pub const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";
    /// `disabled`: never delete the object.
    pub const PRUNE: &str = "kustomize.toolkit.fluxcd.io/prune";
    /// `disabled`: no variables are substituted in the object.
    pub const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";
    /// `disabled`: the object is not decrypted.
    pub const DECRYPT: &str = "kustomize.toolkit.fluxcd.io/decrypt";
    /// A checksum that older versions of Flux left behind.
    pub const CHECKSUM: &str = "kustomize.toolkit.fluxcd.io/checksum";
}

/// Who writes: the names under which fields are owned.
pub mod managers {
    /// Owns the fields of delivered objects. Flux's own name, so that a cluster that Flux has
    /// filled can be taken over, and given back, without a conflict.
    pub const KUSTOMIZE: &str = "kustomize-controller";
    /// Owns the status of Kustomizations.
    pub const KUSTOMIZE_STATUS: &str = "gotk-kustomize-controller";
    /// Owns the status of sources.
    pub const SOURCE_STATUS: &str = "gotk-source-controller";
}

/// Types of conditions.
pub mod conditions {
    /// The object is what it should be.
    pub const READY: &str = "Ready";
    /// A run is going on, or the last one failed and will be tried again.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing more happens until somebody edits the object.
    pub const STALLED: &str = "Stalled";
    /// What was delivered is healthy.
    pub const HEALTHY: &str = "Healthy";
    /// The artifact in the status is in the storage.
    pub const ARTIFACT_IN_STORAGE: &str = "ArtifactInStorage";
    /// The source has a newer version than the artifact.
    pub const ARTIFACT_OUTDATED: &str = "ArtifactOutdated";
    /// The signature of the version was checked.
    pub const SOURCE_VERIFIED: &str = "SourceVerified";
    /// The source could not be fetched.
    pub const FETCH_FAILED: &str = "FetchFailed";
    /// An included source has no artifact.
    pub const INCLUDE_UNAVAILABLE: &str = "IncludeUnavailable";
    /// The storage failed.
    pub const STORAGE_OPERATION_FAILED: &str = "StorageOperationFailed";
    /// The source's history has kept its promises.
    pub const GIT_SEMANTICS: &str = "GitSemantics";
}

/// Reasons of conditions.
pub mod reasons {
    /// It worked.
    pub const SUCCEEDED: &str = "Succeeded";
    /// It did not work.
    pub const FAILED: &str = "Failed";
    /// It is being worked on.
    pub const PROGRESSING: &str = "Progressing";
    /// It failed and is being tried again.
    pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
    /// The object is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// A dependency is not ready.
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    /// The path is not in the artifact, or leads out of it.
    pub const INVALID_PATH: &str = "InvalidPath";
    /// The address cannot be used.
    pub const INVALID_URL: &str = "InvalidURL";
    /// Garbage could not be collected.
    pub const PRUNE_FAILED: &str = "PruneFailed";
    /// The artifact could not be had.
    pub const ARTIFACT_FAILED: &str = "ArtifactFailed";
    /// Rendering failed.
    pub const BUILD_FAILED: &str = "BuildFailed";
    /// What was delivered is not healthy.
    pub const HEALTH_CHECK_FAILED: &str = "HealthCheckFailed";
    /// The health check was ended by something newer.
    pub const HEALTH_CHECK_CANCELED: &str = "HealthCheckCanceled";
    /// The delivery succeeded.
    pub const RECONCILIATION_SUCCEEDED: &str = "ReconciliationSucceeded";
    /// The delivery failed.
    pub const RECONCILIATION_FAILED: &str = "ReconciliationFailed";
    /// An expression cannot be evaluated.
    pub const INVALID_CEL_EXPRESSION: &str = "InvalidCELExpression";
    /// What was asked for is switched off, or not there yet.
    pub const FEATURE_GATE_DISABLED: &str = "FeatureGateDisabled";
    /// An object of another namespace may not be used.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// An insecure connection was asked for and is not allowed.
    pub const INSECURE_CONNECTIONS_DISALLOWED: &str = "InsecureConnectionsDisallowed";
    /// The kind of connection is not supported.
    pub const UNSUPPORTED_CONNECTION_TYPE: &str = "UnsupportedConnectionType";
    /// The Git server answered.
    pub const GIT_OPERATION_SUCCEEDED: &str = "GitOperationSucceeded";
    /// The Git server could not be used.
    pub const GIT_OPERATION_FAILED: &str = "GitOperationFailed";
    /// The credentials are missing or were refused.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The signature is missing or wrong.
    pub const VERIFICATION_ERROR: &str = "VerificationError";
    /// The source has a new version.
    pub const NEW_REVISION: &str = "NewRevision";
    /// An included source has changed.
    pub const INCLUDE_CHANGE: &str = "IncludeChange";
    /// What is included does not exist.
    pub const NOT_FOUND: &str = "NotFound";
    /// What is included has nothing yet.
    pub const NO_ARTIFACT: &str = "NoArtifact";
    /// What is included could not be copied.
    pub const COPY_FAILURE: &str = "CopyFailure";
    /// The provider cannot be used like this.
    pub const INVALID_PROVIDER_CONFIGURATION: &str = "InvalidProviderConfiguration";
    /// The URL cannot be used.
    pub const URL_INVALID: &str = "URLInvalid";
    /// A directory could not be made.
    pub const DIRECTORY_CREATION_FAILED: &str = "DirectoryCreationFailed";
    /// Patterns of what to ignore cannot be used.
    pub const SOURCE_IGNORE_ERROR: &str = "SourceIgnoreError";
    /// The artifact could not be packed.
    pub const ARCHIVE_OPERATION_FAILED: &str = "ArchiveOperationFailed";
    /// The storage could not be read.
    pub const READ_OPERATION_FAILED: &str = "ReadOperationFailed";
    /// The storage could not be inspected.
    pub const STAT_OPERATION_FAILED: &str = "StatOperationFailed";
    /// The status could not be written.
    pub const PATCH_OPERATION_FAILED: &str = "PatchOperationFailed";
    /// A source broke a promise of its history; it is held at the last good version.
    pub const GIT_SEMANTICS_VIOLATION: &str = "GitSemanticsViolation";
}
