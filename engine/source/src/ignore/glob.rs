//! Matches one part of a path against one part of a pattern.
//!
//! In: the text between two slashes of a pattern, and of a path. Out: whether it matches, as Git
//! has it: `*`, `?`, `[a-z]`, `[!a]`, `[[:digit:]]`, and `\` before what is meant as it is. The
//! time is at most the product of both lengths, whatever a stranger wrote.

/// One part of a pattern, read once.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
enum Token {
    /// Exactly this.
    Text(String),
    /// Any one character.
    One,
    /// Any number of any characters.
    Many,
    /// One character that is, or is not, among these.
    Class { not: bool, items: Vec<Item> },
}

#[derive(Debug, Clone)]
enum Item {
    Range(char, char),
    Named(Named),
}

/// A class with a name, such as `[:digit:]`; of ASCII only, as Git has it.
type Named = fn(&char) -> bool;

fn named(name: &str) -> Option<Named> {
    Some(match name {
        "alnum" => char::is_ascii_alphanumeric,
        "alpha" => char::is_ascii_alphabetic,
        "blank" => |c| matches!(c, ' ' | '\t'),
        "cntrl" => char::is_ascii_control,
        "digit" => char::is_ascii_digit,
        "graph" => char::is_ascii_graphic,
        "lower" => char::is_ascii_lowercase,
        "print" => |c| matches!(c, ' '..='~'),
        "punct" => char::is_ascii_punctuation,
        "space" => |c| matches!(c, ' ' | '\t'..='\r'),
        "upper" => char::is_ascii_uppercase,
        "xdigit" => char::is_ascii_hexdigit,
        _ => return None,
    })
}

impl Glob {
    /// Any text at all.
    pub(super) fn any() -> Self {
        Self { tokens: vec![Token::Many] }
    }

    /// Reads a part of a pattern; `None` where it can match nothing, such as `[a`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' if matches!(tokens.last(), Some(Token::Many)) => {}
                '*' => tokens.push(Token::Many),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (class, after) = class(rest)?;
                    tokens.push(class);
                    rest = after;
                }
                '\\' => {
                    let quoted = rest.chars().next()?;
                    rest = &rest[quoted.len_utf8()..];
                    push(&mut tokens, quoted);
                }
                c => push(&mut tokens, c),
            }
        }
        Some(Self { tokens })
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        // Goes back to the last `*` only: what an earlier one took can stay as it is, since the
        // later one can take the difference.
        let (mut at, mut token) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            let step = match self.tokens.get(token) {
                None if at == text.len() => return true,
                None => None,
                Some(Token::Many) => {
                    star = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(one) => one.takes(&text[at..]),
            };
            match (step, star) {
                (Some(length), _) => {
                    at += length;
                    token += 1;
                }
                (None, Some((after, from))) => {
                    let Some(c) = text[from..].chars().next() else { return false };
                    at = from + c.len_utf8();
                    token = after;
                    star = Some((after, at));
                }
                (None, None) => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes of the text it takes from its start; `None` where it does not match.
    fn takes(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(wanted) => text.starts_with(wanted.as_str()).then_some(wanted.len()),
            Self::One => text.chars().next().map(char::len_utf8),
            Self::Many => Some(0),
            Self::Class { not, items } => {
                let c = text.chars().next()?;
                let among = items.iter().any(|item| match item {
                    Item::Range(low, high) => (*low..=*high).contains(&c),
                    Item::Named(named) => named(&c),
                });
                (among != *not).then_some(c.len_utf8())
            }
        }
    }
}

fn push(tokens: &mut Vec<Token>, c: char) {
    match tokens.last_mut() {
        Some(Token::Text(text)) => text.push(c),
        _ => tokens.push(Token::Text(c.into())),
    }
}

/// Reads a class after its opening bracket; gives what follows its closing one.
fn class(text: &str) -> Option<(Token, &str)> {
    let (not, mut rest) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut items = Vec::new();
    loop {
        if let Some(name) = rest.strip_prefix("[:") {
            let (name, after) = name.split_once(":]")?;
            items.push(Item::Named(named(name)?));
            rest = after;
            continue;
        }
        let (low, quoted, after) = one(rest)?;
        // A bracket that comes first is meant as it is.
        if low == ']' && !quoted && !items.is_empty() {
            return Some((Token::Class { not, items }, after));
        }
        rest = after;
        match rest.strip_prefix('-') {
            Some(after) if !after.starts_with(']') => {
                let (high, _, after) = one(after)?;
                items.push(Item::Range(low, high));
                rest = after;
            }
            _ => items.push(Item::Range(low, low)),
        }
    }
}

/// One character of a class, and whether it was quoted.
fn one(text: &str) -> Option<(char, bool, &str)> {
    let (text, quoted) = match text.strip_prefix('\\') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let c = text.chars().next()?;
    Some((c, quoted, &text[c.len_utf8()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, yes: &str, no: &str) {
        let read = Glob::parse(glob).unwrap();
        for text in yes.split_whitespace() {
            assert!(read.matches(text), "{glob} must match {text}");
        }
        for text in no.split_whitespace() {
            assert!(!read.matches(text), "{glob} must not match {text}");
        }
    }

    #[test]
    fn text_and_stars() {
        check("a.yaml", "a.yaml", "a.yam b.yaml a.yamll");
        check("*.yaml", "a.yaml .yaml a.b.yaml", "a.yml a.yaml.x");
        check("a*b*c", "abc aXbYc abbcc", "ab acb abcd");
        check("?", "a ä", "ab");
        check("**", "a ab", "");
        check(r"\*\?", "*?", "ab");
    }

    #[test]
    fn classes() {
        check("[abc]", "a b", "d ab");
        check("[a-c]x", "ax cx", "dx");
        check("[!a-c]", "d -", "a");
        check("[^a]", "b", "a");
        check("[]a]", "] a", "b");
        check("[a-]", "a -", "b");
        check(r"[\]a]", "] a", "b");
        check("v[[:digit:]][[:alpha:]]", "v1a", "vaa v11");
    }

    #[test]
    fn what_can_match_nothing() {
        for glob in ["[a", "a\\", "[[:no:]]", "[", "[!"] {
            assert!(Glob::parse(glob).is_none(), "{glob}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_the_product() {
        let glob = Glob::parse(&"*a".repeat(500)).unwrap();
        assert!(!glob.matches(&"a".repeat(499)));
        let glob = Glob::parse(&format!("{}b", "a*".repeat(500))).unwrap();
        assert!(!glob.matches(&"a".repeat(1024)));
    }
}
