//! What all ways to a Git server have in common.
//!
//! In: requests in Git's protocol. Out: answers, metered. How they travel, and who is let in, is
//! up to `http` and `ssh`.

use std::io::BufRead;

use fixpoint_source::StoreError;

/// An answer, or as much of a stream as the protocol makes one.
pub(crate) type Body<'b> = Box<dyn BufRead + 'b>;

/// One conversation with one server.
pub(crate) trait Conversation {
    /// Connects; gives what the server says first.
    fn discover(&mut self) -> Result<Body<'_>, StoreError>;

    /// Sends a command; gives what the server says to it.
    fn command(&mut self, request: Vec<u8>) -> Result<Body<'_>, StoreError>;
}
