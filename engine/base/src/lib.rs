//! What every stage of the belt needs: names of objects, digests, canonical JSON, classes of
//! errors, the limits that bind every input and the addresses that nobody connects to.
//!
//! Nothing here knows what a source, a plan or a target is.

pub mod address;
pub mod canonical;
pub mod digest;
pub mod error;
pub mod limits;
pub mod object;
pub mod secret;

pub use digest::Digest;
pub use error::{Chain, Class, Classified};
pub use limits::Limits;
pub use object::{Gvk, Key};
pub use secret::Secret;
