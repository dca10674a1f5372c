//! Reads what a program on an ssh server prints.
//!
//! In: a channel. Out: bytes, metered. What the program says on the side is kept, at most a few
//! lines, to tell why it ended.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use fixpoint_source::StoreError;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use tokio::runtime::Handle;

use crate::background::wait;
use crate::meter::{Meter, plain};

/// Bytes of complaints that are kept.
const MAX_COMPLAINT: usize = 1024;

/// What a program prints, and the way to it.
pub(super) struct Incoming<'a> {
    runtime: Handle,
    meter: &'a Meter,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<client::Msg>,
    waiting: Bytes,
    said_nothing: bool,
    complaint: Vec<u8>,
    ended: bool,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(
        runtime: Handle,
        meter: &'a Meter,
        read: ChannelReadHalf,
        write: ChannelWriteHalf<client::Msg>,
    ) -> Self {
        Self {
            runtime,
            meter,
            read,
            write,
            waiting: Bytes::new(),
            said_nothing: true,
            complaint: Vec::new(),
            ended: false,
        }
    }

    /// Sends a request to the program.
    pub(super) fn send(&self, request: Vec<u8>) -> Result<(), StoreError> {
        let sent = wait(&self.runtime, self.meter.remaining(), self.write.data_bytes(request));
        match sent {
            None => Err(self.meter.timeout()),
            Some(Ok(())) => Ok(()),
            // It has gone; what it said before says why.
            Some(Err(_)) => Err(self.meter.unreachable("the connection closed half way")),
        }
    }

    /// Waits until there is something to read or nothing will come any more.
    fn fill(&mut self) -> Result<(), StoreError> {
        while self.waiting.is_empty() && !self.ended {
            self.meter.check()?;
            let next = wait(&self.runtime, self.meter.remaining(), self.read.wait());
            match next {
                None => return Err(self.meter.timeout()),
                Some(Some(ChannelMsg::Data { data })) => {
                    self.meter.spend(data.len() as u64)?;
                    self.said_nothing &= data.is_empty();
                    self.waiting = data;
                }
                Some(Some(ChannelMsg::ExtendedData { data, .. })) => {
                    self.meter.spend(data.len() as u64)?;
                    let room = MAX_COMPLAINT.saturating_sub(self.complaint.len());
                    self.complaint.extend_from_slice(&data[..data.len().min(room)]);
                }
                // Complaints may come after the end of the output; the last is the close.
                Some(Some(ChannelMsg::Close) | None) => self.ended = true,
                Some(Some(ChannelMsg::Failure)) => {
                    return Err(self.meter.unreachable("it does not let us run git-upload-pack"));
                }
                Some(Some(_)) => {}
            }
        }
        if self.waiting.is_empty() { Err(self.why_it_ended()) } else { Ok(()) }
    }

    /// A program that ends while something is wanted of it has failed: the protocol says where
    /// each answer ends, so nobody reads further.
    fn why_it_ended(&self) -> StoreError {
        let complaint = plain(&String::from_utf8_lossy(&self.complaint), 200);
        let told = complaint.to_lowercase();
        // As Git, GitHub, GitLab and Gitea say it.
        let is_absent = ["not found", "does not appear to be a git repository", "does not exist"];
        if self.said_nothing && is_absent.iter().any(|text| told.contains(text)) {
            let program = ["command not found", "upload-pack: not found"];
            if !program.iter().any(|text| told.contains(text)) {
                return StoreError::NotFound { url: self.meter.url().to_owned() };
            }
        }
        match complaint.as_str() {
            "" if self.said_nothing => {
                self.meter.unreachable("it closed the connection without a word")
            }
            "" => self.meter.unreachable("the connection closed half way"),
            complaint => self.meter.unreachable(format!("the server says: {complaint}")),
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill().map_err(|err| self.meter.fail(err))?;
        let length = out.len().min(self.waiting.len());
        self.waiting.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The program ends when nobody reads it; whether it hears of that now is its affair.
        let _told = wait(&self.runtime, Duration::from_secs(1), self.write.close());
    }
}
