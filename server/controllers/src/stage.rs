//! What the belt is doing, told live to whoever listens (the quickstart, later the page).
//!
//! Telling never waits: a listener that falls behind misses lines, the belt does not slow down.

use std::time::Duration;

use tokio::sync::broadcast;

/// One stage of one object that has ended.
#[derive(Debug, Clone)]
pub struct Stage {
    /// `GitRepository/ns/name` or `Kustomization/ns/name`.
    pub subject: String,
    /// Which stage.
    pub name: StageName,
    /// What came of it, in a few words.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
    /// Whether it ended well.
    pub ok: bool,
}

/// The stages of the belt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageName {
    /// The store was asked and what is new was fetched.
    Fetched,
    /// What the store said was judged against its history.
    Verdict,
    /// Objects were rendered.
    Rendered,
    /// What to do was decided.
    Planned,
    /// It was done.
    Applied,
    /// What was done is well.
    Healthy,
}

impl StageName {
    /// The stage as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Verdict => "verdict",
            Self::Rendered => "rendered",
            Self::Planned => "planned",
            Self::Applied => "applied",
            Self::Healthy => "healthy",
        }
    }
}

/// Where stages are told.
#[derive(Debug, Clone)]
pub struct Stages(broadcast::Sender<Stage>);

impl Default for Stages {
    fn default() -> Self {
        Self(broadcast::channel(1024).0)
    }
}

impl Stages {
    /// Tells that a stage has ended.
    pub fn tell(&self, stage: Stage) {
        tracing::debug!(
            subject = stage.subject,
            stage = stage.name.word(),
            detail = stage.detail,
            took_ms = stage.took.as_secs_f64() * 1000.0,
            ok = stage.ok,
            "stage"
        );
        // Nobody listening is the normal case.
        let _unheard = self.0.send(stage);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Stage> {
        self.0.subscribe()
    }
}
