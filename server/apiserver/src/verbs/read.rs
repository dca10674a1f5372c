//! `GET`: one object, and lists.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use fixpoint_api_machinery::status;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Target;
use super::commit::current;
use super::select::Selection;
use crate::present::{Shown, View};
use crate::server::Server;
use crate::store::{Name, Object, State, state::Page};
use crate::wire::{Answer, Failure, Query, Request, accept};

/// Where a list goes on: at the revision it began with, after the last name it gave.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    ns: String,
    name: String,
}

impl Continue {
    fn encode(&self) -> String {
        BASE64.encode(json!(self).to_string())
    }

    fn decode(text: &str) -> Result<Self, Failure> {
        let decode = || serde_json::from_slice::<Self>(&BASE64.decode(text).ok()?).ok();
        decode().filter(|token| token.v == "fixpoint/v1").ok_or_else(|| {
            status::bad_request("continue key is not valid: it was not made by this server").into()
        })
    }
}

/// What a list is read from.
struct Listing {
    revision: u64,
    objects: Vec<Arc<Object>>,
    next: Option<String>,
    remaining: Option<usize>,
}

impl Server {
    /// Answers a read of one object.
    pub fn get(&self, request: &Request, target: &Target) -> Answer {
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let found = current(&self.store, &target.kind, &target.key());
        let object = found.ok_or_else(|| target.not_found())?;
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        Ok(view.one(StatusCode::OK, &Shown::Stored(object)))
    }

    /// Answers a list.
    pub fn list(&self, request: &Request, target: &Target) -> Answer {
        let accepted = accept::objects(request.header(http::header::ACCEPT))?;
        let selection = Selection::parse(target, &request.query)?;
        let listing = read(&self.store.read(), target, &selection, &request.query)?;
        let mut metadata = json!({"resourceVersion": listing.revision.to_string()});
        if let Some(next) = listing.next {
            metadata["continue"] = next.into();
            if let Some(remaining) = listing.remaining {
                metadata["remainingItemCount"] = remaining.into();
            }
        }
        let view = View::new(&target.kind, accepted, &request.query, self.now());
        Ok(view.list(&listing.objects, &metadata))
    }
}

fn read(
    state: &State,
    target: &Target,
    selection: &Selection,
    query: &Query,
) -> Result<Listing, Failure> {
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None | Some(Ok(0)) => usize::MAX,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return Err(status::bad_request("limit: must be a number").into()),
    };
    let mut page = Page { namespace: target.namespace.clone(), after: None };
    let at = match query.get("continue") {
        Some(token) => {
            if query.get("resourceVersion").is_some_and(|version| version != "0") {
                let message = "specifying resource version is not allowed when using continue";
                return Err(status::bad_request(message).into());
            }
            let token = Continue::decode(token)?;
            page.after = Some(Name::new(token.ns, token.name));
            Some(token.rv)
        }
        None => asked_revision(state, query)?,
    };
    match at.filter(|at| *at != state.revision()) {
        None => {
            let objects = state.range(&target.kind.resource, &page);
            Ok(take(state.revision(), objects, selection, limit))
        }
        Some(at) => {
            let objects =
                state.range_at(&target.kind.resource, &page, at).map_err(|_| too_old(query))?;
            Ok(take(at, objects.iter(), selection, limit))
        }
    }
}

fn too_old(query: &Query) -> Failure {
    status::expired(if query.get("continue").is_some() {
        "The provided continue parameter is too old to display a consistent list result. You \
         must start a new list without the continue parameter."
    } else {
        "The resourceVersion for the provided list is too old."
    })
    .into()
}

/// The exact revision that a list asks for; `None` when the present one will do.
fn asked_revision(state: &State, query: &Query) -> Result<Option<u64>, Failure> {
    let how = query.get("resourceVersionMatch");
    let Some(version) = query.get("resourceVersion") else {
        if how.is_some() {
            let message = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(status::bad_request(message).into());
        }
        return Ok(None);
    };
    let version = parse_revision(version)?;
    if version > state.revision() {
        return Err(too_new(version, state.revision()));
    }
    match how {
        None | Some("NotOlderThan") => Ok(None),
        Some("Exact") if version == 0 => {
            let message = "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"";
            Err(status::bad_request(message).into())
        }
        Some("Exact") => Ok(Some(version)),
        Some(other) => Err(status::bad_request(format!(
            "resourceVersionMatch: Unsupported value: \"{other}\": supported values: \"Exact\", \
             \"NotOlderThan\""
        ))
        .into()),
    }
}

/// Reads a resourceVersion.
///
/// # Errors
/// 400 when it is not a number.
pub fn parse_revision(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        status::bad_request(format!("resourceVersion: Invalid value: \"{text}\": must be a number"))
            .into()
    })
}

/// 504 for a revision that this server has not reached.
pub fn too_new(asked: u64, present: u64) -> Failure {
    let message = format!("Too large resource version: {asked}, current: {present}");
    let mut status: Value = status::timeout(message, 1);
    status["details"]["causes"] =
        json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
    status.into()
}

fn take<'a>(
    revision: u64,
    objects: impl Iterator<Item = &'a Arc<Object>>,
    selection: &Selection,
    limit: usize,
) -> Listing {
    let mut objects = objects.filter(|object| selection.matches(object));
    let page: Vec<Arc<Object>> = objects.by_ref().take(limit).cloned().collect();
    let more = objects.next().is_some();
    let next = page.last().filter(|_| more).map(|last| {
        let Name { namespace, name } = last.name.clone();
        Continue { v: "fixpoint/v1".to_owned(), rv: revision, ns: namespace, name }.encode()
    });
    // Counting what a selector leaves over would read everything, so kube-apiserver does not.
    let remaining = (more && selection.is_all()).then(|| objects.count() + 1);
    Listing { revision, objects: page, next, remaining }
}
