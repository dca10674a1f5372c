//! Reads `.gitmodules`. Pure.
//!
//! In: the bytes of the file. Out: paths and where each comes from. Only `path` and `url` are
//! looked at: nothing in the file is an instruction (negative suite B2). What Git itself has been
//! fooled with is refused: paths that leave the tree or lead into `.git`, URLs that look like
//! options, line breaks in quotes.

use std::collections::BTreeMap;

use fixpoint_base::Limits;
use fixpoint_source::tree::check_path;

/// Bytes of the file.
pub(super) const MAX_BYTES: u64 = 256 * 1024;

/// Reads the file: URLs as they are written, by path.
///
/// # Errors
/// Why it cannot be used, as one sentence about a line of it.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut inside: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let wrong = |reason: &str| format!("line {} {reason}", at + 1);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let head = head.strip_suffix(']').ok_or_else(|| wrong("is no section"))?;
            inside = name(head).map_err(wrong)?;
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("is no setting"))?;
        let Some(name) = &inside else { continue };
        let section = sections.entry(name.clone()).or_default();
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "path" => &mut section.path,
            "url" => &mut section.url,
            _ => continue,
        };
        if slot.replace(unquoted(value.trim()).map_err(wrong)?).is_some() {
            return Err(wrong("sets the same once more"));
        }
    }
    let mut found = BTreeMap::new();
    for (name, Section { path, url }) in sections {
        let about = |reason: &str| format!("submodule {name:?} {reason}");
        // One that is half declared is of no use to Git either, unless somebody wants it.
        let (Some(path), Some(url)) = (path, url) else { continue };
        check_path(&path, limits).map_err(|problem| about(&format!("has a path: {problem}")))?;
        if url.is_empty() || url.starts_with('-') || url.contains(char::is_control) {
            return Err(about("has a URL that is none"));
        }
        if found.insert(path, url).is_some() {
            return Err(about("has the path of another"));
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Section {
    path: Option<String>,
    url: Option<String>,
}

/// The name in `submodule "name"`; none in a section of another kind.
fn name(head: &str) -> Result<Option<String>, &'static str> {
    let (kind, rest) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
    if !kind.eq_ignore_ascii_case("submodule") {
        return Ok(None);
    }
    let quoted = rest.trim();
    if quoted.len() < 3 || !quoted.starts_with('"') || !quoted.ends_with('"') {
        return Err("names no submodule");
    }
    let name = unquoted(quoted)?;
    // Git keeps a folder of this name.
    if name.split('/').any(|part| part == "..") {
        return Err("has a name that leads out");
    }
    Ok(Some(name))
}

/// A value without quotes, escapes and comments.
fn unquoted(text: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => out.push(escaped),
                _ => return Err("has an escape that no path and no URL needs"),
            },
            '#' | ';' if !quoted => break,
            c if c.is_control() => return Err("has a control character"),
            c => out.push(c),
        }
    }
    if quoted {
        return Err("has a quote that is not closed");
    }
    let end = if text.ends_with('"') { out.len() } else { out.trim_end().len() };
    out.truncate(end);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn read(text: &str) -> String {
        match parse(text.as_bytes(), &Limits::default()) {
            Ok(found) => {
                found.iter().map(|(path, url)| format!("{path}={url}\n")).collect::<String>()
            }
            Err(reason) => reason,
        }
    }

    #[test]
    fn what_git_writes_is_read() {
        let text = r#"
# a comment
[submodule "lib/one"]
	path = lib/one
	url = https://git.example.org/one.git
	branch = main
	update = !evil
[Submodule "two"]
	URL = "../two with space" ; a comment
	path = "two"
[core]
	sshCommand = evil
[submodule "half"]
	path = half
"#;
        expect![[r#"
            lib/one=https://git.example.org/one.git
            two=../two with space
        "#]]
        .assert_eq(&read(text));
        assert_eq!(read(""), "");
    }

    #[test]
    fn what_git_was_fooled_with_is_refused() {
        let module =
            |path: &str, url: &str| format!("[submodule \"a\"]\n\tpath = {path}\n\turl = {url}\n");
        let twice = format!("{}{}", module("p", "u"), module("p", "u").replace("\"a\"", "\"b\""));
        let cases = [
            module("../out", "u"),
            module("/abs", "u"),
            module(".git/hooks", "u"),
            module("a/.GIT", "u"),
            module("a", "-u./payload"),
            module("a", "\"\""),
            module("\"a\\r\"", "u"),
            module("a\u{7}", "u"),
            module("\"a", "u"),
            format!("{}\tpath = b\n", module("a", "u")),
            twice,
            "[submodule \"../a\"]\n".to_owned(),
            "[submodule a]\n".to_owned(),
            "[submodule \"a\"\n".to_owned(),
            "path\n".to_owned(),
        ];
        let said: Vec<String> = cases.iter().map(|case| read(case)).collect();
        expect![[r#"
            submodule "a" has a path: path "../out" is not allowed: it has a . or .. part
            submodule "a" has a path: path "/abs" is not allowed: it is absolute
            submodule "a" has a path: path ".git/hooks" is not allowed: it names a Git directory
            submodule "a" has a path: path "a/.GIT" is not allowed: it names a Git directory
            submodule "a" has a URL that is none
            submodule "a" has a URL that is none
            line 2 has an escape that no path and no URL needs
            line 2 has a control character
            line 2 has a quote that is not closed
            line 4 sets the same once more
            submodule "b" has the path of another
            line 1 has a name that leads out
            line 1 names no submodule
            line 1 is no section
            line 1 is no setting"#]]
        .assert_eq(&said.join("\n"));
        assert_eq!(parse(&[0xff], &Limits::default()).unwrap_err(), "it is not UTF-8");
    }
}
