//! The walker: which step next, which again, and which not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use fixpoint_base::{Class, Key};
use fixpoint_plan::{Hold, Plan, Stage, Step, Verb};

use crate::outcome::{Done, Failure};
use crate::report::{Fate, Report};

/// How fast a plan is walked, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Steps in flight at once.
    pub width: usize,
    /// How often a step is tried while its failures are transient.
    pub attempts: u32,
    /// The pause after the first failure; doubled after each further one.
    pub first_pause: Duration,
    /// The longest pause, whatever the target asks for.
    pub longest_pause: Duration,
    /// When to stop starting steps, counted like `now`.
    pub deadline: Option<Duration>,
}

impl Default for Pace {
    /// Five attempts with pauses of 1, 2, 4 and 8 seconds ride out a fail-over of an API server;
    /// a longer outage is for the delivery's own interval to retry.
    fn default() -> Self {
        Self {
            width: 8,
            attempts: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            deadline: None,
        }
    }
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Carry out the step at this place of the plan, and record how it went.
    Do(usize),
    /// Nothing can start for this long, unless a step in flight ends before.
    Wait(Duration),
    /// Nothing can start until a step in flight ends.
    InFlight,
    /// Everything has ended; see [`Run::report`].
    Finished,
}

/// Where one step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting { attempts: u32, not_before: Duration },
    InFlight { attempts: u32 },
    Ended,
}

/// Walks a plan without touching anything itself.
///
/// The caller asks [`Run::next`] what to do, does it, and reports back through [`Run::record`].
/// Stages follow each other; the steps of a stage are independent, and up to [`Pace::width`] of
/// them are in flight. A step waits for the steps it needs; where one of those failed it is
/// skipped. Deletions start when everything else succeeded, and not at all otherwise.
#[derive(Debug, Clone)]
pub struct Run {
    steps: Vec<Step>,
    places: BTreeMap<Key, usize>,
    states: Vec<State>,
    fates: Vec<Option<Fate>>,
    /// The last failure of each step that is to be tried again.
    setbacks: BTreeMap<usize, Failure>,
    pace: Pace,
    in_flight: usize,
    /// Everything before this place has ended.
    first_open: usize,
}

impl Run {
    /// Begins a walk.
    pub fn new(plan: &Plan, pace: Pace) -> Self {
        let steps = plan.steps.clone();
        let applies = steps.iter().enumerate().filter(|(_, step)| step.verb != Verb::Delete);
        let fresh = State::Waiting { attempts: 0, not_before: Duration::ZERO };
        Self {
            places: applies.map(|(at, step)| (step.key.clone(), at)).collect(),
            states: vec![fresh; steps.len()],
            fates: vec![None; steps.len()],
            steps,
            setbacks: BTreeMap::new(),
            pace,
            in_flight: 0,
            first_open: 0,
        }
    }

    /// Says what to do now.
    pub fn next(&mut self, now: Duration) -> Walk {
        self.give_up_after_deadline(now);
        loop {
            self.skip_ended();
            let Some(first) = self.steps.get(self.first_open) else { return Walk::Finished };
            let group = group(first);
            if group.0 && self.skip_deletions_unless_complete() {
                continue;
            }
            if self.in_flight >= self.pace.width.max(1) {
                return Walk::InFlight;
            }
            match self.pick(group, now) {
                Pick::Start(at) => return self.start(at),
                Pick::Skipped => {}
                Pick::Later(pause) => return Walk::Wait(pause),
                Pick::Nothing => return Walk::InFlight,
            }
        }
    }

    /// Takes note of how a step went that [`Run::next`] handed out. A second answer to the same
    /// step is ignored.
    pub fn record(&mut self, at: usize, outcome: Result<Done, Failure>, now: Duration) {
        let Some(State::InFlight { attempts }) = self.states.get(at) else { return };
        let attempts = *attempts;
        self.in_flight -= 1;
        match outcome {
            Ok(done) => self.end(at, Fate::Done(done)),
            Err(failure) if failure.class == Class::Transient && attempts < self.pace.attempts => {
                let not_before = now.saturating_add(self.pause(attempts, failure.retry_after));
                self.states[at] = State::Waiting { attempts, not_before };
                self.setbacks.insert(at, failure);
            }
            Err(failure) => self.end(at, Fate::Failed(failure)),
        }
    }

