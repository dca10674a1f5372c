//! Where a submodule comes from, and whether that is allowed. Pure.
//!
//! In: the URL in `.gitmodules`, that of the repository it is in, and the hosts that somebody
//! allowed. Out: a place, and whether it is on the server of the source: only there do the
//! source's credentials go.

use fixpoint_source::StoreError;

use crate::location::{self, Place, shown};

/// Where submodules may come from.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Where the source is.
    pub(crate) source: Place,
    /// Other hosts that are allowed, each with a port if it is not the usual one.
    pub(crate) hosts: Vec<String>,
}

/// Whose server a place is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// The one that the source is on: the same scheme, host and port.
    Own,
    /// Another, which is allowed and learns nothing of ours.
    Other,
}

/// The URL of a submodule, as Git makes it of the one that is written down.
pub(super) fn resolve(base: &str, written: &str) -> Result<String, StoreError> {
    if !written.starts_with("./") && !written.starts_with("../") {
        return Ok(from_scp(written).unwrap_or_else(|| written.to_owned()));
    }
    let leads_out = || StoreError::Url {
        url: shown(written),
        reason: "as the URL of a submodule, it leads out of the server".to_owned(),
    };
    let (scheme, rest) = base.split_once("://").ok_or_else(leads_out)?;
    let (server, path) = rest.split_once('/').ok_or_else(leads_out)?;
    let mut parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    for part in written.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop().ok_or_else(leads_out)?),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(leads_out());
    }
    Ok(format!("{scheme}://{server}/{}", parts.join("/")))
}

/// `git@host:path`, as scp has it, is what many write here.
fn from_scp(written: &str) -> Option<String> {
    let (server, path) = written.split_once(':')?;
    let plain = !server.is_empty() && !server.contains('/') && !path.starts_with(':');
    (plain && !path.starts_with("//"))
        .then(|| format!("ssh://{server}/{}", path.trim_start_matches('/')))
}

impl Rule {
    /// Whether a place may be gone to.
    ///
    /// # Errors
    /// With what would allow it.
    pub(super) fn judge(&self, url: &str) -> Result<(Place, Server), StoreError> {
        let place = location::parse(url)?;
        let refused = |reason: &str, hint: Option<String>| {
            Err(StoreError::NotAllowed { url: shown(url), reason: reason.to_owned(), hint })
        };
        let (Some(from), Some(to)) = (server(&self.source), server(&place)) else {
            return refused("it is where a submodule comes from, and in a folder", None);
        };
        if from == to {
            return Ok((place, Server::Own));
        }
        if from.0 != "http" && to.0 == "http" {
            return refused("it is where a submodule comes from, and not encrypted", None);
        }
        if !self.allows(&to) {
            let (scheme, host, port) = &to;
            let port = if *port == usual(scheme) { String::new() } else { format!(":{port}") };
            let hint =
                format!("name {host}{port} in the annotation source.fixpoint.dev/submodule-hosts");
            return refused("a submodule comes from there, which is another server", Some(hint));
        }
        if to.0 == "ssh" {
            return refused(
                "a submodule comes from there by ssh, and the key is only for the source's server",
                Some("name the submodule by an https:// URL".to_owned()),
            );
        }
        Ok((place, Server::Other))
    }

    fn allows(&self, (scheme, host, port): &(&str, String, u16)) -> bool {
        let usual = usual(scheme);
        self.hosts.iter().any(|allowed| {
            let allowed = allowed.to_ascii_lowercase();
            (*port == usual && allowed == *host) || allowed == format!("{host}:{port}")
        })
    }
}

/// The port that is not written down.
fn usual(scheme: &str) -> u16 {
    match scheme {
        "http" => 80,
        "ssh" => 22,
        _ => 443,
    }
}

