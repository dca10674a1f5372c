//! Runs what can only be written asynchronously for callers that block.
//!
//! In: a future and a time. Out: what it gives, or nothing when the time is over. Its one thread
//! starts at first use, and is let go without waiting: the driver may be dropped on a thread that
//! drives another runtime.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// A thread that drives connections.
#[derive(Debug, Default)]
pub(crate) struct Background(Mutex<Option<Runtime>>);

impl Background {
    /// The runtime, started if this is the first to ask.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("git-ssh")
            .enable_all()
            .build()?;
        Ok(runtime.insert(started).handle().clone())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

/// Waits for a future; `None` when the time is over before it.
pub(crate) fn wait<T>(handle: &Handle, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    handle.block_on(async { tokio::time::timeout(time, work).await.ok() })
}
