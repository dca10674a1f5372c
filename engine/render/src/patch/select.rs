//! Which objects a patch is for.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::kustomization::Selector;
use crate::resource::{Id, Resource, text};

/// A selector whose expressions are compiled.
pub(crate) struct Matcher {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

/// Bytes that a compiled expression may take.
const REGEX_SIZE: usize = 1 << 20;

/// Compiles an expression that must match a whole text; none where it is empty.
pub(crate) fn whole(pattern: &str) -> Result<Option<Regex>, String> {
    if pattern.is_empty() {
        return Ok(None);
    }
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_SIZE)
        .build()
        .map(Some)
        .map_err(|_| format!("has {pattern:?}, which is not a regular expression"))
}

fn covers(pattern: Option<&Regex>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(text))
}

impl Matcher {
    pub(crate) fn new(selector: &Selector) -> Result<Self, String> {
        let Selector { group, version, kind, name, namespace, label_selector, annotation_selector } =
            selector;
        Ok(Self {
            group: whole(group)?,
            version: whole(version)?,
            kind: whole(kind)?,
            name: whole(name)?,
            namespace: whole(namespace)?,
            labels: requirements(label_selector)?,
            annotations: requirements(annotation_selector)?,
        })
    }

    pub(crate) fn matches(&self, resource: &Resource) -> bool {
        let (now, original) = (&resource.id, resource.original());
        let named = |pattern: Option<&Regex>, part: fn(&Id) -> &str| {
            covers(pattern, part(original)) || covers(pattern, part(now))
        };
        named(self.namespace.as_ref(), |id| &id.namespace)
            && named(self.name.as_ref(), |id| &id.name)
            && covers(self.group.as_ref(), &now.group)
            && covers(self.version.as_ref(), &now.version)
            && covers(self.kind.as_ref(), &now.kind)
            && all_hold(&self.labels, resource.value.pointer("/metadata/labels"))
            && all_hold(&self.annotations, resource.value.pointer("/metadata/annotations"))
    }
}

fn all_hold(requirements: &[Requirement], map: Option<&Value>) -> bool {
    requirements.iter().all(|requirement| requirement.holds(map))
}

/// One part of a label selector.
#[derive(Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Requirement {
    fn holds(&self, map: Option<&Value>) -> bool {
        let found = map.and_then(|map| map.get(&self.key)).map(|v| text(v).unwrap_or_default());
        let number = || found.as_ref().and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => found.is_some(),
            Test::Missing => found.is_none(),
            Test::In(values) => found.is_some_and(|value| values.iter().any(|v| *v == value)),
            Test::NotIn(values) => found.is_none_or(|value| values.iter().all(|v| *v != value)),
            Test::Greater(bound) => number().is_some_and(|number| number > *bound),
            Test::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Reads a label selector: `a=b, c!=d, e in (x, y), f notin (z), g, !h, i>1, j<2`.
fn requirements(selector: &str) -> Result<Vec<Requirement>, String> {
    let mut rest = selector.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let end = end_of_part(rest);
        let part = rest[..end].trim();
        rest = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]).trim_start();
        all.push(requirement(part).ok_or_else(|| {
            format!("has the label selector {selector:?}, of which {part:?} is no requirement")
        })?);
    }
    Ok(all)
}

/// Where the first part ends: at a comma outside of brackets.
fn end_of_part(text: &str) -> usize {
    let mut inside = false;
    for (at, c) in text.char_indices() {
        match c {
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => return at,
            _ => {}
        }
    }
    text.len()
}

fn requirement(part: &str) -> Option<Requirement> {
    if let Some(key) = part.strip_prefix('!') {
        return key_only(key.trim(), Test::Missing);
    }
    for (word, negated) in [(" notin ", true), (" notin(", true), (" in ", false), (" in(", false)]
    {
        let Some((key, list)) = part.split_once(word) else { continue };
        let list = list.trim().strip_suffix(')')?;
        let list = list.strip_prefix('(').unwrap_or(list);
        let values: Vec<String> = list.split(',').map(|value| value.trim().to_owned()).collect();
        return key_only(key.trim(), if negated { Test::NotIn(values) } else { Test::In(values) });
    }
    if let Some((key, value)) = part.split_once("!=") {
        return key_only(key.trim(), Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return key_only(key.trim(), Test::In(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once('>') {
        return key_only(key.trim(), Test::Greater(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return key_only(key.trim(), Test::Less(value.trim().parse().ok()?));
    }
    key_only(part, Test::Exists)
}

fn key_only(key: &str, test: Test) -> Option<Requirement> {
    let clean = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    clean.then(|| Requirement { key: key.to_owned(), test })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(selector: &str, expected: &str) {
        let sets = [
            ("none", json!({})),
            ("web", json!({"app": "web", "tier": "1"})),
            ("db", json!({"app": "db", "tier": "2"})),
        ];
        let shown = match requirements(selector) {
            Ok(all) => sets
                .iter()
                .filter(|(_, labels)| all_hold(&all, Some(labels)))
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(" "),
            Err(reason) => reason,
        };
        assert_eq!(shown, expected, "{selector}");
    }

    #[test]
    fn selectors() {
        check("", "none web db");
        check("app", "web db");
        check("!app", "none");
        check("app=web", "web");
        check("app==web,tier=1", "web");
        check("app != web", "none db");
        check("app in (web, db),tier>1", "db");
        check("app notin (web)", "none db");
        check("tier<2", "web");
        check("a b", "has the label selector \"a b\", of which \"a b\" is no requirement");
        check("tier>x", "has the label selector \"tier>x\", of which \"tier>x\" is no requirement");
    }
}
