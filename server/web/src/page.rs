//! Which pages there are, and how each is read and rendered.
//!
//! In: an address, the engine. Out: the content of a page, which is the same whether it is asked
//! for or sent to an open page.

use std::sync::Arc;

use axum::extract::Query;
use futures::future::join3;
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{Engine, Kind, Unread};
use crate::view::{Content, delivery, ledger, overview, plan, shell, source};

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Everything.
    Overview(Args),
    /// One source.
    Source(Name),
    /// One delivery.
    Delivery(Name, Args),
    /// What the next apply of a delivery would do.
    Plan(Name),
    /// The newest entries of the ledger.
    Ledger(Args),
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What may stand after the question mark.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Args {
    /// Where a long list begins.
    #[serde(default)]
    pub from: usize,
    /// Where the second long list begins.
    #[serde(default)]
    pub sources: usize,
    /// What names must have in them.
    #[serde(default)]
    pub q: String,
    /// Whose history.
    #[serde(default)]
    pub subject: String,
}

/// Longest search, as long as names may be.
const LONGEST_SEARCH: usize = 253;
/// Entries of the ledger on a page of one object.
const ENTRIES: usize = 50;
/// Entries of the ledger on its own page.
const LEDGER_ENTRIES: usize = 100;
/// Objects of an inventory on one page.
pub const INVENTORY: usize = 100;

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such thing.
    NotFound(String),
    /// The engine could not say.
    Failed(String),
}

impl Trouble {
    /// The trouble as a page.
    pub fn content(&self) -> (StatusCode, Content) {
        match self {
            Self::NotFound(what) => (StatusCode::NOT_FOUND, shell::trouble("Not found", what)),
            Self::Failed(what) => {
                (StatusCode::BAD_GATEWAY, shell::trouble("The engine did not answer", what))
            }
        }
    }
}

impl From<askama::Error> for Trouble {
    fn from(err: askama::Error) -> Self {
        Self::Failed(err.to_string())
    }
}

impl Page {
    /// The page at an address; `None` where there is none.
    pub fn of(uri: &Uri) -> Option<Self> {
        let Query(args) = Query::<Args>::try_from_uri(uri).ok()?;
        if args.q.len() > LONGEST_SEARCH || !is_subject(&args.subject) {
            return None;
        }
        let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
        match parts.as_slice() {
            [""] => Some(Self::Overview(args)),
            ["ledger"] => Some(Self::Ledger(args)),
            ["sources", namespace, name] => Some(Self::Source(Name::of(namespace, name)?)),
            ["deliveries", namespace, name] => {
                Some(Self::Delivery(Name::of(namespace, name)?, args))
            }
            ["deliveries", namespace, name, "plan"] => Some(Self::Plan(Name::of(namespace, name)?)),
            _ => None,
        }
    }

