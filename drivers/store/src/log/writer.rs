//! The thread that owns the file, and the one that writes snapshots beside it.
//!
//! In: commands in order. Out: answers, each after what it stands for is durable. No other thread
//! ever writes to a segment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::format::{self, HEADER, PREFIX, SEGMENT, SNAPSHOT};
use super::recover::{self, Place};
use super::{LogError, LogOptions, Ticket};
use crate::disk::{self, Disk};

/// One write takes at most about this much; beyond it waiting longer saves nothing.
const BATCH_BYTES: usize = 8 << 20;

type Done = oneshot::Sender<Result<(), LogError>>;

enum Command {
    Append { record: Vec<u8>, done: Done },
    Compact { snapshot: Vec<Vec<u8>>, done: Done },
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    closing: bool,
    failed: Option<LogError>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    sizes: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sizes(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for commands; `None` when the log is closing and nothing is left.
    fn take(&self) -> Option<VecDeque<Command>> {
        let mut queue = self.queue();
        while queue.commands.is_empty() {
            if queue.closing {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut queue.commands))
    }
}

/// What the rest of the program holds.
pub struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    record_bytes: usize,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({} bytes)", self.size())
    }
}

impl Handle {
    /// Starts the writer at a place.
    pub fn start(
        disk: Arc<dyn Disk>,
        name: &str,
        options: LogOptions,
        place: Place,
    ) -> Result<Self, LogError> {
        let Place { number, end, sizes } = place;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            sizes: Mutex::new(sizes),
        });
        let record_bytes = options.record_bytes.min(i32::MAX as usize);
        let mut writer = Writer {
            disk,
            shared: Arc::clone(&shared),
            options,
            number,
            end,
            dirty: false,
            buffer: Vec::new(),
            compactor: None,
        };
        if end == 0 {
            // Without a segment yet there is none before it either.
            writer.begin(number, 0)?;
        }
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|err| LogError::io(name, err))?;
        Ok(Self { shared, thread: Some(thread), record_bytes })
    }

    pub fn append(&self, record: Vec<u8>) -> Ticket {
        let (bytes, limit) = (record.len(), self.record_bytes);
        if bytes > limit {
            return Ticket::ready(Err(LogError::TooLarge { bytes, limit }));
        }
        self.send(|done| Command::Append { record, done })
    }

    pub fn compact(&self, snapshot: Vec<Vec<u8>>) -> Ticket {
        let limit = self.record_bytes;
        if let Some(bytes) = snapshot.iter().map(Vec::len).find(|bytes| *bytes > limit) {
            return Ticket::ready(Err(LogError::TooLarge { bytes, limit }));
        }
        self.send(|done| Command::Compact { snapshot, done })
    }

    pub fn size(&self) -> u64 {
        self.shared.sizes().values().sum()
    }

    fn send(&self, command: impl FnOnce(Done) -> Command) -> Ticket {
        let (done, ticket) = oneshot::channel();
        let mut queue = self.shared.queue();
        if let Some(err) = &queue.failed {
            return Ticket::ready(Err(err.clone()));
        }
        queue.commands.push_back(command(done));
        drop(queue);
        self.shared.wake.notify_one();
        Ticket::waiting(ticket)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer ended in a panic");
        }
    }
}

struct Writer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    options: LogOptions,
    number: u64,
    /// Where the next record goes: everything before it is durable.
    end: u64,
    /// A failed write left something behind `end`.
    dirty: bool,
    buffer: Vec<u8>,
    compactor: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
}

