//! Keeps open pages up to date by server-sent events.
//!
//! In: what changed, a heartbeat, the end of the session or of the engine. Out: the content of
//! the page, rendered anew, where it differs from what was sent last. Changes that come close
//! together are sent once; nothing is queued for a browser that does not read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::app::Web;
use crate::page::Page;
use crate::sessions::Visit;

/// Between two events of one page: more often than this nobody can follow.
const PAUSE: Duration = Duration::from_millis(500);
/// After this long a page is rendered anew even where no object changed: the ledger and what was
/// delivered may have. Also what keeps the connection from looking dead.
const BEAT: Duration = Duration::from_secs(10);

/// Where the live version of a page is.
pub fn at(uri: &Uri) -> String {
    let place = uri.path_and_query().map_or("/", |place| place.as_str());
    let mut at = String::from("/live?at=");
    for byte in place.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => {
                at.push(char::from(byte));
            }
            _ => at.push_str(&format!("%{byte:02X}")),
        }
    }
    at
}

/// Which page is open.
#[derive(Deserialize)]
pub struct Open {
    at: String,
}

/// Streams the content of a page to who is signed in.
pub async fn live(
    State(web): State<Web>,
    headers: HeaderMap,
    Query(open): Query<Open>,
) -> Response {
    let Some(visit) = web.visit(&headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let page = open.at.parse::<Uri>().ok().and_then(|uri| Page::of(&uri));
    let Some(page) = page.filter(Page::is_live) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let all = web.streams().clone().try_acquire_owned().ok();
    let (Some(own), Some(all)) = (visit.stream(), all) else {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    };
    let version = web.engine().version();
    let closing = web.closing();
    let feed = Feed {
        web,
        page,
        visit,
        version,
        closing,
        about: None,
        sent: String::new(),
        next: Instant::now(),
        over: false,
        _slots: (own, all),
    };
    Sse::new(feed.events()).into_response()
}

/// One open page.
struct Feed {
    web: Web,
    page: Page,
    visit: Visit,
    version: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    /// The objects that it was about when it was rendered last.
    about: Option<Vec<Arc<Value>>>,
    /// What the browser has.
    sent: String,
    /// Not before this.
    next: Instant,
    over: bool,
    _slots: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// What a page waits for.
enum Sign {
    /// Something may have changed.
    Look,
    /// The session is over: the browser must not come back.
    SignedOut,
    /// The engine ends: the browser may come back.
    Closing,
}

impl Feed {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut feed| async move {
            let event = feed.next_event().await?;
            Some((Ok(event), feed))
        })
    }

    async fn next_event(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        match self.sign().await {
            Sign::Closing => None,
            Sign::SignedOut => {
                self.over = true;
                Some(Event::default().event("end").data("signed out"))
            }
            Sign::Look => {
                self.next = Instant::now() + PAUSE;
                Some(self.look().await)
            }
        }
    }

    /// Waits until there is something to do, and not less than the pause.
    async fn sign(&mut self) -> Sign {
        let first = self.sent.is_empty();
        let Self { web, page, about, version, next, .. } = self;
        let look = async {
            tokio::time::sleep_until(*next).await;
            if !first {
                let changed = async {
                    while version.changed().await.is_ok() {
                        if is_news(about.as_deref(), page.about(web.engine()).as_deref()) {
                            return;
                        }
                    }
                    // A sender that went away says nothing more; the beat goes on.
                    std::future::pending::<()>().await;
                };
                let _quiet = tokio::time::timeout(BEAT, changed).await;
            }
            version.mark_unchanged();
        };
        // All arms are cancel-safe: what they wait for is still true when it is looked at again.
        tokio::select! {
            biased;
            _ = self.closing.wait_for(|closing| *closing) => Sign::Closing,
            () = self.visit.ended() => Sign::SignedOut,
            () = look => Sign::Look,
        }
    }

    /// Renders the page and says what is new; where nothing is, only that we are here.
    async fn look(&mut self) -> Event {
        // Before it is read, so that a change meanwhile is news.
        self.about = self.page.about(self.web.engine());
        let html = match self.page.render(self.web.engine()).await {
            Ok(content) => content.html,
            Err(trouble) => trouble.content().1.html,
        };
        // Lines of an event end with \n only.
        let html = html.replace('\r', "");
        if html == self.sent {
            return Event::default().comment("here");
        }
        self.sent = html;
        Event::default().event("page").data(&self.sent)
    }
}

/// Whether a page is about other objects than before, or about any.
fn is_news(before: Option<&[Arc<Value>]>, now: Option<&[Arc<Value>]>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return true };
    let same = |(before, now): (&Arc<Value>, &Arc<Value>)| Arc::ptr_eq(before, now);
    before.len() != now.len() || !before.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_carried_whole() {
        let uri: Uri = "/deliveries/shop/web?from=100&q=a%26b".parse().unwrap();
        let at = at(&uri);
        assert_eq!(at, "/live?at=/deliveries/shop/web%3Ffrom%3D100%26q%3Da%2526b");
        let uri: Uri = at.parse().unwrap();
        let Query(open) = Query::<Open>::try_from_uri(&uri).unwrap();
        assert_eq!(open.at, "/deliveries/shop/web?from=100&q=a%26b");
    }
}
