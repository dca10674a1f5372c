//! The part of kubectl's JSONPath that printer columns use.
//!
//! In: `.status.conditions[?(@.type=="Ready")].status`. Out: the values it finds. What is not
//! understood finds nothing.

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Filter { left: Vec<Step>, test: Option<(Test, Value)> },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    Equal,
    Unequal,
}

impl Path {
    /// Reads a path, with or without braces and `$`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').map_or(Some(text), |text| text.strip_suffix('}'))?;
        steps(text.strip_prefix('$').unwrap_or(text)).map(Self)
    }

    /// All values at the path.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        walk(&self.0, object)
    }
}

fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            out.push(bracket(&inner[..end])?);
            rest = &inner[end + 1..];
            continue;
        }
        let text = rest.strip_prefix('.').unwrap_or(rest);
        let (name, length) = field(text);
        rest = &text[length..];
        match name.as_str() {
            "" if rest.starts_with('[') => {}
            // `..` would search the whole object.
            "" => return None,
            "*" => out.push(Step::All),
            _ => out.push(Step::Field(name)),
        }
    }
    Some(out)
}

/// A name up to the next `.` or `[`; a backslash keeps the character after it.
fn field(text: &str) -> (String, usize) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, at),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, text.len())
}

/// Where the bracket that was just opened closes, outside quotes and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = text.strip_prefix("?(") {
        return filter_step(filter.strip_suffix(')')?);
    }
    if let Some(name) = unquote(text) {
        return Some(Step::Field(name.to_owned()));
    }
    if let Some((from, to)) = text.split_once(':') {
        let bound = |text: &str| -> Option<Option<i64>> {
            if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
        };
        return Some(Step::Slice(bound(from)?, bound(to)?));
    }
    text.parse().ok().map(Step::Index)
}

fn filter_step(text: &str) -> Option<Step> {
    for (operator, test) in [("==", Test::Equal), ("!=", Test::Unequal)] {
        if let Some((left, right)) = text.split_once(operator) {
            let right = right.trim();
            let value = match unquote(right) {
                Some(text) => Value::String(text.to_owned()),
                None => serde_json::from_str(right).ok()?,
            };
            let left = steps(left.trim().strip_prefix('@')?)?;
            return Some(Step::Filter { left, test: Some((test, value)) });
        }
    }
    let left = steps(text.trim().strip_prefix('@')?)?;
    Some(Step::Filter { left, test: None })
}

fn unquote(text: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|quote| {
        text.strip_prefix(*quote)?.strip_suffix(*quote).filter(|text| !text.contains(*quote))
    })
}

fn walk<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return vec![value] };
    let next: Vec<&Value> = match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(at), Value::Array(items)) => {
            place(*at, items.len()).and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::Slice(from, to), Value::Array(items)) => {
            let bound = |at: Option<i64>, other: usize| {
                at.map_or(other, |at| place(at, items.len()).unwrap_or(0).min(items.len()))
            };
            let (from, to) = (bound(*from, 0), bound(*to, items.len()));
            items.get(from..to).unwrap_or_default().iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Filter { left, test }, Value::Array(items)) => items
            .iter()
            .filter(|item| {
                let found = walk(left, item);
                match test {
                    None => !found.is_empty(),
                    Some((Test::Equal, wanted)) => found.contains(&wanted),
                    Some((Test::Unequal, wanted)) => !found.is_empty() && !found.contains(&wanted),
                }
            })
            .collect(),
        _ => Vec::new(),
    };
    next.into_iter().flat_map(|value| walk(rest, value)).collect()
}

/// Negative places count from the end.
fn place(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at.checked_add(length)? } else { at }).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "1"}},
            "list": [{"n": "a", "v": 1}, {"n": "b", "v": 2}], "map": {"x": 1}});
        for (path, want) in [
            (".list[0].n", json!(["a"])),
            ("{.list[-1].n}", json!(["b"])),
            ("$.list[*].v", json!([1, 2])),
            (".list[?(@.n==\"b\")].v", json!([2])),
            (".list[?(@.n=='a')].v", json!([1])),
            (".list[?(@.v!=1)].n", json!(["b"])),
            (".list[?(@.v==2)].n", json!(["b"])),
            (".list[?(@.none)].n", json!([])),
            (".list[0:1].n", json!(["a"])),
            (".metadata.annotations.a\\.b/c", json!(["1"])),
            (".metadata.annotations['a.b/c']", json!(["1"])),
            (".map.*", json!([1])),
            (".none.at.all", json!([])),
            (".list[9].n", json!([])),
        ] {
            let found: Vec<Value> =
                Path::parse(path).unwrap().find(&object).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), want, "{path}");
        }
        for path in ["..a", ".a[", ".a[?(", ".a[x]", "{.a"] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }
}
