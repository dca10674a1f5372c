//! Which machines this driver connects to.
//!
//! In: a host name. Out: the addresses that it has now, all of them allowed. The connection is
//! made to exactly these: a name that resolves differently a moment later gains nothing, and a
//! redirect is checked like a first hop (negative suite B10).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use fixpoint_base::address::{forbidden, unwrapped};
use fixpoint_source::StoreError;
use reqwest::Url;
use reqwest::dns::{Name, Resolve, Resolving};

use crate::location::shown;
use crate::meter::Meter;

/// Longest wait for the name service.
const RESOLVE: Duration = Duration::from_secs(10);

/// Hosts remembered; when there are more, all are forgotten and resolved anew.
const MAX_HOSTS: usize = 1024;

/// Addresses that were checked, by host. The HTTP client resolves through it and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    hosts: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
}

impl Checked {
    /// Resolves the host of a URL and checks every address it has.
    ///
    /// # Errors
    /// When it does not resolve in time, or to an address that is never connected to.
    pub(crate) fn check(
        &self,
        url: &Url,
        allow_loopback: bool,
        meter: &Meter,
    ) -> Result<(), StoreError> {
        let host = url.host_str().unwrap_or_default();
        // Port 0: each connection puts in the one of its URL, and hosts serve several.
        let addresses = allowed(&shown(url.as_str()), host, 0, allow_loopback, meter)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS {
            hosts.clear();
        }
        hosts.insert(host.to_owned(), addresses);
        Ok(())
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let found = hosts.get(name.as_str()).cloned();
        Box::pin(std::future::ready(match found {
            Some(addresses) => Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs),
            None => Err("the host was not checked".into()),
        }))
    }
}

/// Resolves a host and checks every address it has; `shown` is what leads there.
///
/// # Errors
/// When it does not resolve in time, or to an address that is never connected to.
pub(crate) fn allowed(
    shown: &str,
    host: &str,
    port: u16,
    allow_loopback: bool,
    meter: &Meter,
) -> Result<Vec<SocketAddr>, StoreError> {
    let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let addresses = match literal {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => resolve(host, port, meter)?,
    };
    for address in &addresses {
        if let Some(reason) = forbidden(address.ip(), allow_loopback) {
            return Err(not_allowed(shown, address.ip(), reason));
        }
    }
    Ok(addresses)
}

/// Checks what can be checked of a host that a proxy will resolve: whether it is an address, in
/// any way to write one.
///
/// # Errors
/// When it is one that is never connected to.
pub(crate) fn allowed_beyond(
    shown: &str,
    host: &str,
    allow_loopback: bool,
) -> Result<(), StoreError> {
    let bare = host.trim_matches(['[', ']']);
    let address = bare.parse::<IpAddr>().ok().or_else(|| {
        // `0x7f.1` and its like: what a URL of HTTP would make of it.
        let url = Url::parse(&format!("http://{bare}/")).ok()?;
        url.host_str()?.parse().ok()
    });
    match address.and_then(|address| Some((address, forbidden(address, allow_loopback)?))) {
        Some((address, reason)) => Err(not_allowed(shown, address, reason)),
        None => Ok(()),
    }
}

/// Asks the name service on a thread of its own: the system's resolver cannot be told to hurry.
fn resolve(host: &str, port: u16, meter: &Meter) -> Result<Vec<SocketAddr>, StoreError> {
    let (send, receive) = mpsc::channel();
    let name = host.to_owned();
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // Whoever asked may have gone.
            let _gone = send.send(found);
        })
        .map_err(|err| meter.local(err))?;
    match receive.recv_timeout(meter.remaining().min(RESOLVE)) {
        Ok(Ok(found)) if !found.is_empty() => Ok(found),
        Ok(_) => Err(meter.unreachable(format!("the host {host} does not resolve"))),
        Err(_) => {
            meter.check()?;
            Err(meter.unreachable(format!("the host {host} does not resolve in time")))
        }
    }
}

fn not_allowed(shown: &str, address: IpAddr, reason: &str) -> StoreError {
    let hint = unwrapped(address).is_loopback().then(|| {
        "servers on this machine are for engines that run outside of a cluster".to_owned()
    });
    StoreError::NotAllowed {
        url: shown.to_owned(),
        reason: format!("{address} is where it leads, and {reason}"),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_a_proxy_is_not_asked_for() {
        for host in ["169.254.169.254", "[fe80::1]", "fe80::1", "0xa9fea9fe", "2852039166"] {
            assert!(allowed_beyond("x", host, true).is_err(), "{host}");
        }
        for host in ["git.example.org", "10.0.0.1", "::ffff:10.0.0.1", "[fd12::1]"] {
            assert!(allowed_beyond("x", host, true).is_ok(), "{host}");
        }
    }
}
