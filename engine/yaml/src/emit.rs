//! From values to text.
//!
//! In: JSON values. Out: the bytes that `sigs.k8s.io/yaml` writes for them, which is what
//! `kubectl` and `kustomize build` print: two spaces, lists not indented below their key, plain
//! and quoted text folded after column 80. The same value always gives the same text.

use serde_json::{Number, Value};

use crate::order;
use crate::scalar::{self, Style};

/// Writes a value as one document, with a line break at its end.
///
/// ```
/// let text = fixpoint_yaml::to_string(&serde_json::json!({"b": "yes", "a": [1, "x: y"]}));
/// assert_eq!(text, "a:\n- 1\n- 'x: y'\nb: \"yes\"\n");
/// ```
pub fn to_string(value: &Value) -> String {
    let mut emitter = Emitter::default();
    emitter.node(value, Place::Root, -1);
    if emitter.column > 0 {
        emitter.line_break();
    }
    emitter.out
}

/// Writes values as a stream of documents with `---` between them.
pub fn join<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut out = String::new();
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            out.push_str("---\n");
        }
        out.push_str(&to_string(value));
    }
    out
}

/// Text is folded at the first space after this column.
const WIDTH: usize = 80;

/// Keys longer than this are written with a leading `?`.
const SIMPLE_KEY: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Item,
    Value,
}

/// The state of libyaml's emitter, as far as block style needs it.
struct Emitter {
    out: String,
    column: usize,
    /// The last character leaves room for an indicator.
    whitespace: bool,
    /// So far the line holds indentation and indicators only.
    indention: bool,
}

impl Default for Emitter {
    fn default() -> Self {
        Self { out: String::new(), column: 0, whitespace: true, indention: true }
    }
}

impl Emitter {
    fn node(&mut self, value: &Value, place: Place, indent: isize) {
        match value {
            Value::Null => self.word("null"),
            Value::Bool(true) => self.word("true"),
            Value::Bool(false) => self.word("false"),
            Value::Number(number) => self.word(&number_text(number)),
            Value::String(text) => self.string(text, false, indent),
            Value::Array(items) if items.is_empty() => self.word("[]"),
            Value::Object(fields) if fields.is_empty() => self.word("{}"),
            Value::Array(items) => {
                let indentless = place == Place::Value && !self.indention;
                let indent = if indentless { indent } else { deeper(indent) };
                for item in items {
                    self.indent(indent);
                    self.indicator('-', true, true);
                    self.node(item, Place::Item, indent);
                }
            }
            Value::Object(fields) => {
                let indent = deeper(indent);
                let mut keys: Vec<(&str, &Value)> =
                    fields.iter().map(|(key, value)| (key.as_str(), value)).collect();
                order::sort(&mut keys);
                for (key, value) in keys {
                    self.field(key, value, indent);
                }
            }
        }
    }

    fn field(&mut self, key: &str, value: &Value, indent: isize) {
        self.indent(indent);
        if key.len() <= SIMPLE_KEY && !key.contains(scalar::is_break) {
            self.string(key, true, indent);
            self.indicator(':', false, false);
        } else {
            self.indicator('?', true, true);
            self.string(key, false, indent);
            self.indent(indent);
            self.indicator(':', true, true);
        }
        self.node(value, Place::Value, indent);
    }

