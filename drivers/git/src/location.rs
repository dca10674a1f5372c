//! Reads URLs of Git repositories.
//!
//! In: the text that somebody declared. Out: a place that this driver can go to, or why not. A
//! URL with credentials in it never gets further than here, and no error repeats them (negative
//! suite B1).

use std::path::{Path, PathBuf};

use fixpoint_source::StoreError;
use reqwest::Url;

/// Longest URL, as browsers and proxies have it.
const MAX_BYTES: usize = 2048;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind `http://` or `https://`, without a slash at the end.
    Http(Url),
    /// Behind `ssh://`.
    Ssh(SshPlace),
    /// In a folder of this machine.
    File(PathBuf),
}

/// A repository on an ssh server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshPlace {
    /// Who to be there.
    pub(crate) user: String,
    /// Name or address, without brackets, in lower case.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// What the server calls the repository; neither quoted nor trusted.
    pub(crate) path: String,
}

/// Who everybody is to servers of Git, where a URL does not say.
const SSH_USER: &str = "git";

/// The port of ssh.
const SSH_PORT: u16 = 22;

/// Reads a URL.
///
/// # Errors
/// When it is malformed, of a scheme that is not spoken, or carries credentials.
pub(crate) fn parse(url: &str) -> Result<Place, StoreError> {
    check_characters(url)?;
    let (scheme, rest) = split_scheme(url)?;
    match scheme.as_str() {
        "http" | "https" => parse_http(url).map(Place::Http),
        "file" => parse_file(url, rest).map(Place::File),
        "ssh" => parse_ssh(url).map(Place::Ssh),
        _ => Err(StoreError::NotAllowed {
            url: shown(url),
            reason: "its scheme is not https, http, ssh or file".to_owned(),
            hint: Some("use an https:// or ssh:// URL".to_owned()),
        }),
    }
}

