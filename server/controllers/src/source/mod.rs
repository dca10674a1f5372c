//! The loop of sources: asks a store what it says now, judges it, and stores what may be
//! delivered.

mod credentials;
mod reconcile;
mod selection;
mod status;

pub use reconcile::reconcile;
