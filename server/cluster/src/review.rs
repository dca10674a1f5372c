//! Who calls the engine's own API, and whether they may: the cluster says both.
//!
//! In: a token and a path. Out: yes, or why not. Asked is a TokenReview, then a
//! SubjectAccessReview for the path as a non-resource URL. A yes is remembered for a short while; a
//! no, or no answer, never is. A token is kept as a digest only.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fixpoint_base::Digest;
use http::{Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::names::AUDIENCE;

/// How long a yes counts: a token or a right that is taken away is of use for no longer.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Yeses that are remembered.
const MAX_REMEMBERED: usize = 1024;
/// Questions at once, so that strangers cannot make us flood the API server.
const MAX_ASKING: usize = 16;
/// The longest token that is asked about; those of ServiceAccounts are about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;
/// The longest path that is asked about.
const MAX_PATH: usize = 4 * 1024;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nobody knows who that is.
    Unknown,
    /// They may not read this.
    Forbidden {
        /// Who.
        user: String,
    },
    /// The cluster did not say.
    Unsure(String),
}

impl Denied {
    /// The refusal in the shape that Kubernetes clients understand.
    pub fn response(&self, path: &str) -> Response<Bytes> {
        let (code, reason, message) = match self {
            Self::Unknown => {
                let message = "the cluster does not know these credentials".to_owned();
                (StatusCode::UNAUTHORIZED, "Unauthorized", message)
            }
            Self::Forbidden { user } => {
                let message = format!("user {user:?} may not get {path}");
                (StatusCode::FORBIDDEN, "Forbidden", message)
            }
            Self::Unsure(why) => {
                let message = format!("the API server could not be asked who you are: {why}");
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            }
        };
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code.as_u16(),
        });
        let mut response = Response::new(Bytes::from(status.to_string()));
        *response.status_mut() = code;
        let kind = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

/// The token that a request carries.
pub fn bearer<T>(request: &Request<T>) -> Option<&str> {
    let value = request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whom the cluster takes the caller for.
#[derive(Debug, Clone, PartialEq)]
struct Caller {
    name: String,
    /// `status.user` of the review, as the access review wants it.
    user: Value,
}

/// Asks, and remembers what was granted.
pub struct Reviewer {
    client: Client,
    callers: Remembered<Digest, Caller>,
    granted: Remembered<(Digest, String), ()>,
    asking: Semaphore,
}

impl Reviewer {
    /// Asks through this client, whose identity must be allowed to.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            callers: Remembered::default(),
            granted: Remembered::default(),
            asking: Semaphore::new(MAX_ASKING),
        }
    }

    /// Whether who carries this token may read this path.
    ///
    /// # Errors
    /// When they may not, or the cluster does not say.
    pub async fn may_read(&self, token: &str, path: &str) -> Result<(), Denied> {
        if token.is_empty() || token.len() > MAX_TOKEN || path.len() > MAX_PATH {
            return Err(Denied::Unknown);
        }
        let digest = Digest::of(token.as_bytes());
        let key = (digest, path.to_owned());
        if self.granted.get(&key).is_some() {
            return Ok(());
        }
        let slot = self.asking.acquire().await;
        let _slot = slot.map_err(|err| Denied::Unsure(err.to_string()))?;
        let caller = match self.callers.get(&digest) {
            Some(caller) => caller,
            None => {
                let caller = self.identify(token).await?;
                self.callers.put(digest, caller.clone());
                caller
            }
        };
        if !self.is_granted(&caller, path).await? {
            return Err(Denied::Forbidden { user: caller.name });
        }
        self.granted.put(key, ());
        Ok(())
    }

    /// A token for us, or one that the API server itself takes.
    async fn identify(&self, token: &str) -> Result<Caller, Denied> {
        if let Some(caller) = self.review(token, &[AUDIENCE]).await? {
            return Ok(caller);
        }
        self.review(token, &[]).await?.ok_or(Denied::Unknown)
    }

    async fn review(&self, token: &str, audiences: &[&str]) -> Result<Option<Caller>, Denied> {
        let mut spec = json!({"token": token});
        if !audiences.is_empty() {
            spec["audiences"] = json!(audiences);
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": spec,
        });
        let status = self.ask("/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
        if status["authenticated"] != true {
            return Ok(None);
        }
        // An authenticator that knows no audiences does not check them: then none is named.
        let of_ours = |at: &Value| at.as_str().is_some_and(|at| audiences.contains(&at));
        let named = status["audiences"].as_array();
        if !audiences.is_empty() && !named.is_some_and(|named| named.iter().any(of_ours)) {
            return Ok(None);
        }
        let user = &status["user"];
        let name = user["username"].as_str().filter(|name| !name.is_empty());
        Ok(name.map(|name| Caller { name: name.to_owned(), user: user.clone() }))
    }

    async fn is_granted(&self, caller: &Caller, path: &str) -> Result<bool, Denied> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": caller.name,
                "uid": caller.user["uid"],
                "groups": caller.user["groups"],
                "extra": caller.user["extra"],
                "nonResourceAttributes": {"path": path, "verb": "get"},
            },
        });
        let at = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let status = self.ask(at, &review).await?;
        Ok(status["allowed"] == true && status["denied"] != true)
    }

    /// Posts a review; gives its status. What is said about an error never holds the token.
    async fn ask(&self, path: &str, review: &Value) -> Result<Value, Denied> {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .map_err(|err| Denied::Unsure(err.to_string()))?;
        let mut answer: Value = self.client.request(request).await.map_err(|err| match err {
            kube::Error::Api(status) => Denied::Unsure(format!("it answered {}", status.code)),
            _ => Denied::Unsure("it did not answer".to_owned()),
        })?;
        Ok(answer["status"].take())
    }
}

