//! The page: what the engine knows, to look at in a browser. Read-only.
//!
//! In: our objects and the engine's own reads, through the port [`Engine`]; a session that began
//! with a one-time token. Out: HTML that was rendered here, kept up to date by server-sent events.
//! Nothing here changes an object, asks another host for anything, or shows what a Secret holds,
//! and every text that comes from elsewhere is escaped.

mod app;
mod assets;
mod door;
mod engine;
mod guard;
mod live;
mod page;
mod secret;
mod serve;
mod sessions;
mod throttle;
mod tokens;
mod view;

pub use app::{SignIn, Web};
pub use engine::{Engine, Kind, Unread};