/// Reads a URL that must be `http://` or `https://`: one declared, or one redirected to.
///
/// # Errors
/// When it is malformed, carries credentials, a fragment or a query.
pub(crate) fn parse_http(url: &str) -> Result<Url, StoreError> {
    let mut parsed = Url::parse(url).map_err(|err| malformed(url, err.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(malformed(url, "it is not an http or https URL"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(malformed(
            url,
            "it carries credentials; put them into a Secret and name it in spec.secretRef",
        ));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(malformed(url, "it has a query or a fragment"));
    }
    let path = parsed.path().trim_end_matches('/').to_owned();
    parsed.set_path(&path);
    Ok(parsed)
}

/// Reads an `ssh://` URL. The user in it is no secret; a password would be.
fn parse_ssh(url: &str) -> Result<SshPlace, StoreError> {
    let parsed = Url::parse(url).map_err(|err| malformed(url, err.to_string()))?;
    if parsed.password().is_some() {
        return Err(malformed(
            url,
            "it carries a password; put a key into a Secret and name it in spec.secretRef",
        ));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(malformed(url, "it has a query or a fragment"));
    }
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()
            .filter(|text| !text.contains(char::is_control))
            .map(String::from)
            .ok_or_else(|| malformed(url, "it is not UTF-8, or has a control character"))
    };
    let user = match decode(parsed.username())? {
        user if user.is_empty() => SSH_USER.to_owned(),
        user => user,
    };
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    if host.is_empty() || host.starts_with('-') || host.contains('%') {
        return Err(malformed(url, "it names no host"));
    }
    let path = decode(parsed.path())?.trim_end_matches('/').to_owned();
    if path.is_empty() {
        return Err(malformed(url, "it names no repository"));
    }
    // As Git has it: a path from somebody's home starts with the tilde.
    let path = path.strip_prefix('/').filter(|path| path.starts_with('~')).unwrap_or(&path);
    let port = parsed.port().unwrap_or(SSH_PORT);
    Ok(SshPlace { user, host, port, path: path.to_owned() })
}

/// The URL as messages may show it: no credentials, no query, no control characters, not endless.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // Whatever stands before the last `@` may be a name or a password, which may hold any of `/?#`.
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let bare = if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") };
    bare.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// A local repository as messages may show it.
pub(crate) fn shown_path(path: &Path) -> String {
    format!("file://{}", path.display()).chars().filter(|c| !c.is_control()).take(300).collect()
}

fn check_characters(url: &str) -> Result<(), StoreError> {
    if url.is_empty() {
        return Err(malformed(url, "it is empty"));
    }
    if url.len() > MAX_BYTES {
        return Err(malformed(url, format!("it is longer than {MAX_BYTES} bytes")));
    }
    if url.starts_with('-') {
        return Err(malformed(url, "it starts with a dash"));
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || "'\"`\\<>|^{}".contains(c);
    if !is_helper(url) && url.contains(odd) {
        return Err(malformed(url, "it has a space, a quote, a backslash or a control character"));
    }
    Ok(())
}

fn split_scheme(url: &str) -> Result<(String, &str), StoreError> {
    if is_helper(url) {
        return Err(StoreError::NotAllowed {
            url: shown(url),
            reason: "it names a transport helper, which runs a program".to_owned(),
            hint: Some("use an https:// URL".to_owned()),
        });
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        return Ok((scheme.to_ascii_lowercase(), rest));
    }
    if url.starts_with(['/', '.', '~']) || !url.contains(':') {
        return Err(StoreError::NotAllowed {
            url: shown(url),
            reason: "it is a bare path".to_owned(),
            hint: Some("write it as file:///folder/of/the/repository".to_owned()),
        });
    }
    // `git@host:path`, as scp has it.
    Err(StoreError::NotAllowed {
        url: shown(url),
        reason: "it is no URL".to_owned(),
        hint: Some("write it as ssh://git@host/path".to_owned()),
    })
}

/// Git reads `word::anything` as a program to run.
fn is_helper(url: &str) -> bool {
    url.split_once("::").is_some_and(|(word, _)| word.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn parse_file(url: &str, rest: &str) -> Result<PathBuf, StoreError> {
    if !rest.starts_with('/') {
        return Err(malformed(url, "a file URL has three slashes: file:///folder"));
    }
    let parsed = Url::parse(url).map_err(|err| malformed(url, err.to_string()))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(malformed(url, "it has a query or a fragment"));
    }
    let path =
        parsed.to_file_path().map_err(|()| malformed(url, "it does not name a local folder"))?;
    if path.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
        return Err(malformed(url, "its path has a control character"));
    }
    Ok(path)
}

fn malformed(url: &str, reason: impl Into<String>) -> StoreError {
    StoreError::Url { url: shown(url), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fixpoint_base::Classified;

    use super::*;

    #[test]
    fn urls() {
        let urls = "\
https://git.example.org/team/app
https://git.example.org:8443/team/app.git/
HTTP://Git.Example.org/app
http://0x7f.1/app
file:///srv/git/app
file:///srv/with%20space
file://host/srv
/srv/git/app
app
-u./payload
--upload-pack=evil
ext::sh -c evil
fd::17/foo
https://user:hunter2@git.example.org/app
https://hunter2@git.example.org/app
https://git.example.org/app?token=hunter2
https://user:hunter2#@git.example.org/app
https://user:hunter2/@git.example.org/app?
https://git.example.org/a b
https://git.example.org/a'b
git@git.example.org:team/app.git
ssh://git@git.example.org/app
ssh://Git.Example.org:2222/team/app.git/
ssh://ann@[::1]:22/~ann/app
ssh://git.example.org/it%27s
ssh://git.example.org/a%0ab
ssh://git.example.org
ssh://git:hunter2@git.example.org/app
ssh://git@git.example.org/app?hunter2
git+ssh://git.example.org/app
ssh://-oProxyCommand=evil/app
git://git.example.org/app
https://";
        let out: Vec<String> = urls
            .lines()
            .map(|url| match parse(url) {
                Ok(Place::Http(url)) => format!("http {url}"),
                Ok(Place::Ssh(SshPlace { user, host, port, path })) => {
                    format!("ssh {user} at {host} {port}: {path}")
                }
                Ok(Place::File(path)) => format!("file {}", path.display()),
                Err(err) => match err.hint() {
                    Some(hint) => format!("{err} [{hint}]"),
                    None => err.to_string(),
                },
            })
            .collect();
        let out = out.join("\n");
        assert!(!out.contains("hunter2"), "{out}");
        expect![[r#"
            http https://git.example.org/team/app
            http https://git.example.org:8443/team/app.git
            http http://git.example.org/app
            http http://127.0.0.1/app
            file /srv/git/app
            file /srv/with space
            URL "file://host/srv" is malformed: a file URL has three slashes: file:///folder
            /srv/git/app is not allowed: it is a bare path [write it as file:///folder/of/the/repository]
            app is not allowed: it is a bare path [write it as file:///folder/of/the/repository]
            URL "-u./payload" is malformed: it starts with a dash
            URL "--upload-pack=evil" is malformed: it starts with a dash
            ext::sh -c evil is not allowed: it names a transport helper, which runs a program [use an https:// URL]
            fd::17/foo is not allowed: it names a transport helper, which runs a program [use an https:// URL]
            URL "https://git.example.org/app" is malformed: it carries credentials; put them into a Secret and name it in spec.secretRef
            URL "https://git.example.org/app" is malformed: it carries credentials; put them into a Secret and name it in spec.secretRef
            URL "https://git.example.org/app" is malformed: it has a query or a fragment
            URL "https://git.example.org/app" is malformed: invalid port number
            URL "https://git.example.org/app" is malformed: invalid port number
            URL "https://git.example.org/a b" is malformed: it has a space, a quote, a backslash or a control character
            URL "https://git.example.org/a'b" is malformed: it has a space, a quote, a backslash or a control character
            git.example.org:team/app.git is not allowed: it is no URL [write it as ssh://git@host/path]
            ssh git at git.example.org 22: /app
            ssh git at git.example.org 2222: /team/app.git
            ssh ann at ::1 22: ~ann/app
            ssh git at git.example.org 22: /it's
            URL "ssh://git.example.org/a%0ab" is malformed: it is not UTF-8, or has a control character
            URL "ssh://git.example.org" is malformed: it names no repository
            URL "ssh://git.example.org/app" is malformed: it carries a password; put a key into a Secret and name it in spec.secretRef
            URL "ssh://git.example.org/app" is malformed: it has a query or a fragment
            git+ssh://git.example.org/app is not allowed: its scheme is not https, http, ssh or file [use an https:// or ssh:// URL]
            URL "ssh://-oProxyCommand=evil/app" is malformed: it names no host
            git://git.example.org/app is not allowed: its scheme is not https, http, ssh or file [use an https:// or ssh:// URL]
            URL "https://" is malformed: empty host"#]].assert_eq(&out);
    }

    #[test]
    fn characters_that_lie_are_refused() {
        for url in ["", "https://a/\nb", "https://a/\u{7f}", "https://a/\tb", "file:///a%0ab"] {
            assert!(matches!(parse(url), Err(StoreError::Url { .. })), "{url:?}");
        }
        assert!(parse(&format!("https://a/{}", "x".repeat(MAX_BYTES))).is_err());
    }
}
