//! Speaks ssh to Git servers.
//!
//! In: a place, a key and the host keys that are believed. Out: what `git-upload-pack` says there,
//! metered, or a typed error. No `ssh` program, agent, configuration or file of this machine is
//! used; the key signs for the declared server and is shown to no other (negative suite B7).

mod channel;
mod guard;
mod key;
mod known_hosts;

use std::borrow::Cow;
use std::future::Future;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use fixpoint_source::{SshIdentity, StoreError};
use russh::client::{self, AuthResult};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use russh::{Disconnect, SshId};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use self::channel::Incoming;
use self::guard::{Guard, Stop};
use self::known_hosts::KnownHosts;
use crate::address;
use crate::background::{Background, wait};
use crate::conversation::{Body, Conversation};
use crate::location::SshPlace;
use crate::meter::{Meter, plain};
use crate::protocol;
use crate::proxy::{Gate, Stream};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest time until both sides know who the other is.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// A server that is silent for so long is asked whether it is there; three times.
const SILENCE: Duration = Duration::from_secs(10);

/// What is behind all ssh connections.
pub(crate) struct Ssh {
    background: Background,
    user_agent: String,
    allow_loopback: bool,
}

/// Who we are, and who the server may be.
#[derive(Debug)]
pub(crate) struct Keys {
    identity: SshIdentity,
    known: Arc<KnownHosts>,
}

impl Keys {
    /// Takes a key, unopened: that costs time.
    ///
    /// # Errors
    /// When the host keys cannot be read.
    pub(crate) fn new(identity: SshIdentity) -> Result<Self, String> {
        let known = Arc::new(KnownHosts::parse(&identity.known_hosts)?);
        Ok(Self { identity, known })
    }
}

impl Ssh {
    /// Makes no connection and starts no thread yet.
    pub(crate) fn new(user_agent: &str, allow_loopback: bool) -> Self {
        Self { background: Background::default(), user_agent: version(user_agent), allow_loopback }
    }
}

/// The protocol takes printable characters without spaces and dashes.
fn version(user_agent: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    user_agent.chars().map(plain).take(100).collect()
}

/// One conversation with one server: a connection, and a program running there at a time.
pub(crate) struct Session<'a> {
    ssh: &'a Ssh,
    meter: &'a Meter,
    place: &'a SshPlace,
    keys: &'a Keys,
    gate: Option<&'a Gate>,
    connection: Option<(Handle, client::Handle<Guard>)>,
    program: Option<BufReader<Incoming<'a>>>,
    /// Whether the program was given a command; it takes one.
    spent: bool,
}

impl<'a> Session<'a> {
    /// Starts a conversation; nothing is sent yet.
    pub(crate) fn new(
        ssh: &'a Ssh,
        meter: &'a Meter,
        place: &'a SshPlace,
        keys: &'a Keys,
        gate: Option<&'a Gate>,
    ) -> Self {
        Self { ssh, meter, place, keys, gate, connection: None, program: None, spent: false }
    }

    /// Connects, makes sure who the server is, and then says who we are.
    fn connect(&mut self) -> Result<(), StoreError> {
        let runtime = self.ssh.background.handle().map_err(|err| self.meter.local(err))?;
        let key = key::open(&self.keys.identity).map_err(|(reason, hint)| {
            let hint = hint.map(str::to_owned);
            StoreError::Credentials {
                url: self.meter.url().to_owned(),
                reason: reason.to_owned(),
                hint,
            }
        })?;
        let stream = self.reach(&runtime)?;
        let SshPlace { host, port, .. } = self.place;
        let guard = Guard { host: host.clone(), port: *port, known: Arc::clone(&self.keys.known) };
        let handle = self.within(&runtime, HANDSHAKE, "no ssh handshake", async {
            let config = Arc::new(self.config(&guard));
            let connected = client::connect_stream(config, stream, guard).await;
            let mut handle = connected.map_err(|stop| self.stopped(stop))?;
            self.authenticate(&mut handle, key).await?;
            Ok(handle)
        })?;
        self.connection = Some((runtime, handle));
        Ok(())
    }

    /// Connects to the server, or has the proxy connect to it.
    fn reach(&self, runtime: &Handle) -> Result<Box<dyn Stream>, StoreError> {
        let SshPlace { host, port, .. } = self.place;
        let (meter, allow) = (self.meter, self.ssh.allow_loopback);
        let addresses = match self.gate {
            None => address::allowed(meter.url(), host, *port, allow, meter)?,
            Some(gate) => {
                address::allowed_beyond(meter.url(), host, allow)?;
                address::allowed(&gate.shown(), gate.host(), gate.port(), allow, meter)?
            }
        };
        self.within(runtime, CONNECT, "no connection", async {
            let connected = TcpStream::connect(addresses.as_slice()).await;
            let stream = match (connected, self.gate) {
                (Ok(stream), Some(gate)) => gate.pass(stream, host, *port).await,
                (Ok(stream), None) => Ok(Box::new(stream) as Box<dyn Stream>),
                (Err(err), Some(gate)) => Err(format!("the proxy {}: {err}", gate.shown())),
                (Err(err), None) => Err(err.to_string()),
            };
            stream.map_err(|reason| meter.unreachable(plain(&reason, 300)))
        })
    }

    fn config(&self, guard: &Guard) -> client::Config {
        client::Config {
            client_id: SshId::Standard(Cow::Owned(format!("SSH-2.0-{}", self.ssh.user_agent))),
            preferred: guard.preferred(),
            keepalive_interval: Some(SILENCE),
            nodelay: true,
            ..client::Config::default()
        }
    }

