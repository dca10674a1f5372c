//! The audit log of an API server.
//!
//! In: lines of `audit.k8s.io/v1` events. Out: the mutations that one user asked for, in order. A
//! line that is no event is an error: a log with a hole proves nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::object::Requested;

/// The longest line that is read. Bodies are at most 3 MiB each way, and escaped at worst six-fold.
const LINE_BYTES: u64 = 48 << 20;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A new object.
    Create,
    /// A whole object over another.
    Update,
    /// Some fields, or server-side apply.
    Patch,
    /// One object goes.
    Delete,
    /// Many objects go.
    DeleteCollection,
}

impl Verb {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "create" => Self::Create,
            "update" => Self::Update,
            "patch" => Self::Patch,
            "delete" => Self::Delete,
            "deletecollection" => Self::DeleteCollection,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "delete all of",
        })
    }
}

/// A request that may have changed something.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// Line of the log, from one.
    pub line: usize,
    /// What was asked for.
    pub verb: Verb,
    /// Of which object.
    pub object: Requested,
    /// What came after the question mark.
    pub query: String,
    /// When the server received it.
    pub received: Timestamp,
    /// How it was answered; `None` where nobody knows.
    pub code: Option<u16>,
    /// What was sent, where the log has it.
    pub body: Option<Value>,
}

impl Mutation {
    /// Whether the query sets a parameter to a value.
    pub fn asks(&self, parameter: &str) -> bool {
        self.query.split('&').any(|pair| pair == parameter)
    }

    /// Whether the server said that it did it.
    pub fn granted(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

/// The mutations of one user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// Events of everybody.
    pub events: usize,
    /// In the order in which they were received.
    pub mutations: Vec<Mutation>,
}

impl Log {
    /// Reads the mutations that `user` asked for.
    ///
    /// # Errors
    /// When the log cannot be read, or a line of it is no event.
    pub fn read(mut log: impl BufRead, user: &str) -> Result<Self> {
        let mut events = 0;
        let mut found: BTreeMap<String, Mutation> = BTreeMap::new();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = io::Read::take(&mut log, LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            ensure!(line.ends_with(b"\n"), "line {number} is not whole");
            events += 1;
            let event: Value = serde_json::from_slice(&line)
                .with_context(|| format!("line {number} is not JSON"))?;
            if event["kind"] != "Event" {
                bail!("line {number} is no event of an audit log");
            }
            if event["user"]["username"] != user {
                continue;
            }
            let mutation = mutation(number, &event)
                .with_context(|| format!("line {number} lacks what every event has"))?;
            if let Some(mutation) = mutation {
                merge(&mut found, event["auditID"].as_str().unwrap_or_default(), mutation);
            }
        }
        let mut mutations: Vec<Mutation> = found.into_values().collect();
        mutations.sort_by_key(|mutation| (mutation.received, mutation.line));
        Ok(Self { events, mutations })
    }
}

/// A request has a line for each of its stages, or only for the last; a server that ends between
/// two leaves the first.
fn merge(found: &mut BTreeMap<String, Mutation>, id: &str, mutation: Mutation) {
    let id = if id.is_empty() { format!("line {}", mutation.line) } else { id.to_owned() };
    match found.get_mut(&id) {
        Some(known) => {
            known.code = mutation.code.or(known.code);
            known.body = mutation.body.or_else(|| known.body.take());
        }
        None => drop(found.insert(id, mutation)),
    }
}

/// `None` where the event is of no mutation.
fn mutation(line: usize, event: &Value) -> Result<Option<Mutation>> {
    let Some(verb) = event["verb"].as_str().and_then(Verb::read) else { return Ok(None) };
    let about = &event["objectRef"];
    if !about.is_object() {
        // A path that is no resource's, such as a sign-in; it has no object to change.
        return Ok(None);
    }
    let text = |field: &str| about[field].as_str().unwrap_or_default().to_owned();
    let uri = event["requestURI"].as_str().context("requestURI is missing")?;
    let received = event["requestReceivedTimestamp"].as_str().context("no time")?;
    Ok(Some(Mutation {
        line,
        verb,
        object: Requested {
            group: text("apiGroup"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        },
        query: uri.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default(),
        received: received.parse().context("the time is none")?,
        code: event["responseStatus"]["code"].as_u64().and_then(|code| u16::try_from(code).ok()),
        body: event.get("requestObject").filter(|body| body.is_object()).cloned(),
    }))
}
