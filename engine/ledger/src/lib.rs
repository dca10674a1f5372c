//! The tamper-evident ledger, without its disk.
//!
//! In: what happened, as typed entries. Out: canonical bytes, a Merkle tree over them, proofs,
//! signed checkpoints, and the permits without which no target is changed. Nothing here holds a
//! secret or a plain hash of one: entries take digests that their makers keyed where need be.

pub mod audit;
pub mod entry;
pub mod merkle;
pub mod note;
pub mod permit;
pub mod pin;
pub mod replay;
pub mod tiles;

pub use audit::{Audit, Problem};
pub use entry::{Body, Draft, Entry, EntryError};
pub use merkle::Hash;
pub use note::{Checkpoint, NoteError, Signer, VerifierKey};
pub use permit::{Action, Intent, Permit, Receipt, Step};
pub use pin::{Meeting, Stranger};
pub use replay::Replay;
