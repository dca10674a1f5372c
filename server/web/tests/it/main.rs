//! The page as a service, in process: who is let in, what is answered, and what is in it.
//!
//! In: requests as a browser sends them, objects as the API server has them. Out: heads and HTML.
//! The engine is a stand-in that holds what a case puts into it.

#![cfg(test)]

mod door;
mod harness;
mod live;
mod pages;
