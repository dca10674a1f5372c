//! Reads `known_hosts` and judges host keys by it. Pure.
//!
//! In: the text of a Secret, and the key that a server showed. Out: whether it is the key of that
//! host. A key that is not written down is never believed, at no first use and at no later one
//! (negative suite B7).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a `known_hosts` that are looked at.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// Lines of it; each is looked at for each connection.
const MAX_LINES: usize = 4096;

/// The port that is not written down.
const DEFAULT_PORT: u16 = 22;

/// Host keys that somebody vouches for.
#[derive(Debug)]
pub(crate) struct KnownHosts {
    lines: Vec<Line>,
}

/// What is known of a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is written down for this host.
    Known,
    /// Nothing is written down for this host.
    Unknown,
    /// Only a certificate authority is written down for this host, in this line.
    Authority(usize),
    /// Other keys are written down for this host, the first in this line.
    Changed(usize),
    /// It is written down as one that must not be believed any more, in this line.
    Revoked(usize),
}

#[derive(Debug)]
struct Line {
    number: usize,
    marker: Marker,
    hosts: Hosts,
    kind: String,
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

#[derive(Debug)]
enum Hosts {
    /// Patterns, and whether each is a negation.
    Patterns(Vec<(bool, String)>),
    /// A salt, and the digest of one name with it.
    Hashed(Vec<u8>, Vec<u8>),
}

impl KnownHosts {
    /// Reads a file as OpenSSH writes it.
    ///
    /// # Errors
    /// When it is too large, or a line of it is none; a line that were passed over could be the
    /// one that revokes a key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("known_hosts is longer than {MAX_BYTES} bytes"));
        }
        let mut lines = Vec::new();
        for (at, text) in text.lines().enumerate() {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if lines.len() >= MAX_LINES {
                return Err(format!("known_hosts has more than {MAX_LINES} keys"));
            }
            let number = at + 1;
            let line = Line::parse(number, text)
                .map_err(|reason| format!("line {number} of known_hosts {reason}"))?;
            lines.push(line);
        }
        Ok(Self { lines })
    }

    /// Whether a key is the one of a host.
    pub(crate) fn judge(&self, host: &str, port: u16, key: &[u8]) -> Judgement {
        let name = name(host, port);
        let about = || self.lines.iter().filter(|line| line.hosts.have(&name));
        let first = |marker, same: Option<&[u8]>| {
            about()
                .find(|line| line.marker == marker && same.is_none_or(|key| line.key == key))
                .map(|line| line.number)
        };
        // A revoked key is not believed even where another line says it is the host's.
        if let Some(number) = first(Marker::Revoked, Some(key)) {
            Judgement::Revoked(number)
        } else if first(Marker::None, Some(key)).is_some() {
            Judgement::Known
        } else if let Some(number) = first(Marker::None, None) {
            Judgement::Changed(number)
        } else if let Some(number) = first(Marker::Authority, None) {
            Judgement::Authority(number)
        } else {
            Judgement::Unknown
        }
    }

    /// The kinds of keys that are known of a host: a server with several shows one of these.
    pub(crate) fn kinds(&self, host: &str, port: u16) -> Vec<&str> {
        let name = name(host, port);
        self.lines
            .iter()
            .filter(|line| line.marker == Marker::None && line.hosts.have(&name))
            .map(|line| line.kind.as_str())
            .collect()
    }
}

/// How a host is written down.
fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

impl Line {
    fn parse(number: usize, text: &str) -> Result<Self, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let (marker, hosts) = match first {
            "@revoked" => (Marker::Revoked, words.next()),
            "@cert-authority" => (Marker::Authority, words.next()),
            _ if first.starts_with('@') => return Err("has an unknown marker"),
            hosts => (Marker::None, Some(hosts)),
        };
        let hosts = Hosts::parse(hosts.ok_or("names no host")?)?;
        let kind = words.next().ok_or("names no kind of key")?.to_owned();
        let key = STANDARD
            .decode(words.next().ok_or("has no key")?)
            .map_err(|_| "has a key that is not in base64")?;
        // The key names its kind once more; a line whose halves differ is not one of OpenSSH.
        let inner = key
            .split_at_checked(4)
            .and_then(|(length, rest)| {
                let length = u32::from_be_bytes(length.try_into().ok()?);
                rest.get(..usize::try_from(length).ok()?)
            })
            .ok_or("has a malformed key")?;
        if inner != kind.as_bytes() {
            return Err("names another kind of key than its key does");
        }
        Ok(Self { number, marker, hosts, kind, key })
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            if text.starts_with('|') {
                return Err("has a host that is hashed in an unknown way");
            }
            let patterns = text.split(',').filter(|pattern| !pattern.is_empty()).map(|pattern| {
                let pattern = pattern.to_ascii_lowercase();
                match pattern.strip_prefix('!') {
                    Some(rest) => (true, rest.to_owned()),
                    None => (false, pattern),
                }
            });
            return Ok(Self::Patterns(patterns.collect()));
        };
        let malformed = "has a malformed hash of a host";
        let (salt, hash) = hashed.split_once('|').ok_or(malformed)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| malformed);
        Ok(Self::Hashed(decode(salt)?, decode(hash)?))
    }

    fn have(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                let hit = |negated: bool| {
                    patterns.iter().any(|(not, text)| *not == negated && matches(text, name))
                };
                hit(false) && !hit(true)
            }
            Self::Hashed(salt, hash) => {
                // What OpenSSH hashes with; it hides names and proves nothing.
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::sign(&key, name.as_bytes()).as_ref() == hash.as_slice()
            }
        }
    }
}

