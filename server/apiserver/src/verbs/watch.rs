//! Watches: every change after a revision, in order, without gaps.
//!
//! A watch is pulled: it holds no more than a revision, and reads the changes after it when the
//! client is ready for them. A client that is too slow finds its revision forgotten and is told
//! so; nothing is buffered for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fixpoint_api_machinery::{FieldError, status};
use futures::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Target;
use super::read::{parse_revision, too_new};
use super::select::Selection;
use crate::body::Body;
use crate::convert;
use crate::options::Clock;
use crate::present::{Shown, View};
use crate::server::Server;
use crate::store::{Event, EventKind, Object, Resource, Store, state::Page};
use crate::wire::{Answer, Failure, Request, Shape, accept};

/// As often as kube-apiserver sends them.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// kube-apiserver ends watches after a random time between this and twice this.
const MIN_SECONDS: u64 = 1800;
/// Changes read under one lock.
const STEP: usize = 256;
/// Bytes sent in one piece: enough to make the cost of a piece small, little enough to hold.
const PIECE: usize = 64 * 1024;

struct Watch {
    store: Store,
    resource: Resource,
    selection: Selection,
    view: View,
    /// Ages in tables are told as of each event, not as of the beginning of the watch.
    clock: Clock,
    /// Everything up to here was sent.
    seen: u64,
    changed: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    initial: VecDeque<Arc<Object>>,
    initial_end: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    until: Instant,
    headed: bool,
    ended: bool,
    /// Counts this watch for as long as it lives.
    _counted: crate::metrics::Watching,
}

impl Server {
    /// Answers a watch.
    pub fn watch(&self, request: &Request, target: &Target) -> Answer {
        let accepted = accept::objects(request.header(header::ACCEPT))?;
        let query = &request.query;
        let selection = Selection::parse(target, query)?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let initial_events = initial_events(request)?;
        let timeout = match query.get("timeoutSeconds").map(str::parse::<u64>) {
            Some(Ok(seconds)) if seconds > 0 => seconds,
            None | Some(Ok(_)) => MIN_SECONDS + rand::random_range(0..MIN_SECONDS),
            Some(Err(_)) => {
                return Err(status::bad_request("timeoutSeconds: must be a number").into());
            }
        };
        // Subscribed before the state is read, so that no change falls between.
        let changed = self.store.subscribe(&target.kind.resource);
        let asked = parse_revision(query.get("resourceVersion").unwrap_or("0"))?;
        let view = View::new(&target.kind, accepted, query, self.now());
        let now = Instant::now();
        let mut watch = Watch {
            store: self.store.clone(),
            resource: target.kind.resource.clone(),
            selection,
            view,
            clock: self.options.clock.clone(),
            seen: asked,
            changed,
            closing: self.closing(),
            initial: VecDeque::new(),
            initial_end: false,
            bookmarks,
            next_bookmark: now + BOOKMARKS,
            until: now + Duration::from_secs(timeout),
            headed: false,
            ended: false,
            _counted: self.metrics.watching(&target.kind.plural),
        };
        let present = self.store.read().revision();
        if asked > present {
            return Err(too_new(asked, present));
        }
        if initial_events || (asked == 0 && initial_events_default(request)) {
            watch.begin_with_everything();
            watch.initial_end = initial_events && bookmarks;
        } else if asked == 0 {
            watch.seen = present;
        }
        let mut response = Response::new(Body::stream(watch.into_stream()));
        *response.status_mut() = StatusCode::OK;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        Ok(response)
    }
}

