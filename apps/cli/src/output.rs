//! What commands print: tables for people, JSON, YAML and names for programs.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

use crate::report::clean;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `kind/name` lines.
    Name,
}

/// How to print what is no object, and so has no name to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Shape {
    /// Text for people.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl From<Shape> for Format {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Table => Self::Table,
            Shape::Json => Self::Json,
            Shape::Yaml => Self::Yaml,
        }
    }
}

/// Whether standard output is a terminal that shows colour.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints a line to standard output. A reader that went away ends the program quietly.
pub fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", text.as_ref()).is_err() {
        std::process::exit(0);
    }
}

/// Prints one value as a program wants it.
pub fn value(format: impl Into<Format>, value: &Value) -> Result<()> {
    match format.into() {
        Format::Json | Format::Table | Format::Name => {
            line(escaped(&serde_json::to_string_pretty(value)?));
        }
        Format::Yaml => line(fixpoint_yaml::to_string(value).trim_end()),
    }
    Ok(())
}

/// JSON with the control characters that it may hold raw (DEL and C1, which move the cursor of
/// some terminals) escaped.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Prints objects as a program wants them: one as itself, several as a List.
pub fn objects(format: Format, objects: &[Value]) -> Result<()> {
    if format == Format::Name {
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            line(format!("{kind}/{}", fixpoint_base::object::name(object).unwrap_or_default()));
        }
        return Ok(());
    }
    match objects {
        [one] => value(format, one),
        many => value(format, &json!({"apiVersion": "v1", "kind": "List", "items": many})),
    }
}

/// Prints a table with kubectl's look: upper-case heads, columns apart by spaces, nothing cut.
pub fn table(heads: &[&str], rows: &[Vec<String>]) {
    let heads = heads.iter().map(|head| head.to_uppercase()).collect();
    let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows.iter().map(clean)).collect();
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().map(|cells| width(&cells[at])).max().unwrap_or(0))
        .collect();
    for cells in &lines {
        let mut text = String::new();
        for (cell, widest) in cells.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(widest - width(cell) + 3));
        }
        line(text.trim_end());
    }
}

/// A cell may carry our own colours, and nothing else that a terminal acts on.
fn one_line(cell: &str) -> String {
    match cell.strip_prefix("\u{1b}[").and_then(|rest| rest.strip_suffix("\u{1b}[0m")) {
        Some(painted) => match painted.split_once('m') {
            Some((code, word)) => {
                format!("\u{1b}[{code}m{}\u{1b}[0m", clean(word).replace('\n', " "))
            }
            None => clean(cell).replace('\n', " "),
        },
        None => clean(cell).replace('\n', " "),
    }
}

/// Characters that show.
fn width(cell: &str) -> usize {
    let mut shown = 0;
    let mut escaped = false;
    for c in cell.chars() {
        match c {
            '\u{1b}' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => shown += 1,
        }
    }
    shown
}

/// Paints a word: green for good, yellow for waiting, red for bad.
pub fn paint(word: &str, tone: Tone) -> String {
    if !colour() {
        return word.to_owned();
    }
    let code = match tone {
        Tone::Good => 32,
        Tone::Waiting => 33,
        Tone::Bad => 31,
        Tone::Quiet => 2,
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}

/// What a word means for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Waiting,
    /// Somebody should look.
    Bad,
    /// Less important than the rest.
    Quiet,
}

/// A duration for a person: `840 ms`, `1.2 s`, `3 min`.
pub fn took(duration: std::time::Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 1000.0 {
        format!("{millis:.0} ms")
    } else if millis < 100_000.0 {
        format!("{:.1} s", millis / 1000.0)
    } else {
        format!("{:.0} min", millis / 60_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_no_width_and_nothing_else_gets_through() {
        assert_eq!(width("\u{1b}[32mTrue\u{1b}[0m"), 4);
        assert_eq!(one_line("\u{1b}[32mTrue\u{1b}[0m"), "\u{1b}[32mTrue\u{1b}[0m");
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
    }
}
