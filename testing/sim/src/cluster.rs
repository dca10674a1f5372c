//! Other clusters than home, each behind an address, so that an address can come to lead elsewhere.
//!
//! In: a name. Out: an API server of its own, which `https://NAME.example` leads to, and what stands
//! between the engine and it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use fixpoint_apiserver::{ApiServer, Options, User};
use fixpoint_controllers::{Clock, Clusters};
use fixpoint_driver_kube::{Access, ConnectError, Connection, Dials, Rest};
use fixpoint_evil::{Body, Evil};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use crate::door::{Door, Rules};

/// All other clusters. Clones are the same ones.
#[derive(Clone, Default)]
pub struct Remotes(Arc<Mutex<BTreeMap<String, Remote>>>);

/// One of them.
#[derive(Clone)]
struct Remote {
    server: ApiServer,
    rules: Rules,
    dials: Dials,
}

impl Remotes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Remote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, name: &str) -> Result<Remote> {
        self.all().get(name).cloned().with_context(|| format!("there is no cluster {name}"))
    }

    /// Puts a new cluster behind an address, in the place of the one that was there; on the open
    /// connections, too, as a proxy might, or so that they break.
    ///
    /// # Errors
    /// When its API server does not open.
    pub async fn begin(&self, name: &str, clock: Clock, breaks: bool) -> Result<()> {
        let options = Options { clock, ..Options::memory() };
        let server = ApiServer::open(options).await.context("could not open the API server")?;
        if let Some(remote) = self.all().get_mut(name) {
            remote.server = server;
            if breaks {
                remote.dials.dialled();
            }
            return Ok(());
        }
        self.add(name, server);
        Ok(())
    }

    /// Puts a cluster that is there already behind an address.
    pub fn add(&self, name: &str, server: ApiServer) {
        let (rules, dials) = (Rules::default(), Dials::default());
        self.all().insert(name.to_owned(), Remote { server, rules, dials });
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.all().keys().cloned().collect()
    }

    /// What stands between the engine and a cluster.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn rules(&self, name: &str) -> Result<Rules> {
        self.get(name).map(|remote| remote.rules)
    }

    /// A client for the administrator of a cluster.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn admin(&self, name: &str) -> Result<kube::Client> {
        Ok(kube::Client::new(self.get(name)?.server.service(User::admin()), "default"))
    }

    /// A kubeconfig that leads to a cluster.
    pub fn kubeconfig(name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\n\
             contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n\
             clusters: [{{name: {name}, cluster: {{server: https://{name}.example}}}}]\n\
             users: [{{name: {name}, user: {{token: token-of-{name}}}}}]\n"
        )
    }
}

impl Clusters for Remotes {
    fn open(&self, access: &Access) -> Result<Connection, ConnectError> {
        let host = access.server.host().unwrap_or_default();
        let name = host.strip_suffix(".example").unwrap_or(host).to_owned();
        let dials = self.get(&name).map_or_else(|_| Dials::default(), |remote| remote.dials);
        let road = Road { remotes: self.clone(), name };
        let client = kube::Client::new(road, "default");
        Ok(Connection { client, dials, rest: Rest::default() })
    }
}

/// Leads to whatever cluster is behind an address when a request is made.
#[derive(Clone)]
struct Road {
    remotes: Remotes,
    name: String,
}

impl Service<Request<kube::client::Body>> for Road {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        match self.remotes.get(&self.name) {
            Ok(Remote { server, rules, .. }) => {
                let mut door = Door::new(server.service(User::admin()), rules, Evil::default());
                async move { door.call(request).await }.boxed()
            }
            Err(_) => async { Err(io::ErrorKind::ConnectionRefused.into()) }.boxed(),
        }
    }
}
