//! HTTP as the Kubernetes API uses it: what a request asks for, and how an answer is sent.

pub mod accept;
mod protobuf;
pub mod query;
pub mod reply;
pub mod request;

pub use accept::{Accepted, Shape};
pub use query::Query;
pub use reply::{Answer, Failure};
pub use request::Request;