/// What was found lately.
struct Remembered<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = kept.get(key)?;
        (Instant::now() < *until).then(|| value.clone())
    }

    fn put(&self, key: K, value: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_REMEMBERED {
            let now = Instant::now();
            kept.retain(|_, (_, until)| now < *until);
            if kept.len() >= MAX_REMEMBERED {
                kept.clear();
            }
        }
        kept.insert(key, (value, Instant::now() + REMEMBERED));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::client::Body;
    use tower::service_fn;

    use super::*;

    /// A cluster that knows one token, of one audience, and grants one path.
    struct Cluster {
        audience: Option<&'static str>,
        up: bool,
        asked: Vec<String>,
    }

    impl Cluster {
        fn answer(&mut self, path: &str, review: &Value) -> (u16, Value) {
            let kind = path.rsplit('/').next().unwrap_or_default();
            self.asked.push(kind.to_owned());
            if !self.up {
                return (500, json!({"kind": "Status", "message": "token secret", "code": 500}));
            }
            let spec = &review["spec"];
            let status = match kind {
                "tokenreviews" => {
                    let wanted = spec["audiences"][0].as_str();
                    let good = spec["token"] == "good" && wanted == self.audience;
                    let user = json!({"username": "alice", "groups": ["g"], "uid": "1"});
                    json!({"authenticated": good, "user": user,
                           "audiences": self.audience.map(|one| vec![one])})
                }
                _ => {
                    let granted = spec["user"] == "alice"
                        && spec["groups"] == json!(["g"])
                        && spec["nonResourceAttributes"]["path"] == "/fixpoint/v1/a";
                    json!({"allowed": granted})
                }
            };
            (201, json!({"status": status}))
        }
    }

    fn reviewer(audience: Option<&'static str>) -> (Reviewer, Arc<Mutex<Cluster>>) {
        let cluster = Arc::new(Mutex::new(Cluster { audience, up: true, asked: Vec::new() }));
        let answering = cluster.clone();
        let service = service_fn(move |request: Request<Body>| {
            let answering = answering.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect_bytes().await.unwrap();
                let review = serde_json::from_slice(&body).unwrap();
                let (code, answer) = answering.lock().unwrap().answer(&path, &review);
                let response = Response::builder().status(code);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
            }
        });
        (Reviewer::new(Client::new(service, "default")), cluster)
    }

    const PATH: &str = "/fixpoint/v1/a";

    #[tokio::test(start_paused = true)]
    async fn a_yes_counts_for_a_while_and_a_no_never() {
        let (reviewer, cluster) = reviewer(Some(AUDIENCE));
        assert_eq!(reviewer.may_read("good", PATH).await, Ok(()));
        assert_eq!(reviewer.may_read("good", PATH).await, Ok(()));
        assert_eq!(cluster.lock().unwrap().asked, ["tokenreviews", "subjectaccessreviews"]);

        let forbidden = Err(Denied::Forbidden { user: "alice".to_owned() });
        assert_eq!(reviewer.may_read("good", "/fixpoint/v1/b").await, forbidden);
        assert_eq!(reviewer.may_read("good", "/fixpoint/v1/b").await, forbidden);
        assert_eq!(cluster.lock().unwrap().asked.len(), 4);

        tokio::time::sleep(REMEMBERED).await;
        cluster.lock().unwrap().up = false;
        let unsure = Err(Denied::Unsure("it answered 500".to_owned()));
        assert_eq!(reviewer.may_read("good", PATH).await, unsure);
        cluster.lock().unwrap().up = true;
        assert_eq!(reviewer.may_read("good", PATH).await, Ok(()));
    }

    #[tokio::test]
    async fn strangers_are_told_nothing() {
        let (reviewer, cluster) = reviewer(Some(AUDIENCE));
        for token in ["bad", "", &"x".repeat(MAX_TOKEN + 1)] {
            assert_eq!(reviewer.may_read(token, PATH).await, Err(Denied::Unknown));
        }
        // Only the first was asked about, once for each audience.
        assert_eq!(cluster.lock().unwrap().asked, ["tokenreviews", "tokenreviews"]);
    }

    #[tokio::test]
    async fn tokens_for_the_api_server_do_and_tokens_for_others_do_not() {
        let (reviewer, _) = super::tests::reviewer(None);
        assert_eq!(reviewer.may_read("good", PATH).await, Ok(()));
        let (reviewer, _) = super::tests::reviewer(Some("vault"));
        assert_eq!(reviewer.may_read("good", PATH).await, Err(Denied::Unknown));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let remembered = Remembered::default();
        for at in 0..3 * MAX_REMEMBERED {
            remembered.put(at, ());
        }
        assert!(remembered.0.lock().unwrap().len() <= MAX_REMEMBERED);
        assert_eq!(remembered.get(&(3 * MAX_REMEMBERED - 1)), Some(()));
    }
}
