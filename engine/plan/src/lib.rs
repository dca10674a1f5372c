//! From what is wanted and what is there to what will be done.
//!
//! In: the objects a rendering gave ([`DesiredSet`]), the live ones ([`LiveSet`]), what earlier
//! runs recorded as ours ([`Inventory`], [`Memory`]) and what is allowed ([`Policy`]). Out: a
//! [`Plan`] that names every object it touches and every object it leaves alone, with the reason.
//!
//! Never here: an object is deleted that the inventory does not name, or because information is
//! missing; a secret value reaches a digest except through a keyed hash, or reaches a text.

pub mod controls;
pub mod decide;
pub mod desired;
pub mod diff;
pub mod fingerprint;
pub mod guard;
pub mod inventory;
pub mod live;
mod names;
pub mod order;
pub mod owner;
pub mod plan;
pub mod policy;
pub mod scope;
pub mod wire;

pub use controls::{Controls, Ssa};
pub use decide::plan;
pub use desired::{DesiredSet, Options, Problem, Wanted};
pub use diff::diff;
pub use guard::{Budget, Guard, GuardReason};
pub use inventory::{BadEntry, Entry, Id, Inventory};
pub use live::{FIELD_MANAGER, Live, LiveObject, LiveSet};
pub use order::Stage;
pub use owner::Owner;
pub use plan::{Hold, Plan, Step, Verb, Why};
pub use policy::{Applied, Memory, Policy};
pub use scope::Scopes;
pub use wire::PlanForm;
