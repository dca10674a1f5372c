//! The server as its clients see it: requests in, answers out.

mod create;
mod definitions;
mod delete;
mod discovery;
mod durable;
mod kubectl;
mod lists;
mod patches;
mod support;
mod tls;
mod updates;
mod watches;
