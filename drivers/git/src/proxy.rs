//! Goes through a proxy.
//!
//! In: a declared proxy, and where to go. Out: a stream to there, as the proxy made it. The
//! proxy's own address is checked like any other; where a name leads beyond it is the proxy's to
//! say. Its credentials are sent to it alone and shown nowhere.

use std::io;

use base64::Engine as _;
use fixpoint_base::Secret;
use fixpoint_source::{Proxy, StoreError};
use reqwest::Url;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;

use crate::location::shown;
use crate::meter::plain;

/// Bytes of an HTTP proxy's answer.
const MAX_HEAD: u64 = 8 * 1024;

/// Said when a proxy lets nobody like us through.
pub(crate) const REFUSED: &str =
    "the proxy refused the credentials (check the Secret that spec.proxySecretRef names)";

/// A proxy that every connection of a source goes through.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where it is: `http`, `https` or `socks5`, without credentials.
    pub(crate) url: Url,
    /// Who we are to it.
    pub(crate) login: Option<(String, Secret<String>)>,
}

/// What goes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Gate {
    /// Reads where a proxy is.
    ///
    /// # Errors
    /// When its address is malformed, carries credentials, or is of a kind that is not spoken.
    pub(crate) fn new(proxy: Proxy, for_url: &str) -> Result<Self, StoreError> {
        let Proxy { address, login } = proxy;
        let malformed = |reason: String| StoreError::Credentials {
            url: shown(for_url),
            reason: format!(
                "the address {:?} of the proxy is malformed: {reason}",
                shown(&address)
            ),
            hint: None,
        };
        let url = Url::parse(&address).map_err(|err| malformed(err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https" | "socks5") {
            return Err(malformed("it must start with http://, https:// or socks5://".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed(
                "it carries credentials; put them under username and password".to_owned(),
            ));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(malformed("it names no host".to_owned()));
        }
        let fits = |text: &str| text.len() <= 255 && !text.contains(char::is_control);
        if let Some((username, password)) = &login {
            let password = password.expose("looked at for characters that cannot be sent");
            if !fits(username) || username.contains(':') || !fits(password) {
                return Err(StoreError::Credentials {
                    url: shown(for_url),
                    reason: "the proxy's name and password cannot be sent".to_owned(),
                    hint: Some("at most 255 bytes each, no control characters".to_owned()),
                });
            }
        }
        Ok(Self { url, login })
    }

    /// The proxy as messages may show it.
    pub(crate) fn shown(&self) -> String {
        shown(self.url.as_str()).trim_end_matches('/').to_owned()
    }

    /// The proxy's host.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The proxy's port.
    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(1080)
    }

    /// Makes a way through the proxy that `stream` leads to.
    ///
    /// # Errors
    /// Why the proxy makes none, as one sentence.
    pub(crate) async fn pass(
        &self,
        stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream + 'static>, String> {
        match self.url.scheme() {
            "socks5" => self.pass_socks(stream, host, port).await,
            "http" => self.pass_http(stream, host, port).await,
            // TLS in ssh's way; nobody has asked for it yet.
            _ => Err("ssh goes through http:// and socks5:// proxies only".to_owned()),
        }
    }

    async fn pass_http(
        &self,
        mut stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, String> {
        let target =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((username, password)) = &self.login {
            let pair = format!("{username}:{}", password.expose("sent to the declared proxy"));
            let word = base64::engine::general_purpose::STANDARD.encode(pair);
            request.push_str(&format!("Proxy-Authorization: Basic {word}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(told)?;
        // Its buffer may hold the first words of the server already, so it stays.
        let mut stream = BufReader::new(stream);
        let mut left = MAX_HEAD;
        let first = line(&mut stream, &mut left).await?;
        while !line(&mut stream, &mut left).await?.is_empty() {}
        let code = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        match code {
            Some(code) if code.len() == 3 && code.starts_with('2') => Ok(Box::new(stream)),
            // tinyproxy asks with 407 and says no with 401.
            Some("407" | "401") => Err(REFUSED.to_owned()),
            Some(code) => Err(format!("the proxy answers HTTP {}", plain(code, 3))),
            None => Err("the proxy does not speak HTTP".to_owned()),
        }
    }

    /// RFC 1928 and 1929.
    async fn pass_socks(
        &self,
        mut stream: TcpStream,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, String> {
        const VERSION: u8 = 5;
        const NOBODY: u8 = 0;
        const PASSWORD: u8 = 2;
        let broken = || "the proxy does not speak SOCKS 5".to_owned();
        let hello: &[u8] = match self.login {
            Some(_) => &[VERSION, 2, NOBODY, PASSWORD],
            None => &[VERSION, 1, NOBODY],
        };
        stream.write_all(hello).await.map_err(told)?;
        match (read::<2>(&mut stream).await?, &self.login) {
            ([VERSION, NOBODY], _) => {}
            ([VERSION, PASSWORD], Some((username, password))) => {
                let password = password.expose("sent to the declared proxy");
                let mut words = vec![1];
                put(&mut words, username)?;
                put(&mut words, password)?;
                stream.write_all(&words).await.map_err(told)?;
                if read::<2>(&mut stream).await?[1] != 0 {
                    return Err(REFUSED.to_owned());
                }
            }
            ([VERSION, _], _) => return Err(REFUSED.to_owned()),
            _ => return Err(broken()),
        }
        // The name as it is: the proxy resolves it.
        let mut request = vec![VERSION, 1, 0, 3];
        put(&mut request, host)?;
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await.map_err(told)?;
        let [version, reply, _, kind] = read::<4>(&mut stream).await?;
        if version != VERSION {
            return Err(broken());
        }
        if reply != 0 {
            return Err(format!("the proxy does not connect (SOCKS 5 says {reply})"));
        }
        // Where it connects from: of no interest, but in the way.
        let length = match kind {
            1 => 4,
            4 => 16,
            3 => usize::from(read::<1>(&mut stream).await?[0]),
            _ => return Err(broken()),
        };
        let mut rest = vec![0; length + 2];
        stream.read_exact(&mut rest).await.map_err(told)?;
        Ok(Box::new(stream))
    }
}

fn told(err: io::Error) -> String {
    match err.kind() {
        io::ErrorKind::UnexpectedEof => "the proxy closed the connection".to_owned(),
        _ => plain(&format!("the proxy is gone: {err}"), 200),
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(told)?;
    Ok(bytes)
}

/// One line without its end, out of what the whole head may still take.
async fn line(stream: &mut BufReader<TcpStream>, left: &mut u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = stream.take(*left).read_until(b'\n', &mut bytes).await.map_err(told)?;
    *left -= read as u64;
    match bytes.strip_suffix(b"\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).trim_end().to_owned()),
        None if *left == 0 => Err("the proxy talks too much".to_owned()),
        None => Err("the proxy closed the connection".to_owned()),
    }
}

/// A word with its length before it.
fn put(out: &mut Vec<u8>, word: &str) -> Result<(), String> {
    let length =
        u8::try_from(word.len()).map_err(|_| "a name is too long for SOCKS 5".to_owned())?;
    out.push(length);
    out.extend_from_slice(word.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(address: &str) -> Result<Gate, String> {
        let proxy = Proxy { address: address.to_owned(), login: None };
        Gate::new(proxy, "https://x").map_err(|err| err.to_string())
    }

    #[test]
    fn addresses() {
        let shown = |address| gate(address).unwrap().shown();
        assert_eq!(shown("http://proxy.example:3128"), "http://proxy.example:3128");
        assert_eq!(shown("http://proxy.example:3128/"), "http://proxy.example:3128");
        assert_eq!(gate("socks5://[::1]").unwrap().port(), 1080);
        assert_eq!(gate("http://[fd00::1]").unwrap().port(), 80);
        assert_eq!(gate("https://proxy.example").unwrap().port(), 443);
        for (address, wanted) in [
            ("proxy.example:3128", "it must start with"),
            ("ftp://proxy.example", "it must start with"),
            ("http://ann:hunter2@proxy.example", "it carries credentials"),
            ("socks5://", "names no host"),
            ("", "relative URL"),
        ] {
            let err = gate(address).unwrap_err();
            assert!(err.contains(wanted) && !err.contains("hunter2"), "{address}: {err}");
        }
    }

    #[test]
    fn credentials_that_no_proxy_can_take() {
        for (username, password) in
            [("a:b", "hunter2"), ("a", "hunter2\r\ny"), ("a", &"hunter2".repeat(40))]
        {
            let login = Some((username.to_owned(), Secret::new(password.to_owned())));
            let err = Gate::new(Proxy { address: "http://p".to_owned(), login }, "https://x")
                .unwrap_err();
            let err = format!("{err:?} {err}");
            assert!(err.contains("cannot be sent") && !err.contains("hunter2"), "{err}");
        }
    }
}
