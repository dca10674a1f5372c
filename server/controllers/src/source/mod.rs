//! The loop of sources: asks a store what it says now, judges it, and stores what may be
//! delivered.

mod credentials;
mod inclusion;
mod reconcile;
mod selection;
mod status;
mod storing;
mod verification;

pub use reconcile::reconcile;
