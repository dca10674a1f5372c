//! Git's protocol, version 2: what is asked, and how the answers are read.
//!
//! Servers that know only what came before are met in `classic`; answers are read alike.
//!
//! In: names or ids that are wanted. Out: requests as bytes, and answers as values. No answer is
//! believed further than it can be checked: ids are, by the bytes that come for them.

use std::io::{self, BufRead};

use fixpoint_source::Name;
use gix_hash::ObjectId;

use crate::classic;
use crate::meter::plain;
use crate::wire::{Lines, Pack, invalid, put, put_delimiter, put_flush};

/// Names that one repository may list.
pub(crate) const MAX_NAMES: usize = 100_000;

/// Lines of one section of an answer that are read; shallow boundaries are the longest.
const MAX_LINES: usize = 1_000_000;

/// Why an answer is none.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It could not be read.
    Io(io::Error),
    /// The server says no.
    Said(String),
    /// It lists more names than are allowed.
    TooManyNames,
    /// It wants something that we do not speak.
    Unsupported(String),
}

impl From<io::Error> for Fault {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

/// What a server can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Capabilities {
    /// It can leave trees and files out.
    pub(crate) filter: bool,
    /// It can send a part of the history.
    pub(crate) shallow: bool,
    /// All its names: a server from before version 2 says them at once.
    pub(crate) names: Option<Vec<Name>>,
}

/// Reads what a server says first.
pub(crate) fn read_capabilities(body: impl BufRead) -> Result<Capabilities, Fault> {
    let mut lines = Lines::new(body);
    let mut first = next_text(&mut lines)?;
    if first.as_deref().is_some_and(|line| line.starts_with("# service=")) {
        while next_text(&mut lines)?.is_some() {}
        first = next_text(&mut lines)?;
    }
    match first.as_deref() {
        Some("version 2") => read_features(&mut lines),
        Some("version 1") => {
            let first = next_text(&mut lines)?;
            classic::read_greeting(first, &mut lines)
        }
        _ => classic::read_greeting(first, &mut lines),
    }
}

fn read_features<R: BufRead>(lines: &mut Lines<R>) -> Result<Capabilities, Fault> {
    let mut found = Capabilities::default();
    for _ in 0..MAX_LINES {
        let Some(line) = next_text(lines)? else {
            return Ok(found);
        };
        if let Some(features) = line.strip_prefix("fetch=") {
            found.filter = features.split(' ').any(|feature| feature == "filter");
            found.shallow = features.split(' ').any(|feature| feature == "shallow");
        }
        if line.strip_prefix("object-format=").is_some_and(|format| format != "sha1") {
            return Err(Fault::Unsupported("a repository with SHA-256 ids".to_owned()));
        }
    }
    Err(Fault::Io(invalid("the server's list of features does not end")))
}

/// Asks for the names that start with a prefix; an empty prefix asks for all.
pub(crate) fn list_names(agent: &str, prefix: &str) -> Vec<u8> {
    let mut out = head("ls-refs", agent);
    put(&mut out, "peel");
    put(&mut out, "symrefs");
    if !prefix.is_empty() {
        put(&mut out, &format!("ref-prefix {prefix}"));
    }
    put_flush(&mut out);
    out
}

/// Reads the answer to [`list_names`].
pub(crate) fn read_names(body: impl BufRead) -> Result<Vec<Name>, Fault> {
    let mut lines = Lines::new(body);
    let mut names = Vec::new();
    while let Some(line) = next_text(&mut lines)? {
        if names.len() >= MAX_NAMES {
            return Err(Fault::TooManyNames);
        }
        names.push(read_name(&line).ok_or_else(|| invalid("the server lists a malformed name"))?);
    }
    Ok(names)
}

fn read_name(line: &str) -> Option<Name> {
    let mut words = line.split(' ');
    let target = id(words.next()?)?.to_string();
    let full = words.next().filter(|name| !name.is_empty())?.to_owned();
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    let peeled = match peeled {
        Some(text) => Some(id(text)?.to_string()),
        None => None,
    };
    Some(Name { full, target, peeled })
}

