//! Which part of the server answers a request.

use std::time::Instant;

use fixpoint_api_machinery::status;
use http::{Method, Response, StatusCode, header};

use crate::body::Body;
use crate::discovery;
use crate::review;
use crate::server::Server;
use crate::verbs::Target;
use crate::wire::{Answer, Failure, Request, accept, reply};

impl Server {
    /// Answers a request. Nobody in particular may ask for health only.
    pub async fn route(&self, request: &Request, anonymous: bool) -> Response<Body> {
        let began = Instant::now();
        let health = self.health(request);
        let (verb, resource) = self.label(request);
        let answer = match health {
            Some(response) => Ok(response),
            None if anonymous => Err(status::unauthorized().into()),
            None => self.authenticated(request).await,
        };
        let response = answer.unwrap_or_else(Failure::into_response);
        self.metrics.request(verb, &resource, response.status().as_u16(), began.elapsed());
        response
    }

    /// What metrics call a request. Only kinds that exist become labels: names that clients make
    /// up must not grow the table.
    fn label(&self, request: &Request) -> (&'static str, String) {
        let target = Target::find(&self.registry(), &request.segments).ok();
        let named = target.as_ref().is_some_and(|target| target.name.is_some());
        let watch = request.query.flag("watch");
        let verb = match request.method {
            Method::GET if watch => "WATCH",
            Method::GET if named || target.is_none() => "GET",
            Method::GET => "LIST",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE if named => "DELETE",
            Method::DELETE => "DELETECOLLECTION",
            _ => "OTHER",
        };
        (verb, target.map(|target| target.kind.plural.clone()).unwrap_or_default())
    }

    fn health(&self, request: &Request) -> Option<Response<Body>> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return None;
        }
        let verbose = request.query.get("verbose").is_some();
        match request.segments.first().map(String::as_str)? {
            "healthz" | "livez" => Some(reply::text(StatusCode::OK, "ok")),
            "readyz" if self.is_ready() => Some(reply::text(
                StatusCode::OK,
                if verbose { "[+]engine ok\nreadyz check passed\n" } else { "ok" },
            )),
            "readyz" => Some(reply::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "[-]engine failed: it is still starting\nreadyz check failed\n",
            )),
            _ => None,
        }
    }

    async fn authenticated(&self, request: &Request) -> Answer {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        if segments.first() == Some(&"metrics") && segments.len() == 1 {
            return self.metrics_text(request);
        }
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if reads && let Some(answer) = discovery::answer(self, request, &segments) {
            return answer;
        }
        if let Some(answer) = review::answer(request, &segments) {
            return answer;
        }
        self.objects(request).await
    }

    fn metrics_text(&self, request: &Request) -> Answer {
        if !request.user.is_master() {
            return Err(forbidden_path(request));
        }
        accept::discovery(None)?;
        let mut text = self.metrics.text(&self.store);
        if let Some(more) = &self.options.metrics {
            text.push_str(&more());
        }
        Ok(reply::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
    }

    /// Answers a request on objects.
    pub async fn objects(&self, request: &Request) -> Answer {
        let target = Target::find(&self.registry(), &request.segments)?;
        authorize(request, &target)?;
        let kind = &target.kind;
        let refuse = |verb: &str| -> Answer {
            Err(status::method_not_allowed(&kind.group, &kind.plural, verb).into())
        };
        match target.subresource.as_deref() {
            None => {}
            Some("status") if kind.status => {}
            Some("finalize") if kind.group.is_empty() && kind.plural == "namespaces" => {}
            Some("scale") => match &kind.scale {
                Some(scale) => return self.scale(request, &target, scale).await,
                None => return Err(status::no_such_resource().into()),
            },
            Some(_) => return Err(status::no_such_resource().into()),
        }
        // Namespaced objects are written in a namespace; across all of them they are only read.
        let placed = !kind.namespaced || target.namespace.is_some();
        let named = target.name.is_some();
        match request.method {
            Method::GET if request.query.flag("watch") => self.watch(request, &target),
            Method::GET | Method::HEAD if named => self.get(request, &target),
            Method::GET | Method::HEAD => self.list(request, &target),
            Method::POST if !named && placed => self.create(request, &target).await,
            Method::POST => refuse("create"),
            Method::PUT if named => self.update(request, &target).await,
            Method::PUT => refuse("update"),
            Method::PATCH if named => self.patch(request, &target).await,
            Method::PATCH => refuse("patch"),
            Method::DELETE if target.subresource.is_some() => refuse("delete"),
            Method::DELETE if named => self.delete(request, &target).await,
            Method::DELETE if placed => self.delete_collection(request, &target).await,
            Method::DELETE => refuse("deletecollection"),
            _ => Err(status::verb_not_allowed().into()),
        }
    }
}

/// Only masters may touch objects: there is no other authority yet that could say who may what.
/// Impersonating anyone is giving that up, so it is refused rather than ignored.
fn authorize(request: &Request, target: &Target) -> Result<(), Failure> {
    let impersonates =
        request.headers.keys().any(|header| header.as_str().starts_with("impersonate-"));
    if request.user.is_master() && !impersonates {
        return Ok(());
    }
    let user = match request.header(header::HeaderName::from_static("impersonate-user")) {
        Some(user) if impersonates => user,
        _ => &request.user.name,
    };
    let verb = match request.method {
        Method::GET if request.query.flag("watch") => "watch",
        Method::GET if target.name.is_some() => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if target.name.is_some() => "delete",
        _ => "deletecollection",
    };
    let (group, plural) = (&target.kind.group, &target.kind.plural);
    let place = match &target.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User \"{user}\" cannot {verb} resource \"{plural}\" in API group \"{group}\" {place}"
    );
    let name = target.name.as_deref().unwrap_or("");
    Err(status::forbidden(group, plural, name, &why).into())
}

fn forbidden_path(request: &Request) -> Failure {
    let user = &request.user.name;
    let path = &request.path;
    status::forbidden("", "", "", &format!("User \"{user}\" cannot get path \"{path}\"")).into()
}