    /// Whether an open page is kept up to date. A plan asks the target about every object, so it
    /// is made when somebody asks for it.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Plan(_))
    }

    /// The objects that the page is about; `None` where any change may show. A delivery's page asks
    /// its target how objects do, so what happens to others must not make it ask.
    pub fn about(&self, engine: &Arc<dyn Engine>) -> Option<Vec<Arc<Value>>> {
        let Self::Delivery(Name { namespace, name }, _) = self else { return None };
        let object = engine.one(Kind::Delivery, namespace, name);
        let source = object.as_deref().and_then(delivery::source_of);
        let source =
            source.and_then(|Name { namespace, name }| engine.one(Kind::Source, &namespace, &name));
        Some(object.into_iter().chain(source).collect())
    }

    /// Reads what the page shows, and renders it.
    ///
    /// # Errors
    /// When there is no such object, or the engine cannot say.
    pub async fn render(&self, engine: &Arc<dyn Engine>) -> Result<Content, Trouble> {
        match self {
            Self::Overview(args) => {
                let (engine, args) = (engine.clone(), args.clone());
                // Many objects are sorted here.
                let rendered = tokio::task::spawn_blocking(move || {
                    let (deliveries, sources) =
                        (engine.all(Kind::Delivery), engine.all(Kind::Source));
                    overview::render(&deliveries, &sources, &args)
                });
                rendered.await.map_err(|err| Trouble::Failed(err.to_string()))?.map_err(Into::into)
            }
            Self::Source(name) => {
                let object = one(engine, Kind::Source, name)?;
                let entries = entries(engine, Kind::Source, name).await;
                let why = why(engine, Kind::Source, name).await;
                let users: Vec<Arc<Value>> = engine
                    .all(Kind::Delivery)
                    .into_iter()
                    .filter(|delivery| delivery::source_of(delivery).as_ref() == Some(name))
                    .collect();
                Ok(source::render(name, &object, &entries, &why, &users)?)
            }
            Self::Delivery(name, args) => {
                let object = one(engine, Kind::Delivery, name)?;
                let source_name = delivery::source_of(&object);
                let source = source_name
                    .as_ref()
                    .and_then(|source| engine.one(Kind::Source, &source.namespace, &source.name));
                let query = format!("from={}&count={INVENTORY}", args.from);
                let path = path("health", Kind::Delivery, name);
                let (why, own, health) = join3(
                    why(engine, Kind::Delivery, name),
                    entries(engine, Kind::Delivery, name),
                    engine.read(path, query),
                )
                .await;
                let of_source = match &source_name {
                    Some(source) => entries(engine, Kind::Source, source).await,
                    None => Vec::new(),
                };
                let seen = delivery::Seen {
                    name,
                    object: &object,
                    source: source.as_deref(),
                    why: &why,
                    entries: &own,
                    source_entries: &of_source,
                    health: health.as_ref(),
                };
                Ok(delivery::render(&seen)?)
            }
            Self::Plan(name) => {
                one(engine, Kind::Delivery, name)?;
                let found = engine.read(path("plan", Kind::Delivery, name), String::new()).await;
                Ok(plan::render(name, &found)?)
            }
            Self::Ledger(args) => {
                let mut query = format!("tail={LEDGER_ENTRIES}");
                if !args.subject.is_empty() {
                    query.push_str(&format!("&subject={}", args.subject.replace('/', "%2F")));
                }
                let found = engine.read("/fixpoint/v1/ledger/entries".to_owned(), query).await;
                Ok(ledger::render(&args.subject, &list(found?))?)
            }
        }
    }
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Missing => Self::NotFound("It is not there any more.".to_owned()),
            Unread::Refused(why) => Self::Failed(why),
        }
    }
}

impl Name {
    /// Names an object; `None` where no object can be called that.
    pub fn of(namespace: &str, name: &str) -> Option<Self> {
        let fine = |text: &str| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            !text.is_empty() && text.len() <= 253 && text.chars().all(known)
        };
        (fine(namespace) && fine(name))
            .then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The address of its page.
    pub fn href(&self, kind: Kind) -> String {
        format!("/{}/{}/{}", kind.place(), self.namespace, self.name)
    }
}

fn one(engine: &Arc<dyn Engine>, kind: Kind, name: &Name) -> Result<Arc<Value>, Trouble> {
    let Name { namespace, name } = name;
    engine.one(kind, namespace, name).ok_or_else(|| {
        Trouble::NotFound(format!("{} {namespace}/{name} does not exist", kind.name()))
    })
}

fn path(verb: &str, kind: Kind, name: &Name) -> String {
    format!("/fixpoint/v1/{verb}/{}/{}/{}", kind.plural(), name.namespace, name.name)
}

/// Why an object is as it is; null where the engine does not say.
async fn why(engine: &Arc<dyn Engine>, kind: Kind, name: &Name) -> Value {
    engine.read(path("why", kind, name), String::new()).await.unwrap_or_default()
}

/// The newest entries about an object, oldest first; none where the engine does not say.
async fn entries(engine: &Arc<dyn Engine>, kind: Kind, name: &Name) -> Vec<Value> {
    let subject = format!("{}%2F{}%2F{}", kind.name(), name.namespace, name.name);
    let query = format!("tail={ENTRIES}&subject={subject}");
    let found = engine.read("/fixpoint/v1/ledger/entries".to_owned(), query).await;
    list(found.unwrap_or_default())
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}

/// Whether a text may be the subject of an entry, or is empty.
fn is_subject(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "/-.".contains(c);
    text.len() <= 3 * LONGEST_SEARCH && text.chars().all(known)
}
