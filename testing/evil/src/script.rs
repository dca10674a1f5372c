//! Which requests go wrong, and how: as text.
//!
//! In: a script. Out: for each request the fault that it meets, and what was really played. A rule
//! counts the requests that fit it, so the same requests meet the same faults; a scenario asks at
//! its end whether each rule was played, for a fault that never came proves nothing.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::fault::Fault;

/// A request, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `GET`, `PATCH` and so on.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
}

impl Asked<'_> {
    /// Whether this asks to be told of changes.
    pub fn is_watch(&self) -> bool {
        self.method == "GET"
            && self.query.split('&').any(|pair| pair.starts_with("watch="))
            && !self.query.contains("watch=false")
    }

    /// Whether this may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// `METHOD PATH WHICH: FAULT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    text: String,
    method: String,
    path: String,
    query: Option<String>,
    which: Which,
    fault: Fault,
}

/// Which of the requests that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// From one to another, both included, counted from one.
    From(usize, usize),
    /// Each so manieth.
    Every(usize),
}

impl Which {
    fn takes(self, nth: usize) -> bool {
        match self {
            Self::From(first, last) => (first..=last).contains(&nth),
            Self::Every(step) => nth.is_multiple_of(step),
        }
    }
}

impl FromStr for Which {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| -> Result<usize> {
            let number = text.parse().with_context(|| format!("{text} is no number"))?;
            ensure!(number > 0, "requests are counted from one");
            Ok(number)
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["always"] => Self::From(1, usize::MAX),
            ["nth", n] => Self::From(number(n)?, number(n)?),
            ["first", n] => Self::From(1, number(n)?),
            ["from", first] => Self::From(number(first)?, usize::MAX),
            ["from", first, "to", last] => Self::From(number(first)?, number(last)?),
            ["every", n] => Self::Every(number(n)?),
            _ => bail!("{text:?} is none of always, nth N, first N, from N [to N], every N"),
        })
    }
}

impl FromStr for Rule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (call, fault) = text.split_once(": ").context("write METHOD PATH WHICH: FAULT")?;
        let mut words = call.split_whitespace();
        let method = words.next().context("there is no method")?.to_owned();
        let place = words.next().context("there is no path")?;
        let which: Vec<&str> = words.collect();
        const METHODS: [&str; 8] =
            ["ANY", "READ", "WRITE", "WATCH", "GET", "POST", "PATCH", "DELETE"];
        ensure!(METHODS.contains(&method.as_str()), "{method} is none of {}", METHODS.join(", "));
        let (path, query) = match place.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (place, None),
        };
        Ok(Self {
            text: text.to_owned(),
            method,
            path: path.to_owned(),
            query,
            which: which.join(" ").parse()?,
            fault: fault.parse()?,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Rule {
    fn fits(&self, asked: Asked<'_>) -> bool {
        let method = match self.method.as_str() {
            "ANY" => true,
            "WRITE" => asked.is_write(),
            "READ" | "GET" => asked.method == "GET" && !asked.is_watch(),
            "WATCH" => asked.is_watch(),
            method => method == asked.method,
        };
        let query = self.query.as_ref().is_none_or(|query| asked.query.contains(query.as_str()));
        method && query && matches(&self.path, asked.path)
    }
}

/// `*` stands for a part without a slash, `**` for anything.
fn matches(pattern: &str, text: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("**") {
        return ends(text).any(|end| matches(rest, end));
    }
    if let Some(rest) = pattern.strip_prefix('*') {
        let part = text.find('/').unwrap_or(text.len());
        return ends(text)
            .take_while(|end| text.len() - end.len() <= part)
            .any(|end| matches(rest, end));
    }
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some(wanted), Some(found)) if wanted == found => {
            matches(&pattern[wanted.len_utf8()..], &text[found.len_utf8()..])
        }
        _ => false,
    }
}

/// Every end of a text, the longest first.
fn ends(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, _)| &text[at..]).chain([""])
}

/// A fault that a request really met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// Place of the rule in the script, from zero.
    pub rule: usize,
    /// What was asked.
    pub request: String,
    /// What it met.
    pub fault: Fault,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} met {}", self.request, self.fault)
    }
}

