//! Runs one reconciler over many objects: wake-ups come in, runs go out, never two at once for
//! one object.
//!
//! A wake-up carries nothing but a name. One that arrives during a run causes exactly one more
//! run after it; many are folded into one. One task owns all of this state.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Names a namespaced object of the kind that a looper runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Named {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// When a reconciler wants to look at an object again, and what it waits for until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// At its fixpoint; looks again after the interval in case something went unnoticed.
    Settled(Duration),
    /// Something failed; tries again then.
    Retry(Duration, String),
    /// Waits for something that wakes it; looks by itself only after this long.
    Wait(Duration, String),
    /// Nothing to do until the object itself changes.
    Never(String),
}

impl Next {
    fn after(&self) -> Option<Duration> {
        match self {
            Self::Settled(after) | Self::Retry(after, _) | Self::Wait(after, _) => Some(*after),
            Self::Never(_) => None,
        }
    }

    /// What it waits for, in words.
    pub fn because(&self) -> &str {
        match self {
            Self::Settled(_) => "nothing: it is at its fixpoint",
            Self::Retry(_, because) | Self::Wait(_, because) | Self::Never(because) => because,
        }
    }
}

/// What an object waits for now and when it is looked at next.
#[derive(Debug, Clone)]
pub struct Look {
    /// What the last run said.
    pub next: Next,
    /// When it is looked at again without being woken.
    pub at: Option<Instant>,
}

/// Wakes objects up and tells when they are looked at next. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker {
    wakes: mpsc::UnboundedSender<Named>,
    looks: Arc<Mutex<BTreeMap<Named, Look>>>,
}

impl Waker {
    /// Says "look at this one".
    pub fn wake(&self, object: Named) {
        // A looper that has stopped needs no waking.
        let _stopped = self.wakes.send(object);
    }

    /// What one object waits for; `None` before its first run and while it is gone.
    pub fn look(&self, object: &Named) -> Option<Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).get(object).cloned()
    }
}

/// Makes the two ends of a looper.
pub fn looper(concurrency: usize) -> (Waker, Looper) {
    let (wakes, inbox) = mpsc::unbounded_channel();
    let waker = Waker { wakes, looks: Arc::default() };
    let looks = waker.looks.clone();
    (waker, Looper { inbox, looks, concurrency, state: State::default() })
}

/// The owner of who runs when.
pub struct Looper {
    inbox: mpsc::UnboundedReceiver<Named>,
    looks: Arc<Mutex<BTreeMap<Named, Look>>>,
    concurrency: usize,
    state: State,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Named>,
    queued: BTreeSet<Named>,
    running: BTreeSet<Named>,
    again: BTreeSet<Named>,
    timers: BinaryHeap<Reverse<(Instant, Named)>>,
    due: BTreeMap<Named, Instant>,
}

impl State {
    fn wake(&mut self, object: Named) {
        if self.running.contains(&object) {
            self.again.insert(object);
        } else if self.queued.insert(object.clone()) {
            self.ready.push_back(object);
        }
    }

    fn start(&mut self) -> Option<Named> {
        let object = self.ready.pop_front()?;
        self.queued.remove(&object);
        self.due.remove(&object);
        self.running.insert(object.clone());
        Some(object)
    }

    fn finish(&mut self, object: &Named, at: Option<Instant>) {
        self.running.remove(object);
        if self.again.remove(object) {
            self.wake(object.clone());
        } else if let Some(at) = at {
            self.due.insert(object.clone(), at);
            self.timers.push(Reverse((at, object.clone())));
        }
    }

    /// Wakes what is due. A timer that was superseded by an earlier run is ignored.
    fn ring(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.timers.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((at, object))) = self.timers.pop() else { break };
            if self.due.get(&object) == Some(&at) {
                self.due.remove(&object);
                self.wake(object);
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }
}

