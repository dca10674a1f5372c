//! Plays the commands of a script in a world, and gives what each has to say.
//!
//! In: words. Out: text. A command that fails says so in its output, as it would at a prompt; the
//! golden decides whether that was meant.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use fixpoint_base::Chain;
use serde_json::{Value, json};

use crate::kinds::{self, DELIVERY, Kind, Place, SOURCE};
use crate::script::Command;
use crate::snapshot::Snapshot;
use crate::words;
use crate::world::World;

/// Repository of scenarios that need only one.
const REPOSITORY: &str = "shop";
/// Annotations that stand for a request.
const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";
/// A finalizer that nobody takes off but the script.
const STUCK: &str = "example.org/stuck";
/// Who put it there, and who writes the status of custom resources.
const CONTROLLER: &str = "widget-controller";

/// Plays one script.
pub struct Player {
    /// The world it plays in.
    pub world: World,
    /// What was there when `writes` was last asked.
    pub last: Snapshot,
    /// Entries that `ledger` has shown.
    pub shown_entries: u64,
    /// Events that `events` has shown.
    pub shown_events: BTreeSet<String>,
    /// Faults that `faults` has shown.
    shown_faults: usize,
    repository: String,
    requests: usize,
}

impl Player {
    /// Opens a world for one script.
    ///
    /// # Errors
    /// When the world does not open.
    pub async fn open() -> Result<Self> {
        let world = World::open().await?;
        let last = Snapshot::take(&world).await?;
        Ok(Self {
            world,
            last,
            shown_entries: 0,
            shown_events: BTreeSet::new(),
            shown_faults: 0,
            repository: REPOSITORY.to_owned(),
            requests: 0,
        })
    }

    /// Plays a command; what it says, in the script's own words.
    pub async fn play(&mut self, command: &Command) -> String {
        let output = match self.perform(command).await {
            Ok(output) => output,
            Err(err) => format!("error: {}", Chain(&*err)),
        };
        words::masked(&self.world.git.plain(&words::short(&output)))
    }

