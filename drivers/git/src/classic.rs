//! Git's protocol before version 2, for servers that know no other.
//!
//! In: the lines that such a server says first. Out: its names and features, and requests in the
//! form that it understands. All names come at once, whatever was asked for.

use std::io::BufRead;

use fixpoint_source::Name;

use crate::protocol::{Capabilities, Fault, MAX_NAMES, Want, agent_word, id, next_text};
use crate::wire::{Lines, invalid, put, put_flush};

/// Reads the names and features; `first` is the first line.
pub(crate) fn read_greeting<R: BufRead>(
    first: Option<String>,
    lines: &mut Lines<R>,
) -> Result<Capabilities, Fault> {
    let malformed = || Fault::Io(invalid("the server lists a malformed name"));
    // An empty repository: some servers say nothing at all.
    let Some(first) = first else {
        return Ok(Capabilities { names: Some(Vec::new()), ..Capabilities::default() });
    };
    // Features follow the first name, behind a NUL byte.
    let (name, features) = first.split_once('\0').ok_or_else(malformed)?;
    let has = |wanted: &str| features.split(' ').any(|feature| feature == wanted);
    if features.split(' ').any(|f| f.starts_with("object-format=") && f != "object-format=sha1") {
        return Err(Fault::Unsupported("a repository with SHA-256 ids".to_owned()));
    }
    if !has("side-band-64k") {
        return Err(Fault::Unsupported("a Git server without side bands".to_owned()));
    }
    let (filter, shallow) = (has("filter"), has("shallow"));
    let mut names: Vec<Name> = Vec::new();
    let mut line = Some(name.to_owned());
    while let Some(text) = line {
        if names.len() >= MAX_NAMES {
            return Err(Fault::TooManyNames);
        }
        add_name(&mut names, &text).ok_or_else(malformed)?;
        line = next_text(lines)?;
    }
    Ok(Capabilities { filter, shallow, names: Some(names) })
}

/// Adds a name, or to the last name what is behind it.
fn add_name(names: &mut Vec<Name>, line: &str) -> Option<()> {
    let (target, full) = line.split_once(' ')?;
    // The server's own boundary, and the placeholder of an empty repository.
    if target == "shallow" || full == "capabilities^{}" {
        return Some(());
    }
    let target = id(target)?.to_string();
    match full.strip_suffix("^{}") {
        Some(full) => names.last_mut().filter(|last| last.full == full)?.peeled = Some(target),
        None => names.push(Name { full: full.to_owned(), target, peeled: None }),
    }
    Some(())
}

/// Asks for commits.
pub(crate) fn fetch(agent: &str, want: &Want<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let filter = if want.commits_only { " filter" } else { "" };
    let thin = if want.haves.is_empty() { "" } else { " thin-pack" };
    let features =
        format!(" side-band-64k ofs-delta no-progress{thin}{filter} agent={}", agent_word(agent));
    for (n, id) in want.ids.iter().enumerate() {
        let features = if n == 0 { features.as_str() } else { "" };
        put(&mut out, &format!("want {id}{features}"));
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
    put_flush(&mut out);
    for id in want.haves {
        put(&mut out, &format!("have {id}"));
    }
    put(&mut out, "done");
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn read(text: &str) -> Result<Capabilities, Fault> {
        let mut bytes = Vec::new();
        text.lines().for_each(|line| put(&mut bytes, line));
        put_flush(&mut bytes);
        crate::protocol::read_capabilities(bytes.as_slice())
    }

    #[test]
    fn greetings() {
        let text = format!(
            "{A} HEAD\0side-band-64k shallow agent=x\n{A} refs/heads/main\n{B} refs/tags/v1\n\
             {A} refs/tags/v1^{{}}\nshallow {A}"
        );
        let found = read(&text).unwrap();
        assert!(found.shallow && !found.filter);
        let names: Vec<String> = found
            .names
            .unwrap()
            .into_iter()
            .map(|name| format!("{} {}", name.full, name.peeled.is_some()))
            .collect();
        assert_eq!(names, ["HEAD false", "refs/heads/main false", "refs/tags/v1 true"]);
        let zeros = "0".repeat(40);
        let empty = read(&format!("{zeros} capabilities^{{}}\0side-band-64k")).unwrap();
        assert_eq!(empty.names, Some(Vec::new()));
        assert_eq!(read("").unwrap().names, Some(Vec::new()));
    }

    #[test]
    fn greetings_that_lie_are_refused() {
        for text in [
            format!("{A} HEAD"),
            "x HEAD\0side-band-64k".to_owned(),
            format!("{A} refs/heads/a\0side-band-64k\n{A} refs/tags/v1^{{}}"),
            format!("{A} HEAD\0shallow"),
            format!("{A} HEAD\0side-band-64k object-format=sha256"),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn requests() {
        let (a, b) = (id(A).unwrap(), id(B).unwrap());
        let want =
            Want { ids: &[a, b], depth: Some(1), commits_only: false, haves: &[a], shallow: &[a] };
        expect![[r#"
            006fwant aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa side-band-64k ofs-delta no-progress thin-pack agent=fixpoint
            0032want bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
            0035shallow aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            000ddeepen 1
            00000032have aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            0009done
        "#]].assert_eq(&String::from_utf8(fetch("fixpoint", &want)).unwrap());
    }
}