/// Whether a name fits a pattern with `*` and `?`; in time that grows with their product only.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star is, and the end of what it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    p = at + 1;
                    n = end + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of a kind, as bytes and as `known_hosts` has it.
    fn key(kind: &str, tail: &str) -> (Vec<u8>, String) {
        let mut bytes = (kind.len() as u32).to_be_bytes().to_vec();
        bytes.extend(kind.as_bytes());
        bytes.extend(tail.as_bytes());
        let text = format!("{kind} {}", STANDARD.encode(&bytes));
        (bytes, text)
    }

    #[test]
    fn hosts_are_found_as_openssh_finds_them() {
        let (bytes, a) = key("ssh-ed25519", "a");
        let cases = [
            ("git.example.org", "git.example.org", 22, true),
            ("git.example.org", "GIT.example.ORG", 22, true),
            ("git.example.org", "git.example.org", 2222, false),
            ("[git.example.org]:2222", "git.example.org", 2222, true),
            ("[git.example.org]:2222", "git.example.org", 22, false),
            ("a,git.example.org,10.0.0.1", "10.0.0.1", 22, true),
            ("*.example.org", "git.example.org", 22, true),
            ("*.example.org", "example.org", 22, false),
            ("*.example.org,!git.example.org", "git.example.org", 22, false),
            ("!git.example.org", "ssh.example.org", 22, false),
            ("[*.example.org]:2222", "git.example.org", 2222, true),
            ("git?.example.org", "git1.example.org", 22, true),
            ("git?.example.org", "git.example.org", 22, false),
            ("[::1]:2222", "::1", 2222, true),
            ("::1", "::1", 22, true),
        ];
        for (hosts, host, port, known) in cases {
            let found = KnownHosts::parse(&format!("{hosts} {a} comment")).unwrap();
            let wanted = if known { Judgement::Known } else { Judgement::Unknown };
            assert_eq!(found.judge(host, port, &bytes), wanted, "{hosts} {host}:{port}");
        }
    }

    /// The form that `ssh-keygen -H` writes.
    #[test]
    fn hashed_hosts_are_found() {
        let (bytes, a) = key("ssh-ed25519", "a");
        for (name, port) in [("git.example.org", 22), ("[git.example.org]:2222", 2222)] {
            let salt = b"twenty bytes of salt";
            let hash = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt),
                name.as_bytes(),
            );
            let line = format!("|1|{}|{} {a}", STANDARD.encode(salt), STANDARD.encode(hash));
            let known = KnownHosts::parse(&line).unwrap();
            assert_eq!(known.judge("git.example.org", port, &bytes), Judgement::Known);
            assert_eq!(known.judge("git.example.com", port, &bytes), Judgement::Unknown);
        }
    }

    #[test]
    fn keys_are_judged() {
        let ((a, a_text), (b, b_text)) = (key("ssh-ed25519", "a"), key("ssh-ed25519", "b"));
        let (rsa, rsa_text) = key("ssh-rsa", "c");
        let text = format!(
            "# a comment\n\nhost {a_text}\nhost {rsa_text}\n@revoked * {b_text}\nother {b_text}\n\
             @cert-authority *.example.org {a_text}"
        );
        let known = KnownHosts::parse(&text).unwrap();
        assert_eq!(known.judge("host", 22, &a), Judgement::Known);
        assert_eq!(known.judge("host", 22, &rsa), Judgement::Known);
        assert_eq!(known.judge("other", 22, &a), Judgement::Changed(6));
        assert_eq!(known.judge("host", 22, &b), Judgement::Revoked(5));
        assert_eq!(known.judge("other", 22, &b), Judgement::Revoked(5), "revoked beats known");
        assert_eq!(known.judge("a.example.org", 22, &a), Judgement::Authority(7));
        assert_eq!(known.judge("nobody", 22, &a), Judgement::Unknown);
        assert_eq!(known.kinds("host", 22), ["ssh-ed25519", "ssh-rsa"]);
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        let (_, a) = key("ssh-ed25519", "a");
        let other = a.replace("ssh-ed25519 ", "ssh-rsa ");
        for (line, wanted) in [
            ("host".to_owned(), "names no kind of key"),
            ("host ssh-ed25519".to_owned(), "has no key"),
            ("host ssh-ed25519 !!".to_owned(), "not in base64"),
            ("host ssh-ed25519 AAAA".to_owned(), "malformed key"),
            (format!("host {other}"), "another kind of key"),
            (format!("@strange host {a}"), "unknown marker"),
            ("@revoked".to_owned(), "names no host"),
            (format!("|2|x|y {a}"), "hashed in an unknown way"),
            (format!("|1|x {a}"), "malformed hash"),
        ] {
            let err = KnownHosts::parse(&format!("\n{line}")).unwrap_err();
            assert!(err.starts_with("line 2 of known_hosts") && err.contains(wanted), "{err}");
        }
        assert!(KnownHosts::parse(&"#".repeat(MAX_BYTES + 1)).is_err());
        assert!(KnownHosts::parse(&format!("h {a}\n").repeat(MAX_LINES + 1)).is_err());
    }

    #[test]
    fn patterns_take_no_exponential_time() {
        let name = "a".repeat(200);
        assert!(!matches(&format!("{}b", "a*".repeat(60)), &name));
        assert!(matches("*a*", &name));
    }
}
