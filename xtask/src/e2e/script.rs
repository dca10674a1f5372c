//! Scripts of commands and what they must print.
//!
//! In: text. Out: steps. One step is
//!
//! ```text
//! $ get namespaces            a command; `$!` must fail, `$&` runs beside the ones after it
//! | kind: Namespace           its input, line by line
//! > default                   must be in its output; `>!` must not
//! ```
//!
//! Lines that start with `#` and empty lines are passed over.

use std::fmt;

use anyhow::{Context as _, Result, bail};

/// How a command must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With success.
    Well,
    /// With a failure.
    Badly,
    /// When it is stopped: it runs beside the steps after it, until it has printed what it must.
    WhenStopped,
}

/// A command and what it must print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line it is written in.
    pub line: usize,
    /// Its arguments.
    pub args: Vec<String>,
    /// How it must end.
    pub ends: Ends,
    /// What it reads.
    pub input: String,
    /// What it must print.
    pub wanted: Vec<String>,
    /// What it must not print.
    pub unwanted: Vec<String>,
}

impl Step {
    /// Why the output is not what it should be; `None` where it is.
    pub fn objection(&self, output: &str) -> Option<String> {
        let missing = self.wanted.iter().find(|text| !output.contains(text.as_str()));
        if let Some(text) = missing {
            return Some(format!("`{text}` is missing in:\n{output}"));
        }
        let found = self.unwanted.iter().find(|text| output.contains(text.as_str()))?;
        Some(format!("`{found}` is in:\n{output}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: kubectl {}", self.line, self.args.join(" "))
    }
}

/// Reads a script.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = vec![];
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix('$') {
            let (ends, rest) = match rest.as_bytes().first() {
                Some(b'!') => (Ends::Badly, &rest[1..]),
                Some(b'&') => (Ends::WhenStopped, &rest[1..]),
                _ => (Ends::Well, rest),
            };
            let args = words(rest).with_context(|| format!("in line {line_number}"))?;
            let (input, wanted, unwanted) = (String::new(), vec![], vec![]);
            steps.push(Step { line: line_number, args, ends, input, wanted, unwanted });
            continue;
        }
        let Some(step) = steps.last_mut() else {
            bail!("line {line_number} comes before the first command");
        };
        if let Some(text) = line.strip_prefix(">!") {
            step.unwanted.push(text.trim().to_owned());
        } else if let Some(text) = line.strip_prefix('>') {
            step.wanted.push(text.trim().to_owned());
        } else if let Some(text) = line.strip_prefix('|') {
            step.input.push_str(text.strip_prefix(' ').unwrap_or(text));
            step.input.push('\n');
        } else {
            bail!("line {line_number} is no command, input or output");
        }
    }
    Ok(steps)
}

/// Splits a command at spaces, except inside single or double quotes.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read() {
        let steps = parse(
            "# a comment\n$ apply -f -\n| kind: A\n|   b: 1\n> created\n>! error\n\n\
             $! patch x -p '{\"a\": \"b c\"}' ''\n$& get -w\n",
        )
        .unwrap();
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[0].input, "kind: A\n  b: 1\n");
        assert_eq!((steps[0].line, steps[0].ends), (2, Ends::Well));
        assert_eq!(steps[1].args, ["patch", "x", "-p", "{\"a\": \"b c\"}", ""]);
        assert_eq!(steps[1].ends, Ends::Badly);
        assert_eq!(steps[2].ends, Ends::WhenStopped);
        assert_eq!(steps[0].objection("a created"), None);
        assert_eq!(steps[0].objection("x").unwrap(), "`created` is missing in:\nx");
        assert_eq!(steps[0].objection("created error").unwrap(), "`error` is in:\ncreated error");
    }

    #[test]
    fn other_texts_are_no_scripts() {
        for text in ["> x", "$ a 'b", "$ a\nb"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_script_of_the_spine_can_be_read() {
        let steps = parse(include_str!("spine.kubectl")).unwrap();
        assert!(steps.len() >= 40, "{} commands", steps.len());
        assert!(steps.iter().all(|step| !step.args.is_empty()));
    }
}
