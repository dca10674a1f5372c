//! Texts that others wrote, made fit to be shown: bounded, without what moves a cursor or turns
//! the direction of reading, in two parts where they are long.

/// Characters that are shown at once; more is behind a line that can be opened.
const LEAD: usize = 320;
/// Lines that are shown at once.
const LEAD_LINES: usize = 4;
/// Bytes of a text that are shown at all: a page of messages stays a page.
const LONGEST: usize = 16 * 1024;

/// Replaces what is no character to be read. Escaping for HTML is done by the templates.
pub fn clean(text: &str) -> String {
    let odd = |c: char| {
        // Marks that turn the direction of reading can make one name look like another.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && c != '\n' && c != '\t') || turns
    };
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// Cuts a text after so many bytes, at a character; says whether it did.
pub fn cut(text: &str, most: usize) -> (&str, bool) {
    if text.len() <= most {
        return (text, false);
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], true)
}

/// A text in two parts: what is shown, and what is shown when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Shown at once.
    pub lead: String,
    /// The whole text, where the lead is not all of it.
    pub whole: Option<String>,
}

impl Text {
    /// Makes a text fit to be shown.
    pub fn of(text: &str) -> Self {
        let (kept, is_cut) = cut(text, LONGEST);
        let mut whole = clean(kept);
        if is_cut {
            whole.push_str("\n… cut here; the command line shows all of it");
        }
        let by_line = whole.match_indices('\n').nth(LEAD_LINES - 1).map(|(at, _)| at);
        let by_char = whole.char_indices().nth(LEAD).map(|(at, _)| at);
        match by_line.into_iter().chain(by_char).min() {
            Some(at) => Self { lead: format!("{}…", whole[..at].trim_end()), whole: Some(whole) },
            None => Self { lead: whole, whole: None },
        }
    }
}

/// A URL as it may be shown: without name, password, query and fragment.
pub fn url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // Whatever stands before the last `@` may be a password, which may hold any of `/?#`.
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let bare = if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") };
    clean(cut(&bare, 300).0)
}

/// A commit or a digest, as long as a person can compare: `77c0ffee`.
pub fn short(id: &str) -> String {
    clean(id).chars().take(12).collect()
}

/// `main@sha1:77c0ffee…` in its two parts: the name, and the id whole.
pub fn revision(revision: &str) -> (String, String) {
    match revision.split_once("sha1:").or_else(|| revision.split_once("sha256:")) {
        Some((name, id)) => (clean(name.trim_end_matches('@')), clean(id)),
        None => (String::new(), clean(revision)),
    }
}

/// `1 object`, `3 objects`.
pub fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `1.4 MB`, as storage counts.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=999_999 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_the_reading_is_replaced() {
        assert_eq!(
            clean("a\u{1b}[31mb\u{202e}c\td\n\u{7f}"),
            "a\u{fffd}[31mb\u{fffd}c\td\n\u{fffd}"
        );
    }

    #[test]
    fn long_texts_have_two_parts_and_an_end() {
        assert_eq!(Text::of("short"), Text { lead: "short".to_owned(), whole: None });
        let lines = Text::of("1\n2\n3\n4\n5\n6");
        assert_eq!(lines.lead, "1\n2\n3\n4…");
        assert_eq!(lines.whole.unwrap(), "1\n2\n3\n4\n5\n6");
        let endless = Text::of(&"ä".repeat(1_000_000));
        assert_eq!(endless.lead.chars().count(), LEAD + 1);
        let whole = endless.whole.unwrap();
        assert!(whole.len() < LONGEST + 100 && whole.ends_with("shows all of it"));
    }

    #[test]
    fn urls_are_shown_without_what_is_secret() {
        for (given, shown) in [
            ("https://git.example/shop", "https://git.example/shop"),
            ("https://bob:hunter2@git.example/shop?token=x#y", "https://git.example/shop"),
            ("https://bob:a/b?c@git.example/shop", "https://git.example/shop"),
            ("git@git.example:shop", "git.example:shop"),
        ] {
            assert_eq!(url(given), shown);
        }
    }

    #[test]
    fn revisions_are_read_in_two_parts() {
        let read = |text| revision(text);
        assert_eq!(read("main@sha1:77c0"), ("main".to_owned(), "77c0".to_owned()));
        assert_eq!(read("sha1:77c0"), (String::new(), "77c0".to_owned()));
        assert_eq!(read("odd"), (String::new(), "odd".to_owned()));
        assert_eq!(count(1, "object"), "1 object");
        assert_eq!(bytes(1_440), "1.4 kB");
        assert_eq!(bytes(2_345_678), "2.3 MB");
    }
}