/// The rules, how often each was fitted, and what was played.
#[derive(Debug, Clone, Default)]
pub struct Script {
    rules: Vec<(Rule, usize)>,
    /// So many of the rules, from the first on, hold no more.
    over: usize,
    played: Vec<Played>,
    asked: usize,
}

impl Script {
    /// Reads a script: a rule a line, with comments from `#` on.
    ///
    /// # Errors
    /// When a line is no rule.
    pub fn parse(text: &str) -> Result<Self> {
        let mut script = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let rule = line.parse().with_context(|| format!("line {}: {line}", at + 1))?;
                script.add(rule);
            }
        }
        Ok(script)
    }

    /// Adds a rule, which counts from now on.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    /// Ends all rules. Those that were never played are still told of.
    pub fn end(&mut self) {
        self.over = self.rules.len();
    }

    /// The fault that a request meets: that of the first rule which takes it. Every rule that it
    /// fits counts it.
    pub fn judge(&mut self, asked: Asked<'_>) -> Option<Fault> {
        self.asked += 1;
        let mut met = None;
        for (at, (rule, count)) in self.rules.iter_mut().enumerate().skip(self.over) {
            if rule.fits(asked) {
                *count += 1;
                if met.is_none() && rule.which.takes(*count) {
                    met = Some((at, rule.fault.clone()));
                }
            }
        }
        let (rule, fault) = met?;
        let request = match asked.is_watch() {
            true => format!("WATCH {}", asked.path),
            false => format!("{} {}", asked.method, asked.path),
        };
        self.played.push(Played { rule, request, fault: fault.clone() });
        Some(fault)
    }

    /// What was played so far.
    pub fn played(&self) -> &[Played] {
        &self.played
    }

    /// How many requests were seen.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// The rules that no request has met.
    pub fn unplayed(&self) -> Vec<String> {
        let met = |at: usize| self.played.iter().any(|played| played.rule == at);
        let rules = self.rules.iter().enumerate();
        rules.filter(|(at, _)| !met(*at)).map(|(_, (rule, _))| rule.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(script: &mut Script, call: &str) -> String {
        let (method, target) = call.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let met = script.judge(Asked { method, path, query });
        met.map_or("-".to_owned(), |fault| fault.to_string())
    }

    #[test]
    fn rules_count_what_fits_them() {
        let mut script = Script::parse(
            "# Two of them\n\
             PATCH **/configmaps/* nth 2: status 429 retry-after 7\n\
             WATCH ** every 2: gone # each other one\n\
             GET /a/*?x=1 first 1: reset\n",
        )
        .unwrap();
        let mut met = Vec::new();
        for call in [
            "PATCH /api/v1/namespaces/d/configmaps/a",
            "PATCH /api/v1/namespaces/d/secrets/a",
            "PATCH /api/v1/namespaces/d/configmaps/b?force=true",
            "PATCH /api/v1/namespaces/d/configmaps/b/status",
            "GET /api/v1/configmaps?watch=true",
            "GET /api/v1/configmaps",
            "GET /api/v1/configmaps?watch=1",
            "GET /a/b/c?x=1",
            "GET /a/b?y=1&x=1",
            "GET /a/b?x=1",
        ] {
            met.push(judge(&mut script, call));
        }
        let expected =
            ["-", "-", "status 429 retry-after 7", "-", "-", "-", "gone", "-", "reset", "-"];
        assert_eq!(met, expected);
        assert_eq!(script.asked(), 10);
        assert!(script.unplayed().is_empty());
        assert_eq!(script.played()[1].to_string(), "WATCH /api/v1/configmaps met gone");
    }

    #[test]
    fn what_was_not_played_is_told() {
        let mut script = Script::parse("ANY ** nth 2: hang\nANY /x always: reset").unwrap();
        judge(&mut script, "GET /");
        assert_eq!(script.unplayed(), ["ANY ** nth 2: hang", "ANY /x always: reset"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, why) in [
            ("GET /", "write METHOD PATH WHICH: FAULT"),
            ("FETCH / always: reset", "FETCH is none of"),
            ("GET / sometimes: reset", "\"sometimes\" is none of"),
            ("GET / nth 0: reset", "counted from one"),
            ("GET / always: explode", "\"explode\" is no fault"),
        ] {
            let err = format!("{:#}", Script::parse(text).unwrap_err());
            assert!(err.contains(why), "{err}");
        }
    }
}