impl Writer {
    fn run(mut self) {
        while let Some(mut commands) = self.shared.take() {
            while let Some(command) = commands.pop_front() {
                let (result, done) = match command {
                    Command::Append { record, done } => {
                        let (records, done) = batch(record, done, &mut commands);
                        (self.commit(&records), done)
                    }
                    Command::Compact { snapshot, done } => match self.compact(snapshot, done) {
                        Ok(()) => continue,
                        Err((err, done)) => (Err(err), vec![done]),
                    },
                };
                if let Err(err) = &result {
                    self.refuse(err, &mut commands);
                }
                for done in done {
                    // Nobody waits any more: nothing to tell.
                    done.send(result.clone()).ok();
                }
            }
        }
        if let Some((jobs, thread)) = self.compactor.take() {
            drop(jobs);
            thread.join().ok();
        }
    }

    /// Answers everything that waits behind a failure with it: none may survive without those
    /// before it.
    fn refuse(&self, err: &LogError, commands: &mut VecDeque<Command>) {
        let mut queue = self.shared.queue();
        if matches!(err, LogError::NotDurable { .. }) {
            queue.failed = Some(err.clone());
        }
        let behind = std::mem::take(&mut queue.commands);
        for command in commands.drain(..).chain(behind) {
            let (Command::Append { done, .. } | Command::Compact { done, .. }) = command;
            done.send(Err(err.clone())).ok();
        }
    }

    fn fatal(&self, file: &str, source: std::io::Error) -> LogError {
        let err = LogError::NotDurable { file: file.to_owned(), source: Arc::new(source) };
        (self.options.fatal)(&err);
        err
    }

    /// Writes a batch and makes it durable, or leaves the log as it was.
    fn commit(&mut self, records: &[Vec<u8>]) -> Result<(), LogError> {
        self.clean()?;
        if self.end >= self.options.segment_bytes {
            self.begin(self.number + 1, self.end)?;
        }
        self.buffer.clear();
        for (at, record) in records.iter().enumerate() {
            let offset = self.end + self.buffer.len() as u64;
            format::push(&mut self.buffer, self.number, offset, record, at == 0);
        }
        let file = recover::segment(self.number);
        if let Err(err) = disk::write_all(&*self.disk, &file, self.end, &self.buffer) {
            self.dirty = true;
            if let Err(err) = self.clean() {
                tracing::warn!(error = %fixpoint_base::Chain(&err), "tail not cut off yet");
            }
            return Err(LogError::write(&file, err));
        }
        if let Err(err) = self.disk.sync(&file) {
            return Err(self.fatal(&file, err));
        }
        self.end += self.buffer.len() as u64;
        self.buffer.shrink_to(BATCH_BYTES);
        self.shared.sizes().insert(file, self.end);
        Ok(())
    }

    /// Cuts off what a failed write left.
    fn clean(&mut self) -> Result<(), LogError> {
        if self.dirty {
            let file = recover::segment(self.number);
            self.disk.truncate(&file, self.end).map_err(|err| LogError::write(&file, err))?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Begins a segment; its header is durable before anything goes behind it.
    fn begin(&mut self, number: u64, previous: u64) -> Result<(), LogError> {
        let file = recover::segment(number);
        let header = format::header(SEGMENT, number, previous);
        let disk = &*self.disk;
        if let Err(err) = disk::write_all(disk, &file, 0, &header) {
            // Left behind it would be taken for the next segment after a restart; it is
            // harmless then too, since a segment without a header counts as torn.
            disk.remove(&file).ok();
            return Err(LogError::write(&file, err));
        }
        if let Err(err) = disk.sync(&file).and_then(|()| disk.sync_dir("")) {
            return Err(self.fatal(&file, err));
        }
        self.number = number;
        self.end = HEADER;
        self.shared.sizes().insert(file, HEADER);
        Ok(())
    }

    /// Begins a new segment and has the snapshot written that replaces those before it.
    fn compact(&mut self, snapshot: Vec<Vec<u8>>, done: Done) -> Result<(), (LogError, Done)> {
        let ready = self.clean().and_then(|()| match self.end {
            HEADER => Ok(()),
            end => self.begin(self.number + 1, end),
        });
        if let Err(err) = ready {
            return Err((err, done));
        }
        let job = Job { number: self.number, snapshot, done };
        let job = match &self.compactor {
            None => job,
            Some((jobs, _)) => match jobs.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(job)) => job,
            },
        };
        self.start_compactor(job)
    }

