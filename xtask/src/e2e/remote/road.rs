//! A way to a server that can be led elsewhere.
//!
//! In: where to. Out: an address on this machine that never changes, as that of a load balancer
//! would not.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

/// A way that connections take.
pub struct Road {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    to: SocketAddr,
    open: Vec<TcpStream>,
}

impl Road {
    /// Opens a way to a server, `https://ADDRESS:PORT`.
    pub fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
        let address = listener.local_addr().context("a port has no number")?;
        let inner = Inner { to: address_of(server)?, open: Vec::new() };
        let inner = Arc::new(Mutex::new(inner));
        let shared = inner.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A server that is away breaks connections, as it would without a way between.
                let _broken = lead(stream, &shared);
            }
        });
        Ok(Self { address, inner })
    }

    /// Where it begins.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Leads to another server from now on; whoever was on the way is cut off.
    pub fn lead_to(&self, server: &str) -> Result<()> {
        let to = address_of(server)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.to = to;
        for stream in inner.open.drain(..) {
            // It may have ended by itself.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        Ok(())
    }
}

fn address_of(server: &str) -> Result<SocketAddr> {
    let address = server.trim_start_matches("https://");
    address.parse().with_context(|| format!("{server} is no address"))
}

fn lead(near: TcpStream, inner: &Mutex<Inner>) -> std::io::Result<()> {
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let far = TcpStream::connect(inner.to)?;
    inner.open.push(near.try_clone()?);
    inner.open.push(far.try_clone()?);
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        thread::spawn(move || {
            // However it ends, the other side is told.
            let _ended = copy(&mut from, &mut to);
            let _told = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
