//! What of a version a source selects, and whether what is stored was selected alike.

use fixpoint_api_types::names::reasons;
use fixpoint_api_types::{GitRepositorySpec, GitRepositoryStatus};
use fixpoint_base::Limits;
use fixpoint_source::{Selection, SelectionProblem};

use super::status::Said;

/// Reads what is selected. What cannot be read stalls the source: only an edit mends it.
///
/// # Errors
/// With what the run has to say.
pub fn declared(spec: &GitRepositorySpec, limits: &Limits) -> Result<Selection, Said> {
    let declared = Selection::declared(&spec.sparse_checkout, spec.ignore.as_deref(), limits);
    let selection = declared.map(|found| found.with_submodules(spec.recurse_submodules));
    selection.map_err(|problem| {
        let reason = match problem {
            SelectionProblem::Folder(_) | SelectionProblem::Folders(_) => reasons::INVALID_PATH,
            SelectionProblem::Ignore(_) => reasons::SOURCE_IGNORE_ERROR,
        };
        Said::stalled(reason, &problem)
    })
}

/// Whether the artifact in the status was made with the selection that is declared now.
pub fn is_observed(spec: &GitRepositorySpec, status: &GitRepositoryStatus) -> bool {
    spec.ignore == status.observed_ignore
        && spec.sparse_checkout == status.observed_sparse_checkout
        && spec.recurse_submodules == status.observed_recurse_submodules
}

/// Notes the selection that the artifact in the status was made with.
pub fn observe(spec: &GitRepositorySpec, status: &mut GitRepositoryStatus) {
    status.observed_ignore = spec.ignore.clone();
    status.observed_sparse_checkout = spec.sparse_checkout.clone();
    status.observed_recurse_submodules = spec.recurse_submodules;
}