    /// Stops starting steps: the delivery changed, or the program ends. What is in flight may
    /// still be recorded. A step that failed before ends with that failure, any other with `why`.
    pub fn stop(&mut self, why: &str) {
        for at in 0..self.steps.len() {
            if matches!(self.states[at], State::Waiting { .. }) {
                let failure = self.setbacks.remove(&at).unwrap_or_else(|| not_reached(why));
                self.end(at, Fate::Failed(failure));
            }
        }
    }

    /// What became of every step; complete once [`Run::next`] says [`Walk::Finished`].
    pub fn report(self) -> Report {
        let fates = self.steps.into_iter().zip(self.fates).map(|(step, fate)| {
            let fate = fate.unwrap_or_else(|| Fate::Failed(not_reached("the run did not end")));
            (step, fate)
        });
        Report::new(fates.collect())
    }

    fn skip_ended(&mut self) {
        while self.states.get(self.first_open) == Some(&State::Ended) {
            self.first_open += 1;
        }
    }

    fn give_up_after_deadline(&mut self, now: Duration) {
        if self.pace.deadline.is_some_and(|deadline| now >= deadline) {
            self.stop("the time for this run was over before it was its turn");
        }
    }

    /// Skips all deletions where something wanted is not there; says whether it did.
    fn skip_deletions_unless_complete(&mut self) -> bool {
        let complete =
            self.places.values().all(|at| matches!(self.fates[*at], Some(Fate::Done(_))));
        if complete {
            return false;
        }
        for at in 0..self.steps.len() {
            if self.steps[at].verb == Verb::Delete && self.states[at] != State::Ended {
                self.end(at, Fate::Skipped(Hold::PartialApply));
            }
        }
        true
    }

    /// Picks a step of the group that is open now.
    fn pick(&mut self, open: (bool, Stage), now: Duration) -> Pick {
        let mut soonest: Option<Duration> = None;
        for at in self.first_open..self.steps.len() {
            if group(&self.steps[at]) != open {
                break;
            }
            let State::Waiting { not_before, .. } = self.states[at] else { continue };
            match self.needs(at) {
                Needs::Met => {}
                Needs::Open => continue,
                Needs::Failed(on) => {
                    self.end(at, Fate::Skipped(Hold::DependsOnFailed { on }));
                    return Pick::Skipped;
                }
            }
            if not_before <= now {
                return Pick::Start(at);
            }
            let pause = not_before - now;
            soonest = Some(soonest.map_or(pause, |soonest| soonest.min(pause)));
        }
        soonest.map_or(Pick::Nothing, Pick::Later)
    }

    fn needs(&self, at: usize) -> Needs {
        let mut needs = Needs::Met;
        for need in &self.steps[at].needs {
            let Some(place) = self.places.get(need) else { continue };
            match &self.fates[*place] {
                Some(Fate::Done(_)) => {}
                Some(Fate::Failed(_) | Fate::Skipped(_)) => return Needs::Failed(need.clone()),
                None => needs = Needs::Open,
            }
        }
        needs
    }

    fn start(&mut self, at: usize) -> Walk {
        if let State::Waiting { attempts, .. } = self.states[at] {
            self.states[at] = State::InFlight { attempts: attempts + 1 };
            self.in_flight += 1;
        }
        Walk::Do(at)
    }

    fn end(&mut self, at: usize, fate: Fate) {
        self.states[at] = State::Ended;
        self.fates[at] = Some(fate);
    }

    fn pause(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let own = self.pace.first_pause.saturating_mul(doubled);
        own.max(asked.unwrap_or_default()).min(self.pace.longest_pause)
    }
}

enum Pick {
    Start(usize),
    Skipped,
    Later(Duration),
    Nothing,
}

enum Needs {
    Met,
    Open,
    Failed(Key),
}

/// Steps go together that are of one stage, applies and deletions apart.
fn group(step: &Step) -> (bool, Stage) {
    (step.verb == Verb::Delete, step.stage)
}

fn not_reached(why: &str) -> Failure {
    Failure { class: Class::Transient, error: why.to_owned(), hint: None, retry_after: None }
}
