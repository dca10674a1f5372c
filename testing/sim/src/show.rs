//! What a script sees: statuses, objects, plans, entries and events, as text.
//!
//! In: the world as it is. Out: lines without times, uids or anything else that a second telling
//! would have differently.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use fixpoint_ledger::entry::{Body, Entry};
use fixpoint_source::verdict::Position;
use serde_json::Value;

use crate::kinds::{EVENT, Place};
use crate::player::Player;
use crate::snapshot::Snapshot;

impl Player {
    /// A line for each source and delivery: how it is, and what it says.
    pub(crate) async fn status(&self) -> Result<String> {
        let all = Snapshot::take(&self.world).await?;
        let ours = |name: &str| name.starts_with("source/") || name.starts_with("delivery/");
        let found: Vec<(&str, &Value)> = all.objects().filter(|(name, _)| ours(name)).collect();
        let width = found.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text = String::new();
        // Sources first: the belt runs that way.
        for kind in ["source/", "delivery/"] {
            for (name, object) in found.iter().filter(|(name, _)| name.starts_with(kind)) {
                line(&mut text, width, name, object)?;
            }
        }
        Ok(text)
    }

    /// Every condition of one object.
    pub(crate) async fn conditions(&self, place: &Place) -> Result<String> {
        let object = self.world.get(&place.path()).await?;
        let mut text = String::new();
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        for condition in all {
            let field = |field: &str| condition[field].as_str().unwrap_or("?").to_owned();
            let (kind, status, reason) = (field("type"), field("status"), field("reason"));
            writeln!(text, "{kind}={status}  {reason}  {}", indented(&field("message")))?;
        }
        Ok(text)
    }

    /// What was delivered, or made by hand, with its content and whose it is.
    pub(crate) async fn objects(&self) -> Result<String> {
        let all = Snapshot::take(&self.world).await?;
        let mut text = String::new();
        for (name, object) in all.objects().filter(|(name, _)| is_content(name)) {
            write!(text, "{name}")?;
            for field in ["data", "spec"] {
                for (key, value) in object[field].as_object().into_iter().flatten() {
                    // What secrets hold is nobody's business; nor is how a definition is written.
                    match value {
                        _ if name.starts_with("secret/") => write!(text, "  {key}")?,
                        Value::String(value) => write!(text, "  {key}={value}")?,
                        Value::Number(value) => write!(text, "  {key}={value}")?,
                        _ => {}
                    }
                }
            }
            if object["metadata"]["deletionTimestamp"].is_string() {
                text.push_str("  (going)");
            }
            match &object["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] {
                Value::String(owner) => writeln!(text, "  [{owner}]")?,
                _ => text.push('\n'),
            }
        }
        Ok(text)
    }

    /// One value of an object, by JSON pointer.
    pub(crate) async fn show(&self, place: &Place, path: &str) -> Result<String> {
        let object = self.world.get(&place.path()).await?;
        let value = object.pointer(path).with_context(|| format!("{place} has no {path}"))?;
        Ok(format!("{value:#}"))
    }

    /// The next plan of a delivery.
    pub(crate) async fn plan(&self, place: &Place) -> Result<String> {
        let Place { namespace, name, .. } = place;
        let path = format!("/fixpoint/v1/plan/kustomizations/{namespace}/{name}");
        let answer = self.world.ask(&path).await?;
        ensure!(answer["kind"] != "Status", "{}", answer["message"].as_str().unwrap_or("refused"));
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        Ok(format!("{}{}", text("text"), text("summary")))
    }

    /// What an object waits for.
    pub(crate) async fn why(&self, place: &Place) -> Result<String> {
        let Place { kind, namespace, name } = place;
        let path = format!("/fixpoint/v1/why/{}/{namespace}/{name}", kind.plural);
        let answer = self.world.ask(&path).await?;
        ensure!(answer["kind"] != "Status", "{}", answer["message"].as_str().unwrap_or("refused"));
        let mut text = String::new();
        for field in ["reasons", "left"] {
            for reason in answer[field].as_array().into_iter().flatten() {
                writeln!(text, "{}", indented(reason.as_str().unwrap_or("?")))?;
            }
        }
        Ok(text)
    }

    /// Entries that were not shown yet, by subject.
    pub(crate) fn ledger(&mut self) -> Result<String> {
        let lines = self.entries(self.shown_entries)?;
        self.shown_entries = self.world.ledger.size();
        Ok(lines.into_iter().map(|line| line + "\n").collect())
    }

    /// Entries from one on, by subject: in which order different subjects come is a matter of
    /// how quickly threads answer.
    fn entries(&self, from: u64) -> Result<Vec<String>> {
        let mut subjects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for found in self.world.ledger.entries(from..u64::MAX)? {
            // Every log begins with one; it says who signs.
            if !matches!(found.entry.body, Body::Genesis(_)) {
                let lines = subjects.entry(found.entry.subject.clone()).or_default();
                lines.push(entry(&found.entry));
            }
        }
        Ok(subjects.into_values().flatten().collect())
    }

    /// What the engine wrote from the beginning.
    pub(crate) fn trace(&self) -> Result<Vec<String>> {
        let mut trace: Vec<String> = self.world.rules.writes().into_iter().collect();
        for name in self.world.remotes.names() {
            trace.extend(self.world.remotes.rules(&name)?.writes());
        }
        trace.extend(self.entries(0)?);
        Ok(trace)
    }

