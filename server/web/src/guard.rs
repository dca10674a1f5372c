//! Which requests are answered at all, and what every answer says to the browser.
//!
//! In: the head of a request. Out: why it is refused, or nothing. A page of another site, another
//! port of this machine, or a name that was made to lead here (DNS rebinding) gets nothing.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// The names under which the page is reached: those of its own address only.
#[derive(Debug, Clone)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The names of an address.
    pub fn of(address: SocketAddr) -> Self {
        Self(vec![address.to_string(), format!("localhost:{}", address.port())])
    }

    fn has(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    fn has_origin(&self, origin: &str) -> bool {
        origin.strip_prefix("http://").is_some_and(|host| self.has(host))
    }
}

/// Why a request is refused before anything else is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is meant for another host.
    Host,
    /// It was made by a page that is not ours.
    Origin,
    /// Its method is not answered.
    Method,
}

impl Refusal {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// Why, in one sentence.
    pub fn message(self) -> &'static str {
        match self {
            Self::Host => "this is not the host that the request is meant for",
            Self::Origin => "the request was made by a page of another origin",
            Self::Method => "the page is read-only",
        }
    }
}

/// Checks the head of a request.
///
/// # Errors
/// When the request is not to be answered.
pub fn check(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if !one(headers, header::HOST).is_some_and(|host| hosts.has(host)) {
        return Err(Refusal::Host);
    }
    let read = *method == Method::GET || *method == Method::HEAD;
    if !read && *method != Method::POST {
        return Err(Refusal::Method);
    }
    let site = one(headers, HeaderName::from_static("sec-fetch-site"));
    let mode = one(headers, HeaderName::from_static("sec-fetch-mode"));
    let ours = match (site, one(headers, header::ORIGIN)) {
        // Under our referrer policy a browser sends `Origin: null` with its own forms, so this
        // is what tells; it cannot be set by a script.
        (Some("same-origin"), _) => true,
        // Typed, or opened by another program.
        (Some("none"), _) => read,
        // A link elsewhere may lead here; nothing else may.
        (Some(_), _) => read && mode == Some("navigate"),
        (None, Some(origin)) => hosts.has_origin(origin),
        // No browser of the last years.
        (None, None) => read,
    };
    if ours { Ok(()) } else { Err(Refusal::Origin) }
}

/// The only value of a header; `None` where there is none, or more than one.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

/// Everything comes from here, nothing is inline, and nothing may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types fixpoint";

/// What every answer says.
const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-robots-tag", "noindex"),
];

/// Puts the headers that every answer has.
pub fn seal(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(method: &Method, head: &str, wanted: Result<(), Refusal>) {
        let mut headers = HeaderMap::new();
        for line in head.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let hosts = Hosts::of("127.0.0.1:6441".parse().unwrap());
        assert_eq!(check(&hosts, method, &headers), wanted, "{method} {head}");
    }

    #[test]
    fn only_its_own_names_are_answered() {
        for host in ["127.0.0.1:6441", "localhost:6441", "LOCALHOST:6441"] {
            check_one(&Method::GET, &format!("host: {host}"), Ok(()));
        }
        for head in [
            "",
            "host: rebound.example:6441",
            "host: 127.0.0.1",
            "host: 127.0.0.1:80",
            "host: localhost",
            "host: 127.0.0.1:6441\nhost: evil.example",
        ] {
            check_one(&Method::GET, head, Err(Refusal::Host));
        }
        let hosts = Hosts::of("[::1]:7".parse().unwrap());
        assert!(hosts.has("[::1]:7") && hosts.has("localhost:7") && !hosts.has("127.0.0.1:7"));
    }

    #[test]
    fn other_pages_get_nothing() {
        let host = "host: localhost:6441";
        let with = |more: &str| format!("{host}\n{more}");
        let refused = Err(Refusal::Origin);
        for (method, more, wanted) in [
            (Method::POST, "sec-fetch-site: same-origin\norigin: null", Ok(())),
            (Method::POST, "origin: http://localhost:6441", Ok(())),
            (Method::POST, "", refused),
            (Method::POST, "origin: null", refused),
            (Method::POST, "origin: http://localhost:8080", refused),
            (Method::POST, "origin: https://localhost:6441", refused),
            (Method::POST, "sec-fetch-site: none", refused),
            (Method::POST, "sec-fetch-site: same-site\nsec-fetch-mode: navigate", refused),
            (Method::POST, "sec-fetch-site: cross-site\norigin: http://localhost:6441", refused),
            (Method::GET, "sec-fetch-site: none", Ok(())),
            (Method::GET, "sec-fetch-site: cross-site\nsec-fetch-mode: navigate", Ok(())),
            (Method::GET, "sec-fetch-site: same-site\nsec-fetch-mode: cors", refused),
            (Method::GET, "sec-fetch-site: cross-site\nsec-fetch-mode: no-cors", refused),
            (Method::GET, "origin: http://evil.example", refused),
        ] {
            check_one(&method, &with(more), wanted);
        }
        check_one(&Method::DELETE, host, Err(Refusal::Method));
        check_one(&Method::OPTIONS, &with("origin: http://e.example"), Err(Refusal::Method));
    }
}
