//! Regular expressions as Go reads them.
//!
//! In: the text of a pattern. Out: a regex that matches what Go's `regexp` matches: Perl classes
//! are ASCII, brackets do not nest, and braces that count nothing are plain text.

use regex::{Regex, RegexBuilder};

/// Compiled patterns stay small: a schema may have hundreds.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(text))
        .size_limit(MAX_BYTES)
        .build()
        .map_err(|err| err.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    // Number of characters since the bracket that opened a class.
    let mut class: Option<usize> = None;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let inside = class.is_some();
        match c {
            '\\' => length = escape(rest, inside, &mut out),
            '[' if !inside => {
                out.push('[');
                if rest[1..].starts_with('^') {
                    out.push('^');
                    length = 2;
                }
                class = Some(0);
                rest = &rest[length..];
                continue;
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                length = rest.find(":]").map_or(1, |at| at + 2);
                out.push_str(&rest[..length]);
            }
            '[' | '&' | '~' if inside => {
                out.push('\\');
                out.push(c);
            }
            ']' if class.is_some_and(|since| since > 0) => {
                out.push(']');
                class = None;
            }
            ']' if inside => out.push_str("\\]"),
            '-' if inside && rest.starts_with("--") => out.push_str("\\-"),
            '{' if !inside && !counts(rest) => out.push_str("\\{"),
            c => out.push(c),
        }
        class = class.map(|since| since + 1);
        rest = &rest[length..];
    }
    out
}

/// Writes one escape and returns its length in the source.
fn escape(rest: &str, inside: bool, out: &mut String) -> usize {
    let Some(c) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str("[\\t\\n\\x0c\\r ]"),
        'S' => out.push_str("[^\\t\\n\\x0c\\r ]"),
        'b' if !inside => out.push_str("(?-u:\\b)"),
        '<' | '>' => out.push(c),
        'Q' => {
            let body = &rest[2..];
            let end = body.find("\\E");
            out.push_str(&regex::escape(&body[..end.unwrap_or(body.len())]));
            return 2 + end.map_or(body.len(), |end| end + 2);
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    1 + c.len_utf8()
}

/// Says whether a text starts with `{2}`, `{2,}` or `{2,3}`.
fn counts(text: &str) -> bool {
    let Some((body, _)) = text[1..].split_once('}') else { return false };
    let (from, to) = body.split_once(',').unwrap_or((body, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, text, want) in [
            ("^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$", "1h30m", true),
            ("^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$", "1 hour", false),
            ("^\\d$", "٣", false),
            ("^[\\w-]+$", "a-b_c", true),
            ("^[[]$", "[", true),
            ("^[]]$", "]", true),
            ("^[^]]$", "a", true),
            ("^{a}$", "{a}", true),
            ("^a{2}$", "aa", true),
            ("^[a&&b]$", "&", true),
            ("^\\Qa.b\\E$", "a.b", true),
            ("^[[:alpha:]]+$", "abc", true),
            ("^(http|https|ssh)://.*$", "ssh://git", true),
            ("\\bx\\b", "éx", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), want, "{pattern} on {text}");
        }
        for pattern in ["(", "(?=a)", "\\"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