    /// Whether the ledger is what it was when it was written, and no run was cut off.
    pub(crate) async fn verify(&self) -> Result<String> {
        let report = self.world.ledger.verify().await?;
        let mut lines = report.problems;
        if !report.open.is_empty() {
            lines.push(format!("{} open intents", report.open.len()));
        }
        Ok(if lines.is_empty() { "sound".to_owned() } else { lines.join("\n") })
    }

    /// Events that were not shown yet, by the object that they are about.
    pub(crate) async fn events(&mut self) -> Result<String> {
        let list = self.world.get(&EVENT.all()).await?;
        let mut lines = Vec::new();
        for event in list["items"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&event["metadata"]["name"]);
            if !self.shown_events.insert(name.clone()) {
                continue;
            }
            let about = &event["involvedObject"];
            let about = format!("{}/{}", text(&about["kind"]), text(&about["name"]));
            let message = indented(&text(&event["message"]));
            lines.push((
                about.clone(),
                name,
                format!(
                    "{about}  {}  {}  {message}\n",
                    text(&event["type"]),
                    text(&event["reason"])
                ),
            ));
        }
        // Names of events of one object rise in time.
        lines.sort();
        Ok(lines.into_iter().map(|(_, _, line)| line).collect())
    }

    /// What was written since this was last asked.
    pub(crate) async fn writes(&mut self) -> Result<String> {
        let now = Snapshot::take(&self.world).await?;
        let changes = now.changes_since(&self.last);
        self.last = now;
        Ok(if changes.is_empty() { "nothing".to_owned() } else { changes.join("\n") })
    }
}

fn line(text: &mut String, width: usize, name: &str, object: &Value) -> Result<()> {
    let suspended = if object["spec"]["suspend"] == true { "suspended, " } else { "" };
    let going = if object["metadata"]["deletionTimestamp"].is_string() { "going, " } else { "" };
    let (truth, message) = match condition(object, "Ready") {
        Some(ready) => {
            let reason = ready["reason"].as_str().unwrap_or("?");
            let truth = match ready["status"].as_str() {
                Some("True") => "ready".to_owned(),
                Some("False") => format!("not ready, {reason}"),
                _ => format!("not known, {reason}"),
            };
            (truth, indented(ready["message"].as_str().unwrap_or_default()))
        }
        None => ("no status".to_owned(), String::new()),
    };
    writeln!(text, "{name:width$}  {going}{suspended}{truth}: {message}")?;
    Ok(())
}

/// Further lines stand below the first, further in.
fn indented(message: &str) -> String {
    message.trim_end().replace('\n', "\n    ")
}

/// What deliveries bring, as opposed to what the installation is made of.
fn is_content(name: &str) -> bool {
    const THEIRS: [&str; 3] =
        ["namespace/default", "namespace/kube-system", "namespace/fixpoint-system"];
    let (kind, rest) = name.split_once('/').unwrap_or_default();
    match kind {
        "source" | "delivery" => false,
        "crd" => !rest.ends_with(".toolkit.fluxcd.io"),
        _ => !THEIRS.contains(&name),
    }
}

/// A condition of an object by its type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = object["status"]["conditions"].as_array()?;
    all.iter().find(|condition| condition["type"] == kind)
}

/// An entry of the ledger in one line, without times, indices and digests.
pub fn entry(entry: &Entry) -> String {
    let subject = crate::words::short(&entry.subject);
    let what = match &entry.body {
        Body::Genesis(_) => "genesis".to_owned(),
        Body::Observe(observe) => {
            let admitted = if observe.admitted { "admitted" } else { "not admitted" };
            let at = position(observe.position.as_ref());
            format!("observe {} {}: {at}, {admitted}", observe.name, observe.verdict)
        }
        Body::Violation(violation) => {
            let held = if violation.held { "held" } else { "not held" };
            let (old, new) = (position(violation.old.as_ref()), position(violation.new.as_ref()));
            format!("violation {} {}: {old} → {new}, {held}", violation.name, violation.verdict)
        }
        Body::Ack(ack) => format!("ack by {}: {:?}", entry.actor, ack.reason),
        Body::Approve(approve) => {
            format!("approve {} by {}: {:?}", approve.count, entry.actor, approve.reason)
        }
        Body::Render(render) => format!("render {} objects", render.objects),
        Body::Intent(intent) => {
            format!("intent {} to apply, {} to delete", intent.applies, intent.deletes)
        }
        Body::Outcome(outcome) => {
            let counts = [
                (outcome.created, "created"),
                (outcome.configured, "configured"),
                (outcome.unchanged, "unchanged"),
                (outcome.deleted, "deleted"),
                (outcome.failed, "failed"),
                (outcome.held, "held"),
            ];
            let some: Vec<String> = counts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
            format!(
                "outcome {}",
                if some.is_empty() { "nothing".to_owned() } else { some.join(", ") }
            )
        }
        Body::Prune(prune) => format!("prune {}", prune.count),
        Body::Resolve(resolve) => format!("resolve {} done, {} open", resolve.done, resolve.open),
        Body::Config(config) => format!("config {}", config.setting),
        Body::Meet(meet) => {
            let admitted = if meet.admitted { "on record" } else { "held" };
            format!("meet {}, {admitted}", meet.server)
        }
    };
    format!("{subject}  {what}")
}

fn position(position: Option<&Position>) -> String {
    match position {
        Some(position) if position.name.is_empty() => position.commit.clone(),
        Some(position) => format!("{}@{}", position.name, position.commit),
        None => "nothing".to_owned(),
    }
}