    async fn perform(&mut self, command: &Command) -> Result<String> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let all = &command.words;
        match words.as_slice() {
            ["commit", branch, ..] => self.commit(branch, &all[2..], command.body.as_deref()),
            ["use", ..] | ["branch", ..] | ["tag", ..] | ["force-push", ..] | ["git", ..] => {
                self.git(&words)
            }
            ["delete", "branch" | "tag", _] => self.git(&words),
            ["source", name, ..] => {
                let spec = words::source(&all[2..], &self.repository)?;
                self.declare(&Place::named(SOURCE, name), spec).await
            }
            ["deliver", name, ..] => {
                let spec = words::delivery(&all[2..])?;
                self.declare(&Place::named(DELIVERY, name), spec).await
            }
            ["settle", ..] | ["wait", _] => self.time(&words).await,
            ["restart"] => quiet(self.world.restart().await),
            ["crash"] => quiet(self.world.crash().await),
            ["apiserver", ..] => self.door(&words),
            ["cluster", name, ..] => self.cluster(name, &words[2..]).await,
            ["home", "is", "a", "cluster"] => quiet(self.world.live_in_a_cluster().await),
            ["kubeconfig", name] => {
                let text = command.body.as_deref().context("it has no text in the margin")?;
                quiet(self.world.kubeconfig(name, text).await)
            }
            ["at", name, ..] => self.at(name, command).await,
            ["fault", rule @ ..] => {
                self.world.evil.add(rule.join(" ").parse()?);
                Ok(String::new())
            }
            ["faults"] => Ok(self.faults()),
            ["heal"] => {
                self.world.evil.heal();
                Ok(String::new())
            }
            ["clock", by] => {
                self.world.jump(words::jump(by)?);
                Ok(String::new())
            }
            ["status"] => self.status().await,
            ["conditions", place] => self.conditions(&Place::parse(place)?).await,
            ["objects"] => self.objects().await,
            ["show", place, path] => self.show(&Place::parse(place)?, path).await,
            ["plan", place] => self.plan(&Place::parse(place)?).await,
            ["why", place] => self.why(&Place::parse(place)?).await,
            ["ledger"] => self.ledger(),
            ["ledger", "verify"] => self.verify().await,
            ["events"] => self.events().await,
            ["writes"] => self.writes().await,
            [verb, place, ..] => self.act(verb, &Place::parse(place_of(place))?, &words[1..]).await,
            _ => bail!("there is no such command"),
        }
    }

    fn commit(&self, branch: &str, edits: &[String], body: Option<&str>) -> Result<String> {
        let edits = words::edits(edits, body)?;
        let label = self.world.git.commit(&self.repository, branch, edits)?;
        Ok(format!("{branch} is at {label}"))
    }

    fn git(&mut self, words: &[&str]) -> Result<String> {
        let (git, at) = (&self.world.git, self.repository.as_str());
        match words {
            ["use", repository] => {
                self.repository = (*repository).to_owned();
                return Ok(String::new());
            }
            ["branch", branch, from] => git.set_branch(at, branch, from)?,
            ["force-push", branch, to] => git.set_branch(at, branch, to)?,
            ["tag", tag, to] => git.set_tag(at, tag, to, false)?,
            ["tag", tag, to, "annotated"] => git.set_tag(at, tag, to, true)?,
            ["delete", "branch", branch] => git.delete(at, &format!("refs/heads/{branch}"))?,
            ["delete", "tag", tag] => git.delete(at, &format!("refs/tags/{tag}"))?,
            ["git", "outage", count, "times"] => {
                git.outages(at, count.parse().context("how many times?")?, 0);
            }
            ["git", "outage", count, "times", "after", answered] => {
                let number = |text: &str| text.parse().context("how many times?");
                git.outages(at, number(count)?, number(answered)?);
            }
            ["git", "slow", delay] => git.slow(at, words::duration(delay)?),
            ["git", "password", "none"] => git.protect(at, None),
            ["git", "password", password] => git.protect(at, Some((*password).to_owned())),
            ["git", "shallow"] => git.shallow(at, true),
            ["git", "whole"] => git.shallow(at, false),
            _ => bail!("there is no such command"),
        }
        Ok(String::new())
    }

    /// Applies a source or a delivery: fields that it had and does not name any more go.
    async fn declare(&self, place: &Place, spec: Value) -> Result<String> {
        let mut object = place.blank();
        object["spec"] = spec;
        quiet(self.world.apply(&place.path(), &object).await)
    }

    async fn time(&self, words: &[&str]) -> Result<String> {
        match words {
            ["settle"] => drop(self.world.settle().await?),
            ["settle", "within", limit] => {
                let (limit, took) = (words::duration(limit)?, self.world.settle().await?);
                ensure!(took <= limit, "it took {} s", took.as_secs());
            }
            ["wait", time] => self.world.wait(words::duration(time)?).await,
            _ => bail!("there is no such command"),
        }
        Ok(String::new())
    }

    fn door(&self, words: &[&str]) -> Result<String> {
        match words {
            ["apiserver", "outage", count, "times"] => {
                self.world.rules.refuse(count.parse().context("how many times?")?);
            }
            ["apiserver", "freeze", place] => {
                self.world.rules.freeze(&Place::parse(place)?.path());
            }
            ["apiserver", "open"] => self.world.rules.open(),
            _ => bail!("there is no such command"),
        }
        Ok(String::new())
    }

    async fn cluster(&self, name: &str, words: &[&str]) -> Result<String> {
        let rules = || self.world.remotes.rules(name);
        match words {
            [] => self.world.cluster(name).await?,
            ["exchanged"] => self.world.exchange(name).await?,
            ["outage", count, "times"] => {
                rules()?.refuse(count.parse().context("how many times?")?)
            }
            ["hangs"] => rules()?.silence(),
            ["open"] => rules()?.open(),
            _ => bail!("there is no such command"),
        }
        Ok(String::new())
    }

    /// Plays a command in another cluster.
    async fn at(&mut self, name: &str, command: &Command) -> Result<String> {
        let there = command.without(2);
        self.world.focus = Some(name.to_owned());
        let output = Box::pin(self.perform(&there)).await;
        self.world.focus = None;
        output
    }

    /// Faults that were really met and not shown yet, each kind once with how often.
    fn faults(&mut self) -> String {
        let played = self.world.evil.played();
        let new = &played[self.shown_faults..];
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for fault in new {
            *counts.entry(fault.to_string()).or_default() += 1;
        }
        self.shown_faults = played.len();
        let line = |(fault, count): (&String, &usize)| format!("{fault}, {count} times\n");
        counts.iter().map(line).collect()
    }

    /// What the program over ledger and audit log has to object.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn objections(&self) -> Result<Vec<String>> {
        let report = self.world.audit()?;
        Ok(report.broken.iter().map(ToString::to_string).collect())
    }

    /// What is done to one object.
    async fn act(&mut self, verb: &str, place: &Place, words: &[&str]) -> Result<String> {
        let world = &self.world;
        let path = place.path();
        let done = match (verb, words) {
            ("create", [made]) => world.apply(&path, &kinds::object(made)?).await,
            ("delete", [_]) => world.delete(&path).await,
            ("drift", [_, values @ ..]) => {
                let (by, values): (Vec<_>, Vec<_>) =
                    pairs(values)?.into_iter().partition(|(key, _)| *key == "by");
                let manager = by.first().map_or("kubectl-edit", |(_, manager)| *manager);
                let content = kinds::content(place.kind, &values)?;
                let (field, value) = content.context("it has nothing to change")?;
                world.merge(&path, &json!({field: value}), manager).await
            }
            ("label", [_, values @ ..]) => self.mark(place, "labels", values).await,
            ("annotate", [_, values @ ..]) => self.mark(place, "annotations", values).await,
            ("status-ready", [_, truth, message @ ..]) => {
                let status = self.ready(place, truth, &message.join(" ")).await?;
                let patch = json!({"status": status});
                world.merge(&format!("{path}/status"), &patch, CONTROLLER).await
            }
            ("stick", [_]) => world.merge(&path, &finalizers(&[STUCK]), CONTROLLER).await,
            ("unstick", [_]) => world.merge(&path, &finalizers(&[]), CONTROLLER).await,
            ("suspend" | "resume", [_]) => {
                world.edit(&path, &json!({"spec": {"suspend": verb == "suspend"}})).await
            }
            ("reconcile", [_]) => {
                self.requests += 1;
                let request = json!({REQUESTED: format!("request-{}", self.requests)});
                world.edit(&path, &json!({"metadata": {"annotations": request}})).await
            }
            ("ack", [_, reason @ ..]) => return self.acknowledge(place, &reason.join(" ")).await,
            _ => bail!("there is no such command"),
        };
        quiet(done)
    }

    async fn mark(&self, place: &Place, field: &str, values: &[&str]) -> Result<Value> {
        let values: Value = pairs(values)?
            .into_iter()
            .map(|(key, value)| {
                // `key=` takes it off.
                let value = if value.is_empty() { Value::Null } else { json!(value) };
                (key.to_owned(), value)
            })
            .collect();
        self.world.edit(&place.path(), &json!({"metadata": {field: values}})).await
    }

    /// A status as the controller of a custom resource writes it.
    async fn ready(&self, place: &Place, truth: &str, message: &str) -> Result<Value> {
        let object = self.world.get(&place.path()).await?;
        Ok(json!({
            "observedGeneration": object["metadata"]["generation"],
            "conditions": [{"type": "Ready", "status": truth, "reason": "Said", "message": message}],
        }))
    }

    /// Answers for whatever the object is held for, as `fixpoint ack` does.
    async fn acknowledge(&self, place: &Place, reason: &str) -> Result<String> {
        let (condition, annotation) = match place.kind {
            SOURCE => ("GitSemantics", "source.fixpoint.dev/acknowledge"),
            DELIVERY => ("DeletionGuard", "delivery.fixpoint.dev/acknowledge"),
            Kind { word, .. } => bail!("a {word} is not held"),
        };
        let object = self.world.get(&place.path()).await?;
        let stranger = crate::show::condition(&object, "TargetIdentity");
        let held = stranger.or_else(|| crate::show::condition(&object, condition));
        let held = held.context("it is not held")?;
        let message = held["message"].as_str().unwrap_or_default();
        let id = message
            .split_once("[ack ")
            .and_then(|(_, rest)| rest.split_once(']'))
            .map(|(id, _)| id)
            .context("it is not held")?;
        let mut annotations = json!({annotation: id});
        if !reason.is_empty() {
            annotations[format!("{annotation}-reason")] = json!(reason);
        }
        let patch = json!({"metadata": {"annotations": annotations}});
        quiet(self.world.edit(&place.path(), &patch).await)
    }

    /// Wakes everything once more and says what that changed: nothing, at a fixpoint.
    ///
    /// # Errors
    /// When the world cannot be asked or never settles.
    pub async fn second_run(&mut self) -> Result<Vec<String>> {
        self.world.settle().await?;
        let before = Snapshot::take(&self.world).await?;
        let remote = self.remote_snapshots().await?;
        let entries = self.world.ledger.size();
        for place in before.places().filter(|place| matches!(place.kind, SOURCE | DELIVERY)) {
            self.requests += 1;
            let request = json!({REQUESTED: format!("second-run-{}", self.requests)});
            let patch = json!({"metadata": {"annotations": request}});
            self.world.edit(&place.path(), &patch).await?;
        }
        self.world.settle().await?;
        let after = Snapshot::take(&self.world).await?;
        let mut changes = after.changes_since(&before);
        for (name, after) in self.remote_snapshots().await? {
            let before = remote.get(&name).cloned().unwrap_or_default();
            let there = after.changes_since(&before);
            changes.extend(there.into_iter().map(|line| format!("at {name}: {line}")));
        }
        for entry in self.world.ledger.entries(entries..u64::MAX)? {
            changes.push(crate::show::entry(&entry.entry));
        }
        Ok(changes.iter().map(|line| words::masked(&self.world.git.plain(line))).collect())
    }

    /// What the other clusters hold.
    async fn remote_snapshots(&mut self) -> Result<BTreeMap<String, Snapshot>> {
        let mut all = BTreeMap::new();
        for name in self.world.remotes.names() {
            self.world.focus = Some(name.clone());
            let taken = Snapshot::take(&self.world).await;
            self.world.focus = None;
            all.insert(name, taken?);
        }
        Ok(all)
    }
}

/// Commands that have nothing to say.
fn quiet<T>(done: Result<T>) -> Result<String> {
    done.map(|_| String::new())
}

/// The object of a word, without the values that it may have.
fn place_of(word: &str) -> &str {
    word.split_once(',').map_or(word, |(place, _)| place)
}

fn pairs<'a>(words: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>> {
    let pair =
        |word: &&'a str| word.split_once('=').with_context(|| format!("{word} is not key=value"));
    words.iter().map(pair).collect()
}

fn finalizers(names: &[&str]) -> Value {
    json!({"metadata": {"finalizers": names}})
}