/// What to fetch.
#[derive(Debug)]
pub(crate) struct Want<'a> {
    /// Commits wanted.
    pub(crate) ids: &'a [ObjectId],
    /// How many commits of the history of each; all when the server cannot send a part.
    pub(crate) depth: Option<u32>,
    /// Leave trees and files out.
    pub(crate) commits_only: bool,
    /// Commits that are here.
    pub(crate) haves: &'a [ObjectId],
    /// Commits whose parents are not here.
    pub(crate) shallow: &'a [ObjectId],
}

/// Asks for commits.
pub(crate) fn fetch(agent: &str, want: &Want<'_>) -> Vec<u8> {
    let mut out = head("fetch", agent);
    put(&mut out, "no-progress");
    put(&mut out, "ofs-delta");
    // Without it, a server leaves nothing out for a shallow history, whatever is here.
    if !want.haves.is_empty() {
        put(&mut out, "thin-pack");
    }
    for id in want.ids {
        put(&mut out, &format!("want {id}"));
    }
    for id in want.shallow {
        put(&mut out, &format!("shallow {id}"));
    }
    if let Some(depth) = want.depth {
        put(&mut out, &format!("deepen {depth}"));
    }
    if want.commits_only {
        put(&mut out, "filter tree:0");
    }
    for id in want.haves {
        put(&mut out, &format!("have {id}"));
    }
    put(&mut out, "done");
    put_flush(&mut out);
    out
}

/// How the boundary of the history moved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// Commits whose parents do not come.
    pub(crate) shallow: Vec<ObjectId>,
    /// Commits whose parents come now.
    pub(crate) unshallow: Vec<ObjectId>,
}

/// Reads the answer to [`fetch`] up to the pack, and hands out the pack.
pub(crate) fn read_fetch<R: BufRead>(body: R) -> Result<(Boundary, Pack<R>), Fault> {
    read_until_pack(body, |line| line == "packfile")
}

/// Reads the answer to [`classic::fetch`]: there the pack follows the one acknowledgement.
pub(crate) fn read_classic_fetch<R: BufRead>(body: R) -> Result<(Boundary, Pack<R>), Fault> {
    read_until_pack(body, |line| line == "NAK" || line.starts_with("ACK "))
}

fn read_until_pack<R: BufRead>(
    body: R,
    is_last: impl Fn(&str) -> bool,
) -> Result<(Boundary, Pack<R>), Fault> {
    let mut lines = Lines::new(body);
    let mut boundary = Boundary::default();
    let malformed = || invalid("the answer has a malformed line");
    for _ in 0..MAX_LINES {
        // Sections end with a delimiter, before version 2 with a flush.
        let Some(line) = next_text(&mut lines)? else {
            continue;
        };
        if is_last(&line) {
            return Ok((boundary, Pack::new(lines)));
        }
        match line.split_once(' ') {
            Some(("shallow", text)) => boundary.shallow.push(id(text).ok_or_else(malformed)?),
            Some(("unshallow", text)) => boundary.unshallow.push(id(text).ok_or_else(malformed)?),
            // Headings, acknowledgements: nothing that we would act on.
            _ => {}
        }
    }
    Err(invalid("the answer's boundary does not end").into())
}

fn head(command: &str, agent: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, &format!("command={command}"));
    put(&mut out, &format!("agent={}", agent_word(agent)));
    put(&mut out, "object-format=sha1");
    put_delimiter(&mut out);
    out
}

/// The protocol takes printable characters without spaces.
pub(crate) fn agent_word(agent: &str) -> String {
    agent.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(100).collect()
}

/// The next line; `None` at the end of the message.
pub(crate) fn next_text<R: BufRead>(lines: &mut Lines<R>) -> Result<Option<String>, Fault> {
    let line = lines.next()?.text();
    match line.as_deref().and_then(|line| line.strip_prefix("ERR ")) {
        Some(reason) => Err(Fault::Said(plain(reason, 200))),
        None => Ok(line),
    }
}