impl Looper {
    /// Runs until every waker is gone or `stop` resolves, then lets what runs finish.
    ///
    /// A run that panics fails that one object: it is tried again after a minute.
    pub async fn run<F>(mut self, reconcile: impl Fn(Named) -> F, stop: impl Future<Output = ()>)
    where
        F: Future<Output = Option<Next>> + Send + 'static,
    {
        let mut runs: JoinSet<(Named, Option<Next>)> = JoinSet::new();
        let mut by_task = BTreeMap::new();
        tokio::pin!(stop);
        loop {
            self.state.ring(Instant::now());
            while runs.len() < self.concurrency
                && let Some(object) = self.state.start()
            {
                let run = reconcile(object.clone());
                let name = object.clone();
                let task = runs.spawn(async move { (name, run.await) });
                by_task.insert(task.id(), object);
            }
            let timer = self.state.next_timer();
            // Every arm is cancel-safe: channels and joins keep what they have not yielded.
            tokio::select! {
                () = &mut stop => break,
                woken = self.inbox.recv() => match woken {
                    Some(object) => self.state.wake(object),
                    None => break,
                },
                Some(done) = runs.join_next_with_id(), if !runs.is_empty() => {
                    let (id, object, next) = match done {
                        Ok((id, (object, next))) => (id, Some(object), next),
                        Err(panicked) => {
                            let next = Next::Retry(PANIC_PAUSE, "an internal error".to_owned());
                            tracing::error!(error = %panicked, "a reconciler panicked");
                            (panicked.id(), by_task.get(&panicked.id()).cloned(), Some(next))
                        }
                    };
                    by_task.remove(&id);
                    if let Some(object) = object {
                        self.note(object, next);
                    }
                },
                () = sleep_until(timer) => {}
            }
        }
        while runs.join_next().await.is_some() {}
    }

    fn note(&mut self, object: Named, next: Option<Next>) {
        let at = next.as_ref().and_then(Next::after).map(|after| Instant::now() + after);
        self.state.finish(&object, at);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        match next {
            Some(next) => looks.insert(object, Look { next, at }),
            None => looks.remove(&object),
        };
    }
}

/// Long enough not to spin on a bug, short enough that a repaired world is noticed.
const PANIC_PAUSE: Duration = Duration::from_secs(60);

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Arc<Mutex<Vec<String>>>;

    fn object(name: &str) -> Named {
        Named::new("ns", name)
    }

    async fn settle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn wake_ups_during_a_run_are_folded_into_one() {
        let (waker, looper) = looper(4);
        let log: Log = Arc::default();
        let seen = log.clone();
        let task = tokio::spawn(looper.run(
            move |object| {
                let seen = seen.clone();
                async move {
                    seen.lock().unwrap().push(format!("start {}", object.name));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    seen.lock().unwrap().push(format!("end {}", object.name));
                    Some(Next::Never("done".to_owned()))
                }
            },
            std::future::pending(),
        ));
        waker.wake(object("a"));
        settle().await;
        for _ in 0..5 {
            waker.wake(object("a"));
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(*log.lock().unwrap(), ["start a", "end a", "start a", "end a"]);
        assert_eq!(waker.look(&object("a")).unwrap().next.because(), "done");
        drop(waker);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn looks_again_after_the_interval_and_a_wake_up_resets_it() {
        let (waker, looper) = looper(1);
        let log: Log = Arc::default();
        let seen = log.clone();
        let began = Instant::now();
        tokio::spawn(looper.run(
            move |_| {
                let seen = seen.clone();
                async move {
                    seen.lock().unwrap().push(format!("{}", began.elapsed().as_secs()));
                    Some(Next::Settled(Duration::from_secs(10)))
                }
            },
            std::future::pending(),
        ));
        waker.wake(object("a"));
        tokio::time::sleep(Duration::from_secs(14)).await;
        waker.wake(object("a"));
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(*log.lock().unwrap(), ["0", "10", "14", "24"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_fails_one_object_only() {
        let (waker, looper) = looper(1);
        tokio::spawn(looper.run(
            |object| async move {
                assert_ne!(object.name, "bad", "a planted panic");
                Some(Next::Settled(Duration::from_secs(600)))
            },
            std::future::pending(),
        ));
        waker.wake(object("bad"));
        waker.wake(object("good"));
        settle().await;
        assert_eq!(waker.look(&object("bad")).unwrap().next.because(), "an internal error");
        assert!(matches!(waker.look(&object("good")).unwrap().next, Next::Settled(_)));
    }
}