    fn string(&mut self, text: &str, key: bool, indent: isize) {
        // Continuation lines of a scalar are indented even where the scalar is the document.
        let indent = (indent + 2).max(2);
        match scalar::style(text, key) {
            Style::Plain => self.plain(text, !key, indent),
            Style::Single => self.single(text, !key, indent),
            Style::Double => self.double(text, !key, indent),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn word(&mut self, text: &str) {
        self.space();
        self.write_all(text);
        self.whitespace = false;
        self.indention = false;
    }

    fn plain(&mut self, text: &str, fold: bool, indent: isize) {
        self.space();
        if self.column + text.len() <= WIDTH || !fold {
            self.write_all(text);
        } else {
            self.folded(text, indent, false);
        }
        self.whitespace = false;
        self.indention = false;
    }

    /// Only texts without line breaks that are printed as a break come here: those with `\n`
    /// are literal or double-quoted. The rarer breaks are written as they are.
    fn single(&mut self, text: &str, fold: bool, indent: isize) {
        self.indicator('\'', true, false);
        let doubled = text.replace('\'', "''");
        if fold {
            self.folded(&doubled, indent, true);
        } else {
            self.write_all(&doubled);
        }
        self.indicator('\'', false, false);
    }

    /// Writes text, breaking the line at single spaces beyond the width.
    fn folded(&mut self, text: &str, indent: isize, inner_only: bool) {
        let (mut in_spaces, mut in_breaks) = (false, false);
        let end = text.len();
        for (at, c) in text.char_indices() {
            if c == ' ' {
                let edge = inner_only && (at == 0 || at + 1 == end);
                let more = text[at + 1..].starts_with(' ');
                if !in_spaces && !edge && !more && self.column > WIDTH {
                    self.indent(indent);
                } else {
                    self.write(c);
                }
                in_spaces = true;
            } else if scalar::is_break(c) {
                self.write_break(c);
                self.indention = true;
                in_breaks = true;
            } else {
                if in_breaks {
                    self.indent(indent);
                }
                self.write(c);
                self.indention = false;
                (in_spaces, in_breaks) = (false, false);
            }
        }
    }

    fn double(&mut self, text: &str, fold: bool, indent: isize) {
        self.indicator('"', true, false);
        let mut in_spaces = false;
        let mut escaped = String::new();
        // go-yaml tests for the mark at the start of the text whatever character it is at.
        let all = text.starts_with('\u{feff}');
        for (at, c) in text.char_indices() {
            let special = all || !scalar::is_printable(c) || scalar::is_break(c);
            if special || matches!(c, '"' | '\\') {
                escaped.clear();
                scalar::escape(c, &mut escaped);
                self.write_all(&escaped);
                in_spaces = false;
            } else if c == ' ' {
                let edge = at == 0 || at + 1 == text.len();
                if fold && !in_spaces && !edge && self.column > WIDTH {
                    self.indent(indent);
                    if text[at + 1..].starts_with(' ') {
                        self.write('\\');
                    }
                } else {
                    self.write(c);
                }
                in_spaces = true;
            } else {
                self.write(c);
                in_spaces = false;
            }
        }
        self.indicator('"', false, false);
    }

    fn literal(&mut self, text: &str, indent: isize) {
        self.indicator('|', true, false);
        if text.starts_with(|c| c == ' ' || scalar::is_break(c)) {
            self.indicator('2', false, false);
        }
        let mut from_end = text.chars().rev().map(scalar::is_break);
        match (from_end.next(), from_end.next()) {
            (Some(true), Some(false)) => {}
            (Some(true), _) => self.indicator('+', false, false),
            _ => self.indicator('-', false, false),
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut at_line_start = true;
        for line in text.split_inclusive(scalar::is_break) {
            let body = line.trim_end_matches(scalar::is_break);
            if !body.is_empty() {
                if at_line_start {
                    self.indent(indent);
                }
                self.write_all(body);
                self.indention = false;
            }
            at_line_start = false;
            for c in line[body.len()..].chars() {
                self.write_break(c);
                self.indention = true;
                at_line_start = true;
            }
        }
    }

    fn indent(&mut self, indent: isize) {
        let indent = usize::try_from(indent).unwrap_or(0);
        let fits = self.column < indent || (self.column == indent && self.whitespace);
        if !self.indention || !fits {
            self.line_break();
        }
        while self.column < indent {
            self.write(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, indicator: char, needs_space: bool, keeps_indention: bool) {
        if needs_space {
            self.space();
        }
        self.write(indicator);
        self.whitespace = false;
        self.indention &= keeps_indention;
    }

    fn space(&mut self) {
        if !self.whitespace {
            self.write(' ');
        }
    }

    fn write(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn write_all(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += if text.is_ascii() { text.len() } else { text.chars().count() };
    }

    fn write_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn line_break(&mut self) {
        self.write_break('\n');
    }
}

const fn deeper(indent: isize) -> isize {
    if indent < 0 { 0 } else { indent + 2 }
}

/// A number as it comes out of Go's JSON encoder, go-yaml's decoder and go-yaml's encoder.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    }
}

/// Go's shortest `%g`: an exponent below 1e-4 and from 1e6 on, at least two digits long.
fn float_text(float: f64) -> String {
    if let Some(Value::Number(number)) = crate::resolve::json_float(float)
        && !number.is_f64()
    {
        return number.to_string();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..GO_EXPONENT).contains(&exponent) {
        return format!("{float}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// From this power of ten on, Go's shortest `%g` writes an exponent.
const GO_EXPONENT: i32 = 6;