    fn start_compactor(&mut self, job: Job) -> Result<(), (LogError, Done)> {
        let (jobs, todo) = mpsc::channel();
        let compactor = Compactor {
            disk: Arc::clone(&self.disk),
            shared: Arc::clone(&self.shared),
            options: self.options.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("log-compactor".to_owned())
            .spawn(move || compactor.run(&todo));
        match thread {
            Ok(thread) => {
                // The receiver is alive: its thread has just been started and waits.
                jobs.send(job).map_err(|mpsc::SendError(job)| (LogError::Closed, job.done))?;
                self.compactor = Some((jobs, thread));
                Ok(())
            }
            Err(err) => Err((LogError::io("the log's compactor", err), job.done)),
        }
    }
}

/// Takes as many appends from the front as fit into one write.
fn batch(
    record: Vec<u8>,
    done: Done,
    commands: &mut VecDeque<Command>,
) -> (Vec<Vec<u8>>, Vec<Done>) {
    let mut bytes = record.len();
    let (mut records, mut all) = (vec![record], vec![done]);
    while bytes < BATCH_BYTES
        && matches!(commands.front(), Some(Command::Append { .. }))
        && let Some(Command::Append { record, done }) = commands.pop_front()
    {
        bytes += record.len();
        records.push(record);
        all.push(done);
    }
    (records, all)
}

/// A snapshot to write.
struct Job {
    /// The first segment that it does not replace.
    number: u64,
    snapshot: Vec<Vec<u8>>,
    done: Done,
}

struct Compactor {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    options: LogOptions,
}

impl Compactor {
    fn run(&self, todo: &mpsc::Receiver<Job>) {
        while let Ok(Job { number, snapshot, done }) = todo.recv() {
            let result = self.compact(number, snapshot);
            done.send(result).ok();
        }
    }

    /// Writes a snapshot beside the log; renaming it is what makes it count.
    fn compact(&self, number: u64, snapshot: Vec<Vec<u8>>) -> Result<(), LogError> {
        let file = recover::snapshot(number);
        let beside = format!("{file}.tmp");
        let disk = &*self.disk;
        let size = self.write(&beside, number, snapshot).map_err(|err| {
            disk.remove(&beside).ok();
            LogError::write(&beside, err)
        })?;
        // A snapshot that is not durable is thrown away and the segments stay: not fatal.
        if let Err(err) = disk.sync(&beside).and_then(|()| disk.rename(&beside, &file)) {
            disk.remove(&beside).ok();
            return Err(LogError::io(&file, err));
        }
        if let Err(err) = disk.sync_dir("") {
            let err = LogError::NotDurable { file, source: Arc::new(err) };
            (self.options.fatal)(&err);
            self.shared.queue().failed = Some(err.clone());
            return Err(err);
        }
        self.shared.sizes().insert(file, size);
        for gone in recover::remove_before(disk, number)? {
            self.shared.sizes().remove(&gone);
        }
        Ok(())
    }

    fn write(&self, file: &str, number: u64, snapshot: Vec<Vec<u8>>) -> std::io::Result<u64> {
        let disk = &*self.disk;
        disk.remove(file)?;
        let mut offset = 0;
        let mut buffer = format::header(SNAPSHOT, number, snapshot.len() as u64);
        for record in snapshot {
            let at = offset + buffer.len() as u64;
            format::push(&mut buffer, number, at, &record, false);
            if buffer.len() as u64 > BATCH_BYTES as u64 - PREFIX {
                disk::write_all(disk, file, offset, &buffer)?;
                offset += buffer.len() as u64;
                buffer.clear();
            }
        }
        disk::write_all(disk, file, offset, &buffer)?;
        Ok(offset + buffer.len() as u64)
    }
}
