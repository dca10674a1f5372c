//! Other sources whose artifacts are copied into a source's own.
//!
//! In: `spec.include` and what the watches know of the named sources. Out: their artifacts, or why
//! they cannot be had. The version that a source holds on to (a hold, a refused signature) is
//! what others include: nothing that was not accepted gets around the verdict this way.

use std::sync::Arc;
use std::time::Instant;

use fixpoint_api_types::names::reasons;
use fixpoint_api_types::{Artifact, GitRepositoryInclude, GitRepositorySpec, GitRepositoryStatus};
use fixpoint_base::{Chain, Classified as _, Limits};
use fixpoint_driver_store::Artifacts;
use fixpoint_ledger::entry;
use fixpoint_source::inclusion::{self, Inclusion, InclusionProblem, MAX_INCLUDES};
use fixpoint_source::{Sieve, Tree};

use super::status::Said;
use crate::context::Context;
use crate::looper::Named;
use crate::world::{self, Kind};

/// One source that is included, at the version that it has now.
#[derive(Debug, Clone)]
pub struct Included {
    /// Which source, and what of it goes where.
    inclusion: Inclusion,
    /// Its artifact.
    pub artifact: Artifact,
    /// How the ledger knows it.
    pub evidence: entry::Included,
}

/// Reads what is declared. What cannot be read stalls the source: only an edit mends it.
///
/// # Errors
/// With what the run has to say.
pub fn declared(spec: &GitRepositorySpec, limits: &Limits) -> Result<Vec<Inclusion>, Said> {
    let stalled = |problem| Said::stalled(reasons::INVALID_PATH, &problem);
    if spec.include.len() > MAX_INCLUDES {
        return Err(stalled(InclusionProblem::TooMany(spec.include.len())));
    }
    let one = |include: &GitRepositoryInclude| {
        let (from, to) = (include.from_path.as_deref(), include.to_path.as_deref());
        Inclusion::declared(&include.repository.name, from, to, limits)
    };
    spec.include.iter().map(one).collect::<Result<_, _>>().map_err(stalled)
}

/// Finds the artifacts of the included sources.
///
/// # Errors
/// With what the run has to say: a source is missing, has nothing yet, or includes us.
pub fn find(ctx: &Context, us: &Named, declared: Vec<Inclusion>) -> Result<Vec<Included>, Said> {
    if declared.is_empty() {
        return Ok(Vec::new());
    }
    let edges = |at: &Named| {
        let object = ctx.world.get(Kind::Source, at);
        object.map(|object| world::includes_of(at, &object)).unwrap_or_default()
    };
    if let Some(circle) = world::cycle(us, edges) {
        let mut names: Vec<String> = circle.iter().map(Named::to_string).collect();
        names.push(us.to_string());
        return Err(Said::Unavailable {
            reason: reasons::DEPENDENCY_NOT_READY,
            message: format!("the includes go round in a circle: {}", names.join(" → ")),
        });
    }
    declared.into_iter().map(|inclusion| one(ctx, us, inclusion)).collect()
}

fn one(ctx: &Context, us: &Named, inclusion: Inclusion) -> Result<Included, Said> {
    let name = inclusion.name.clone();
    let unavailable = |reason, message| Said::Unavailable { reason, message };
    let source = Named::new(&us.namespace, &name);
    let object = ctx.world.get(Kind::Source, &source).ok_or_else(|| {
        let message = format!("could not get resource for include '{name}': it does not exist");
        unavailable(reasons::NOT_FOUND, message)
    })?;
    let none =
        || unavailable(reasons::NO_ARTIFACT, format!("no artifact available for include '{name}'"));
    let found = object["status"].get("artifact").ok_or_else(none)?;
    let artifact: Artifact = serde_json::from_value(found.clone()).map_err(|_| none())?;
    let subject = format!("GitRepository/{source}");
    let digest = artifact.digest.parse().map_err(|_| none())?;
    // Nothing goes on to a target that is not on record as accepted.
    let Some(observe) = ctx.record.admitted(&subject, &artifact.revision) else {
        ctx.world.waker(Kind::Source).wake(source);
        return Err(none());
    };
    let evidence = entry::Included {
        source: subject,
        observe,
        revision: artifact.revision.clone(),
        artifact: digest,
    };
    Ok(Included { inclusion, artifact, evidence })
}

/// Copies the artifacts into a tree. Blocks.
///
/// # Errors
/// With what the run has to say.
pub fn copy(
    artifacts: &Artifacts,
    tree: Tree,
    included: &[Included],
    sieve: &Sieve,
    limits: &Limits,
    until: Instant,
) -> Result<Tree, Said> {
    if included.is_empty() {
        return Ok(tree);
    }
    let failed = |message| Said::Failed { reason: reasons::COPY_FAILURE, message };
    let mut parts: Vec<(&Inclusion, Arc<Tree>)> = Vec::with_capacity(included.len());
    for Included { inclusion, artifact, .. } in included {
        let read = artifacts.tree(&artifact.path, &artifact.digest);
        let read = read.map_err(|err| Said::Unavailable {
            reason: reasons::NO_ARTIFACT,
            message: format!("include '{}': {}", inclusion.name, Chain(&err)),
        })?;
        parts.push((inclusion, read));
    }
    let look = &mut || match Instant::now() < until {
        true => Ok(()),
        false => Err(failed("copying what is included took longer than spec.timeout".to_owned())),
    };
    let copied = inclusion::include(&tree, &parts, sieve, limits, look)?;
    copied.map_err(|problem| {
        let hint = problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        failed(format!("{}{hint}", Chain(&problem)))
    })
}

/// Whether the artifact in the status was made with what is included now.
pub fn is_observed(
    spec: &GitRepositorySpec,
    status: &GitRepositoryStatus,
    included: &[Included],
) -> bool {
    let same = |(now, then): (&Included, &Artifact)| {
        now.artifact.revision == then.revision && now.artifact.digest == then.digest
    };
    spec.include == status.observed_include
        && included.len() == status.included_artifacts.len()
        && included.iter().zip(&status.included_artifacts).all(same)
}

/// Notes what the artifact in the status was made with.
pub fn observe(spec: &GitRepositorySpec, status: &mut GitRepositoryStatus, included: &[Artifact]) {
    status.observed_include = spec.include.clone();
    status.included_artifacts = included.to_vec();
}
