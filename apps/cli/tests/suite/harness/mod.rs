//! An engine as a process, and the shortest words for what tests do with it.

mod api;
mod engine;
mod home;
mod rig;
mod scene;
mod text;

pub use api::Api;
pub use engine::Engine;
pub use home::{Home, Said};
pub use rig::Rig;
pub use scene::{Scene, config_map, delivery, source};
pub use text::{condition, message, plain, random, ready};

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: machines of others are slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until there is something to see.
#[track_caller]
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}