/// Whether the watch asks for everything that exists, to be followed by a bookmark.
fn initial_events(request: &Request) -> Result<bool, Failure> {
    let query = &request.query;
    let asked = query.get("sendInitialEvents").is_some();
    let how = query.get("resourceVersionMatch");
    let forbidden = |path: &str, why: &str| -> Failure {
        let error = FieldError::forbidden(path, why);
        status::invalid("meta.k8s.io", "ListOptions", "", &[error]).into()
    };
    match (asked, how) {
        (false, None) => Ok(false),
        (false, Some(_)) => Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        (true, Some("NotOlderThan")) => Ok(query.flag("sendInitialEvents")),
        (true, _) => Err(forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
    }
}

/// A watch from nowhere begins with what exists, unless it says that it does not want to.
fn initial_events_default(request: &Request) -> bool {
    request.query.get("sendInitialEvents").is_none()
}

impl Watch {
    fn begin_with_everything(&mut self) {
        let page = Page { namespace: self.selection.namespace().map(str::to_owned), after: None };
        let state = self.store.read();
        self.seen = state.revision();
        self.initial = state
            .range(&self.resource, &page)
            .filter(|object| self.selection.matches(object))
            .cloned()
            .collect();
    }

    fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        futures::stream::unfold(self, |mut watch| async move {
            let piece = watch.next().await?;
            Some((piece, watch))
        })
    }

    /// The next piece of the answer; `None` ends it.
    ///
    /// Cancel-safe: state moves on only in the synchronous parts.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            self.view.now = (self.clock)();
            if let Some(piece) = self.next_initial() {
                return Some(piece);
            }
            match self.next_changes() {
                Ok(Some(piece)) => return Some(piece),
                Ok(None) => {}
                Err(piece) => {
                    self.ended = true;
                    return Some(piece);
                }
            }
            let bookmark = if self.bookmarks { self.next_bookmark } else { self.until };
            // Each arm only waits; a wake-up that is dropped is seen again by reading the state.
            tokio::select! {
                changed = self.changed.changed() => {
                    if changed.is_err() { return None; }
                }
                () = sleep_until(bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARKS;
                    return Some(self.view.bookmark(self.seen, false));
                }
                () = sleep_until(self.until) => return None,
                _ = self.closing.wait_for(|closing| *closing) => return None,
            }
        }
    }

    fn next_initial(&mut self) -> Option<Bytes> {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE {
            let Some(object) = self.initial.pop_front() else { break };
            let line = self.line(EventKind::Added, &object);
            if piece.is_empty() && line.len() >= PIECE {
                return Some(line);
            }
            piece.extend_from_slice(&line);
        }
        if self.initial.is_empty() && std::mem::take(&mut self.initial_end) {
            piece.extend_from_slice(&self.view.bookmark(self.seen, true));
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }

    /// The lines of what changed since; an error is the last line.
    fn next_changes(&mut self) -> Result<Option<Bytes>, Bytes> {
        loop {
            let (events, present) = {
                let state = self.store.read();
                let events = state.events_after(&self.resource, self.seen, STEP);
                let events = events.map_err(|forgotten| gone(self.seen, forgotten.oldest))?;
                (events, state.revision())
            };
            if events.is_empty() {
                self.seen = self.seen.max(present);
                return Ok(None);
            }
            let mut lines = Vec::new();
            let mut bytes = 0;
            for event in &events {
                self.seen = event.object.revision;
                if let Some(line) = self.announce(event) {
                    bytes += line.len();
                    lines.push(line);
                }
                if bytes >= PIECE {
                    break;
                }
            }
            match lines.len() {
                0 => {}
                1 => return Ok(lines.pop()),
                _ => return Ok(Some(lines.concat().into())),
            }
        }
    }

    /// What a change is to this selection: an object may enter it, move within it, or leave it.
    fn announce(&mut self, event: &Event) -> Option<Bytes> {
        let before = event.before.as_ref().is_some_and(|before| self.selection.matches(before));
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.object);
        let (kind, object) = match (before, after) {
            (false, false) => return None,
            (false, true) => (EventKind::Added, Arc::clone(&event.object)),
            (true, true) => (EventKind::Modified, Arc::clone(&event.object)),
            (true, false) if event.kind == EventKind::Deleted => {
                (EventKind::Deleted, Arc::clone(&event.object))
            }
            (true, false) => (EventKind::Deleted, left(event)),
        };
        Some(self.line(kind, &object))
    }

    fn line(&mut self, kind: EventKind, object: &Arc<Object>) -> Bytes {
        if self.view.accepted.shape == Shape::Full
            && convert::is_as_stored(&self.view.kind, object)
            && let Some(line) = object.line(kind)
        {
            return line;
        }
        let mut json = self.view.object(&Shown::Stored(Arc::clone(object)));
        if self.view.accepted.shape == Shape::Table && std::mem::replace(&mut self.headed, true) {
            json = without_heading(&json);
        }
        [kind.head(), &json[..], b"}\n"].concat().into()
    }
}

/// The last state before an object left the selection, at the revision at which it left.
fn left(event: &Event) -> Arc<Object> {
    let Some(before) = &event.before else { return Arc::clone(&event.object) };
    let mut value = before.value();
    value["metadata"]["resourceVersion"] = event.object.revision.to_string().into();
    let json = value.to_string();
    let meta = crate::store::object::Meta::parse(json.as_bytes()).unwrap_or_default();
    let name = before.name.clone();
    let revision = event.object.revision;
    Arc::new(Object::new(EventKind::Deleted, revision, name, meta, json.as_bytes()))
}

/// Only the first table of a watch has a heading.
fn without_heading(table: &[u8]) -> Bytes {
    let mut table: serde_json::Value = serde_json::from_slice(table).unwrap_or_default();
    table["columnDefinitions"] = json!([]);
    table.to_string().into()
}

fn gone(asked: u64, oldest: u64) -> Bytes {
    format!("{}\n", json!({"type": "ERROR", "object": status::too_old(asked, oldest)})).into()
}