/// Scheme, host and port.
fn server(place: &Place) -> Option<(&'static str, String, u16)> {
    match place {
        Place::File(_) => None,
        Place::Ssh(place) => Some(("ssh", place.host.clone(), place.port)),
        Place::Http(url) => {
            let scheme = if url.scheme() == "https" { "https" } else { "http" };
            Some((scheme, url.host_str()?.to_owned(), url.port_or_known_default()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fixpoint_base::Classified as _;

    use super::*;

    #[test]
    fn urls_are_resolved_as_git_resolves_them() {
        let cases = [
            ("https://h/a/b.git", "../c.git"),
            ("https://h/a/b.git/", "./c"),
            ("https://h:8443/a/b", "../../c"),
            ("ssh://git@h:22/a/b", "../c"),
            ("ssh://h/a", "git@host:team/c.git"),
            ("https://h/a", "https://other/c"),
            ("https://h/a", "../../c"),
            ("https://h/a", "../"),
        ];
        let told = |(base, written): &(&str, &str)| match resolve(base, written) {
            Ok(url) => url,
            Err(err) => err.to_string(),
        };
        let said: Vec<String> = cases.iter().map(told).collect();
        expect![[r#"
            https://h/a/c.git
            https://h/a/b.git/c
            https://h:8443/c
            ssh://git@h:22/a/c
            ssh://git@host/team/c.git
            https://other/c
            URL "../../c" is malformed: as the URL of a submodule, it leads out of the server
            URL "../" is malformed: as the URL of a submodule, it leads out of the server"#]]
        .assert_eq(&said.join("\n"));
    }

    #[test]
    fn only_the_own_server_and_allowed_hosts_are_gone_to() {
        let judge = |source: &str, url: &str| {
            let source = location::parse(source).unwrap();
            let hosts = vec!["friend.example".to_owned(), "odd.example:8443".to_owned()];
            match (Rule { source, hosts }).judge(url) {
                Ok((_, server)) => format!("{server:?}"),
                Err(err) => match err.hint() {
                    Some(hint) => format!("{err} [{hint}]"),
                    None => err.to_string(),
                },
            }
        };
        let mut said = Vec::new();
        for url in [
            "https://h/x",
            "https://h:443/x",
            "https://h:8443/x",
            "ssh://h/x",
            "http://h/x",
            "https://friend.example/x",
            "https://Friend.Example:8443/x",
            "https://odd.example:8443/x",
            "https://odd.example/x",
            "ssh://git@friend.example/x",
            "http://friend.example/x",
            "file:///etc",
            "https://ann:hunter2@h/x",
            "ext::sh -c evil",
        ] {
            said.push(format!("{url}: {}", judge("https://h/a", url)).replace("ann:hunter2@", "…"));
        }
        said.push(format!("ssh: {}", judge("ssh://git@h/a", "ssh://ann@h:22/x")));
        said.push(format!("http: {}", judge("http://h/a", "http://friend.example/x")));
        let said = said.join("\n");
        assert!(!said.contains("hunter2"), "{said}");
        expect![[r#"
            https://h/x: Own
            https://h:443/x: Own
            https://h:8443/x: https://h:8443/x is not allowed: a submodule comes from there, which is another server [name h:8443 in the annotation source.fixpoint.dev/submodule-hosts]
            ssh://h/x: ssh://h/x is not allowed: a submodule comes from there, which is another server [name h in the annotation source.fixpoint.dev/submodule-hosts]
            http://h/x: http://h/x is not allowed: it is where a submodule comes from, and not encrypted
            https://friend.example/x: Other
            https://Friend.Example:8443/x: https://Friend.Example:8443/x is not allowed: a submodule comes from there, which is another server [name friend.example:8443 in the annotation source.fixpoint.dev/submodule-hosts]
            https://odd.example:8443/x: Other
            https://odd.example/x: https://odd.example/x is not allowed: a submodule comes from there, which is another server [name odd.example in the annotation source.fixpoint.dev/submodule-hosts]
            ssh://git@friend.example/x: ssh://friend.example/x is not allowed: a submodule comes from there by ssh, and the key is only for the source's server [name the submodule by an https:// URL]
            http://friend.example/x: http://friend.example/x is not allowed: it is where a submodule comes from, and not encrypted
            file:///etc: file:///etc is not allowed: it is where a submodule comes from, and in a folder
            https://…h/x: URL "https://h/x" is malformed: it carries credentials; put them into a Secret and name it in spec.secretRef
            ext::sh -c evil: ext::sh -c evil is not allowed: it names a transport helper, which runs a program [use an https:// URL]
            ssh: Own
            http: Other"#]].assert_eq(&said);
    }
}
