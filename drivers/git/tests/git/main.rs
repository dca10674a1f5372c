//! The driver against real repositories, in folders and behind a real `git http-backend`
//! and a real `git upload-pack`.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

mod common;
mod history;
mod http;
mod proxy;
mod reading;
mod selecting;
mod ssh;
mod submodules;
