//! The driver against real repositories, in folders and behind a real `git http-backend`.

mod common;
mod history;
mod http;
mod reading;
