//! How one string is written: which style, and its characters.
//!
//! In: a string and where it stands. Out: text that reads back as the same string, in the style
//! and with the line breaks that libyaml's emitter chooses.

use crate::resolve::{self, Dialect, Scalar};

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Chooses the style of a string; `key` says that it stands before a `:` on one line.
pub(crate) fn style(text: &str, key: bool) -> Style {
    let facts = Facts::of(text);
    let wanted = if text.contains('\n') {
        Style::Literal
    } else if reads_as_text(text) && !(key && text == "<<") {
        Style::Plain
    } else {
        Style::Double
    };
    match wanted {
        Style::Literal if key || !facts.block => Style::Double,
        Style::Plain if facts.plain => Style::Plain,
        Style::Plain if facts.single => Style::Single,
        Style::Plain => Style::Double,
        wanted => wanted,
    }
}

/// Whether a plain scalar with this text would be a string for every YAML 1.1 reader.
fn reads_as_text(text: &str) -> bool {
    resolve::plain(text, Dialect::Kubernetes) == Scalar::Text && !is_base60(text)
}

/// Numbers such as `1:30`, which YAML 1.1 reads to base 60.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let digit_first = first.starts_with(|c: char| c.is_ascii_digit());
    if !digit_first || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|part| sixty(part))
        && sixty(last)
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// What styles can hold a text.
struct Facts {
    plain: bool,
    single: bool,
    block: bool,
}

impl Facts {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: true, single: true, block: false };
        }
        let mut facts = Self { plain: true, single: true, block: true };
        if text.starts_with("---") || text.starts_with("...") || has_indicator(text) {
            facts.plain = false;
        }
        let (mut after_space, mut after_break) = (false, false);
        for c in text.chars() {
            if !is_printable(c) || (is_break(c) && after_space) {
                return Self { plain: false, single: false, block: false };
            }
            if c == ' ' && after_break {
                facts.plain = false;
                facts.single = false;
            }
            if is_break(c) {
                facts.plain = false;
            }
            after_space = c == ' ';
            after_break = is_break(c);
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            facts.plain = false;
        }
        if text.ends_with(' ') {
            facts.block = false;
        }
        facts
    }
}

/// Whether a text holds something that would be syntax in a plain scalar of a block.
fn has_indicator(text: &str) -> bool {
    let mut before_is_blank = true;
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let blank_follows = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let is_syntax = match c {
            '#' => before_is_blank,
            ':' => blank_follows,
            '?' | '-' => first && blank_follows,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => first,
            _ => false,
        };
        if is_syntax {
            return true;
        }
        before_is_blank = matches!(c, ' ' | '\t' | '\0') || is_break(c);
        first = false;
    }
    false
}

/// What the emitter writes without an escape. Tabs and everything beyond the basic plane are
/// escaped, as go-yaml v2 does.
pub(crate) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

pub(crate) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The escape of a character within double quotes.
pub(crate) fn escape(c: char, out: &mut String) {
    use std::fmt::Write as _;
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            let code = u32::from(c);
            // Writing to a string cannot fail.
            let _ = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(short);
}
