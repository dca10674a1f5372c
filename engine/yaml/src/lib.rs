//! YAML as Kubernetes tools read and write it: text comes in, JSON values go out, and back.
//!
//! Reading resolves scalars as go-yaml does, within [`fixpoint_base::Limits`]; writing gives the
//! bytes that `sigs.k8s.io/yaml` gives. Text never makes this crate panic, recurse without bound
//! or loop, and an error names a place but never the text of a value.

mod emit;
mod error;
mod order;
mod parse;
mod resolve;
mod scalar;
mod timestamp;

pub use emit::{join, to_string};
pub use error::YamlError;
pub use order::natural;
pub use parse::{parse, parse_as};
pub use resolve::Dialect;