/// Reads an id.
pub(crate) fn id(text: &str) -> Option<ObjectId> {
    ObjectId::from_hex(text.as_bytes()).ok().filter(|id| id.kind() == gix_hash::Kind::Sha1)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use expect_test::expect;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// Lines of text as packet lines; `--` is a delimiter, `==` a flush.
    fn packets(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for line in text.lines() {
            match line {
                "--" => put_delimiter(&mut out),
                "==" => put_flush(&mut out),
                line => put(&mut out, line),
            }
        }
        out
    }

    #[test]
    fn capabilities() {
        let read = |text: &str| read_capabilities(packets(text).as_slice());
        let v2 = "version 2\nagent=x\nls-refs=unborn\nfetch=shallow filter\nobject-format=sha1\n==";
        let all = Capabilities { filter: true, shallow: true, names: None };
        assert_eq!(read(v2).unwrap(), all);
        assert_eq!(read(&format!("# service=git-upload-pack\n==\n{v2}")).unwrap(), all);
        assert_eq!(read("version 2\n==").unwrap(), Capabilities::default());
        assert!(matches!(read("version 2\nobject-format=sha256\n=="), Err(Fault::Unsupported(_))));
        assert!(matches!(read("version 2"), Err(Fault::Io(_))));
    }

    #[test]
    fn names() {
        let text = format!(
            "{A} HEAD symref-target:refs/heads/main\n{A} refs/heads/main\n{B} refs/tags/v1 peeled:{A}\n=="
        );
        let names = read_names(packets(&text).as_slice()).unwrap();
        let text: Vec<String> =
            names.iter().map(|name| format!("{} {:?}", name.full, name.peeled)).collect();
        assert_eq!(text[0], "HEAD None");
        assert_eq!(text[2], format!("refs/tags/v1 Some({A:?})"));
        for bad in ["x refs/heads/main\n==", "aaaa refs/heads/x\n==", A] {
            assert!(read_names(packets(bad).as_slice()).is_err(), "{bad}");
        }
        let no = read_names(packets("ERR access denied\n==").as_slice());
        assert!(matches!(no, Err(Fault::Said(reason)) if reason == "access denied"));
    }

    #[test]
    fn requests() {
        let a = id(A).unwrap();
        let want =
            Want { ids: &[a], depth: Some(1), commits_only: true, haves: &[a], shallow: &[a] };
        let mut out = fetch("fixpoint/0.1 (x)", &want);
        out.extend(list_names("fixpoint", "refs/heads/main"));
        expect![[r#"
            0012command=fetch
            001bagent=fixpoint/0.1-(x)
            0017object-format=sha1
            00010010no-progress
            000eofs-delta
            000ethin-pack
            0032want aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            0035shallow aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            000ddeepen 1
            0012filter tree:0
            0032have aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            0009done
            00000014command=ls-refs
            0013agent=fixpoint
            0017object-format=sha1
            00010009peel
            000csymrefs
            001fref-prefix refs/heads/main
            0000"#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn fetches() {
        let mut bytes = packets(&format!("shallow-info\nshallow {A}\nunshallow {B}\n--\npackfile"));
        bytes.extend(b"0009\x01PACK0000");
        let (boundary, mut pack) = read_fetch(bytes.as_slice()).unwrap();
        assert_eq!(
            boundary,
            Boundary { shallow: vec![id(A).unwrap()], unshallow: vec![id(B).unwrap()] }
        );
        let mut out = Vec::new();
        pack.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"PACK");
        let no = packets(&format!("ERR upload-pack: not our ref {A}\n=="));
        assert!(matches!(read_fetch(no.as_slice()), Err(Fault::Said(_))));
        assert!(read_fetch(packets("shallow-info\n==").as_slice()).is_err());
    }
}