    async fn authenticate(
        &self,
        handle: &mut client::Handle<Guard>,
        key: russh::keys::PrivateKey,
    ) -> Result<(), StoreError> {
        let failed = |err: russh::Error| self.stopped(Stop::Failed(err));
        let hash = match key.algorithm().is_rsa() {
            false => None,
            true => match handle.best_supported_rsa_hash().await.map_err(failed)? {
                Some(None) => {
                    return Err(StoreError::Credentials {
                        url: self.meter.url().to_owned(),
                        reason: "the server takes RSA keys only with SHA-1, which is broken"
                            .to_owned(),
                        hint: Some("use an Ed25519 key".to_owned()),
                    });
                }
                Some(hash) => hash,
                // It does not say; every server that is still in use takes this one.
                None => Some(HashAlg::Sha256),
            },
        };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let user = self.place.user.as_str();
        match handle.authenticate_publickey(user, key).await.map_err(failed)? {
            AuthResult::Success => Ok(()),
            AuthResult::Failure { partial_success: true, .. } => Err(StoreError::Credentials {
                url: self.meter.url().to_owned(),
                reason: "the server wants more than a key".to_owned(),
                hint: None,
            }),
            AuthResult::Failure { .. } => {
                Err(StoreError::Unauthorised { url: self.meter.url().to_owned() })
            }
        }
    }

    /// Starts the program and asks for version 2; a server that does not pass that on speaks as
    /// servers did before.
    fn start(&mut self) -> Result<(), StoreError> {
        // The one before ends first: servers count what runs.
        self.program = None;
        if self.connection.is_none() {
            self.connect()?;
        }
        let Some((runtime, handle)) = &self.connection else {
            return Err(self.meter.unreachable("there is no connection"));
        };
        let command = format!("git-upload-pack {}", quoted(&self.place.path));
        let (read, write) = self.within(runtime, HANDSHAKE, "no answer", async {
            let failed = |err: russh::Error| self.stopped(Stop::Failed(err));
            let channel = handle.channel_open_session().await.map_err(failed)?;
            channel.set_env(false, "GIT_PROTOCOL", "version=2").await.map_err(failed)?;
            channel.exec(true, command).await.map_err(failed)?;
            Ok(channel.split())
        })?;
        let incoming = Incoming::new(runtime.clone(), self.meter, read, write);
        self.program = Some(BufReader::with_capacity(64 * 1024, incoming));
        self.spent = false;
        Ok(())
    }

    /// Waits for a step of ours.
    fn within<T>(
        &self,
        runtime: &Handle,
        time: Duration,
        what: &str,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.meter.check()?;
        wait(runtime, time.min(self.meter.remaining()), step).unwrap_or_else(|| {
            self.meter.check()?;
            Err(self.meter.unreachable(format!("{what} within {} s", time.as_secs())))
        })
    }

    fn stopped(&self, stop: Stop) -> StoreError {
        let url = self.meter.url().to_owned();
        match stop {
            Stop::Untrusted(reason, hint) => StoreError::Untrusted { url, reason, hint },
            Stop::Failed(russh::Error::NoCommonAlgo { kind, .. }) => StoreError::Untrusted {
                url,
                reason: match kind {
                    russh::AlgorithmKind::Key => {
                        "it has no host key of a kind that known_hosts has for it".to_owned()
                    }
                    kind => format!("it has no {kind:?} algorithm that is still safe"),
                },
                hint: None,
            },
            Stop::Failed(russh::Error::Version) => self.meter.unreachable("it is no ssh server"),
            Stop::Failed(
                russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError,
            ) => self.meter.unreachable("it closed the connection"),
            Stop::Failed(err) => self.meter.unreachable(plain(&err.to_string(), 200)),
        }
    }

    fn body(&mut self) -> Result<Body<'_>, StoreError> {
        match &mut self.program {
            Some(program) => Ok(Box::new(program)),
            None => Err(self.meter.unreachable("there is no connection")),
        }
    }
}

impl Conversation for Session<'_> {
    fn discover(&mut self) -> Result<Body<'_>, StoreError> {
        self.start()?;
        self.body()
    }

    fn command(&mut self, request: Vec<u8>) -> Result<Body<'_>, StoreError> {
        if self.spent || self.program.is_none() {
            let meter = self.meter;
            let greeting = self.discover()?;
            // Said before, and no different now.
            protocol::read_capabilities(greeting)
                .map_err(|fault| crate::remote::explain(meter, fault))?;
        }
        self.spent = true;
        if let Some(program) = &self.program {
            program.get_ref().send(request)?;
        }
        self.body()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.program = None;
        if let Some((runtime, handle)) = self.connection.take() {
            runtime.spawn(async move {
                // A courtesy; the connection closes with the handle anyway.
                let _said = handle.disconnect(Disconnect::ByApplication, "", "en").await;
            });
        }
    }
}

/// A word for the shell of the other side, quoted as Git does.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_to_a_shell() {
        assert_eq!(quoted("/a b/$(c)"), "'/a b/$(c)'");
        assert_eq!(quoted("/it's!"), r"'/it'\''s'\!''");
    }

    #[test]
    fn our_name_fits_the_protocol() {
        assert_eq!(version("fixpoint/0.1.0 (x-y)"), "fixpoint_0.1.0__x_y_");
    }
}
