//! Counts for `/metrics`, in the Prometheus text format.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fixpoint_apply::Counts;

/// What the loops have done since the start. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    source_runs: AtomicU64,
    delivery_runs: AtomicU64,
    created: AtomicU64,
    configured: AtomicU64,
    deleted: AtomicU64,
    failed: AtomicU64,
}

impl Metrics {
    /// Counts a run of a source.
    pub fn source_run(&self) {
        self.0.source_runs.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a run of a delivery.
    pub fn delivery_run(&self) {
        self.0.delivery_runs.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what a plan came to.
    pub fn applied(&self, counts: &Counts) {
        let Counts { created, configured, unchanged: _, deleted, failed, skipped: _ } = *counts;
        self.0.created.fetch_add(created as u64, Ordering::Relaxed);
        self.0.configured.fetch_add(configured as u64, Ordering::Relaxed);
        self.0.deleted.fetch_add(deleted as u64, Ordering::Relaxed);
        self.0.failed.fetch_add(failed as u64, Ordering::Relaxed);
    }

    /// The text. Labels come from fixed sets only, so that no input makes them many.
    pub fn text(&self) -> String {
        let Inner { source_runs, delivery_runs, created, configured, deleted, failed } = &*self.0;
        let mut text = String::new();
        let mut family = |name: &str, help: &str, rows: &[(&str, &AtomicU64)], label: &str| {
            let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for (value, count) in rows {
                let count = count.load(Ordering::Relaxed);
                let _infallible = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
            }
        };
        family(
            "fixpoint_reconciles_total",
            "Runs of reconcilers.",
            &[("GitRepository", source_runs), ("Kustomization", delivery_runs)],
            "kind",
        );
        family(
            "fixpoint_applied_objects_total",
            "Objects by what became of them.",
            &[
                ("created", created),
                ("configured", configured),
                ("deleted", deleted),
                ("failed", failed),
            ],
            "result",
        );
        text
    }
}
