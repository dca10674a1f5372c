//! Label and field selectors.
//!
//! In: the text of a query or a `LabelSelector` object, then objects. Out: whether they match. A
//! selector that cannot be read is an error, never one that matches everything.

use fixpoint_base::{Class, Classified};
use serde_json::Value;

use crate::names;
use crate::schema::go_quote;

/// Says what is wrong with a selector; the text is what the API server answers with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Classified for SelectorError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// Longer selectors are refused; a URL is hardly longer.
const MAX_BYTES: usize = 64 * 1024;

/// A label selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    wants: Wants,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wants {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
    Greater(i64),
    Less(i64),
}

impl Wants {
    fn accepts(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            // A label that is missing is not one of the values.
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::Greater(than) => number().is_some_and(|number| number > *than),
            Self::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    ///
    /// # Errors
    /// When the text is not a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_BYTES {
            return Err(SelectorError(format!("a selector has at most {MAX_BYTES} bytes")));
        }
        Parser { tokens: tokens(text), at: 0 }.selector()
    }

    /// Reads a `LabelSelector` object: `matchLabels` and `matchExpressions`.
    ///
    /// # Errors
    /// When an operator is unknown or a value is malformed.
    pub fn from_json(selector: &Value) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else {
                return Err(SelectorError(format!("the label {key:?} must have a string value")));
            };
            requirements.push(requirement(key, Wants::In(vec![value.to_owned()]))?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default();
            let values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect();
            let operator = expression["operator"].as_str().unwrap_or_default();
            let wants = match operator {
                "In" => Wants::In(values),
                "NotIn" => Wants::NotIn(values),
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    return Err(SelectorError(
                        "values: Invalid value: values set must be empty for exists and does not \
                         exist"
                            .to_owned(),
                    ));
                }
                "Exists" => Wants::Exists,
                "DoesNotExist" => Wants::Missing,
                other => {
                    let message =
                        format!("{} is not a valid label selector operator", go_quote(other));
                    return Err(SelectorError(message));
                }
            };
            requirements.push(requirement(key, wants)?);
        }
        Ok(Self { requirements })
    }

    /// Says whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Says whether the labels of an object satisfy it.
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(object.pointer("/metadata/labels").unwrap_or(&Value::Null))
    }

    /// Says whether some labels (a JSON object) satisfy it.
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.requirements.iter().all(|Requirement { key, wants }| {
            wants.accepts(labels.get(key).and_then(Value::as_str))
        })
    }
}

fn requirement(key: &str, wants: Wants) -> Result<Requirement, SelectorError> {
    let refuse = |field: &str, value: &str, messages: Vec<String>| {
        let text = messages.join("; ");
        Err(SelectorError(format!("{field}: Invalid value: {}: {text}", go_quote(value))))
    };
    let messages = names::qualified_name(key);
    if !messages.is_empty() {
        return refuse("key", key, messages);
    }
    if let Wants::In(values) | Wants::NotIn(values) = &wants {
        if values.is_empty() {
            let message = "values: Invalid value: []: for 'in', 'notin' operators, values set \
                           can't be empty";
            return Err(SelectorError(message.to_owned()));
        }
        for (at, value) in values.iter().enumerate() {
            let messages = names::label_value(value);
            if !messages.is_empty() {
                return refuse(&format!("values[{at}][{key}]"), value, messages);
            }
        }
    }
    Ok(Requirement { key: key.to_owned(), wants })
}

/// Operators are tokens of their own; what lies between them and spaces is a word.
fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let special = |c: char| "!=<>,()".contains(c);
        let length = ["==", "!="]
            .iter()
            .find(|operator| rest.starts_with(**operator))
            .map(|operator| operator.len())
            .or_else(|| rest.starts_with(special).then_some(1))
            .or_else(|| rest.find(|c: char| special(c) || c.is_whitespace()))
            .unwrap_or(rest.len());
        out.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    out
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(mut self) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        while !self.peek().is_empty() {
            requirements.push(self.requirement()?);
            match self.next() {
                "" => break,
                "," if self.peek().is_empty() || self.peek() == "," => {
                    return Err(unexpected(self.peek(), "identifier after ','"));
                }
                "," => {}
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
        Ok(LabelSelector { requirements })
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek() == "!" {
            self.next();
            let key = self.word()?;
            return requirement(key, Wants::Missing);
        }
        let key = self.word()?;
        match self.peek() {
            "" | "," => requirement(key, Wants::Exists),
            "=" | "==" => {
                self.next();
                let value = self.value()?;
                requirement(key, Wants::In(vec![value]))
            }
            "!=" => {
                self.next();
                let value = self.value()?;
                requirement(key, Wants::NotIn(vec![value]))
            }
            "in" => {
                self.next();
                let values = self.values()?;
                requirement(key, Wants::In(values))
            }
            "notin" => {
                self.next();
                let values = self.values()?;
                requirement(key, Wants::NotIn(values))
            }
            operator @ ("<" | ">") => {
                self.next();
                let value = self.value()?;
                let than = value.parse().map_err(|_| {
                    SelectorError(format!(
                        "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must \
                         be an integer",
                        go_quote(&value)
                    ))
                })?;
                let wants = if operator == "<" { Wants::Less(than) } else { Wants::Greater(than) };
                requirement(key, wants)
            }
            other => Err(unexpected(other, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn word(&mut self) -> Result<&'a str, SelectorError> {
        let token = self.next();
        if token.is_empty() || is_operator(token) {
            return Err(unexpected(token, "!, identifier, or 'end of string'"));
        }
        Ok(token)
    }

    /// A value may be empty: `a=,b`.
    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            "" | "," => Ok(String::new()),
            token if is_operator(token) => Err(unexpected(token, "identifier")),
            token => {
                self.next();
                Ok(token.to_owned())
            }
        }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.next();
        if open != "(" {
            return Err(unexpected(open, "'('"));
        }
        let mut out = Vec::new();
        loop {
            match self.next() {
                "," => out.push(String::new()),
                ")" => {
                    out.push(String::new());
                    return Ok(out);
                }
                token if token.is_empty() || is_operator(token) => {
                    return Err(unexpected(token, "',', ')' or identifier"));
                }
                token => {
                    out.push(token.to_owned());
                    match self.next() {
                        "," => {}
                        ")" => return Ok(out),
                        other => return Err(unexpected(other, "',' or ')'")),
                    }
                }
            }
        }
    }
}

fn is_operator(token: &str) -> bool {
    matches!(token, "!" | "=" | "==" | "!=" | "<" | ">" | "," | "(" | ")")
}

fn unexpected(found: &str, expected: &str) -> SelectorError {
    let message = format!("unable to parse requirement: found '{found}', expected: {expected}");
    SelectorError(message)
}

/// A field selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Reads `metadata.name=a,type!=b`. Only `metadata.name`, `metadata.namespace` and the fields
    /// in `extra` may be named.
    ///
    /// # Errors
    /// When the text is not a selector or names another field.
    pub fn parse(text: &str, extra: &[&str]) -> Result<Self, SelectorError> {
        if text.len() > MAX_BYTES {
            return Err(SelectorError(format!("a selector has at most {MAX_BYTES} bytes")));
        }
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let invalid = || {
                let message = format!("invalid selector: '{text}'; can't understand '{part}'");
                SelectorError(message)
            };
            let (field, value, equal) = split_term(part).ok_or_else(invalid)?;
            let known = ["metadata.name", "metadata.namespace"];
            if !known.contains(&field) && !extra.contains(&field) {
                return Err(SelectorError(format!("field label not supported: {field}")));
            }
            let value = unescape(value).ok_or_else(invalid)?;
            terms.push(Term { field: field.to_owned(), value, equal });
        }
        Ok(Self { terms })
    }

    /// Says whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name it asks for, if it asks for `metadata.name=…`.
    pub fn name(&self) -> Option<&str> {
        self.asked("metadata.name")
    }

    /// The one namespace it asks for, if it asks for `metadata.namespace=…`.
    pub fn namespace(&self) -> Option<&str> {
        self.asked("metadata.namespace")
    }

    fn asked(&self, field: &str) -> Option<&str> {
        let asked = |term: &&Term| term.equal && term.field == field;
        self.terms.iter().find(asked).map(|term| term.value.as_str())
    }

    /// Says whether an object satisfies it; a missing field is the empty string.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|Term { field, value, equal }| {
            let found = field.split('.').try_fold(object, |here, step| here.get(step));
            let same = match found {
                None | Some(Value::Null) => value.is_empty(),
                Some(Value::String(found)) => found == value,
                Some(other) => other.to_string().as_str() == value.as_str(),
            };
            same == *equal
        })
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' if !escaped => {
                out.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = false;
    }
    out.push(&text[start..]);
    out
}

fn split_term(part: &str) -> Option<(&str, &str, bool)> {
    let at = part.find(['=', '!'])?;
    let (field, rest) = part.split_at(at);
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some(value) = rest.strip_prefix(operator) {
            return Some((field.trim(), value, equal));
        }
    }
    None
}

/// Undoes `\\`, `\,` and `\=`; `None` where something else is escaped or should have been.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | ',' | '=') => out.push(c),
                _ => return None,
            },
            ',' | '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors() {
        let labels = json!({"app": "web", "tier": "1", "empty": ""});
        for (text, want) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=1", true),
            ("app!=web", false),
            ("none!=x", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("none notin (x)", true),
            ("app", true),
            ("!app", false),
            ("! none", true),
            ("tier>0", true),
            ("tier<1", false),
            ("empty=", true),
            ("empty=,app", true),
            ("empty in (,x)", true),
            ("example.com/in=x", false),
        ] {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches_labels(&labels), want, "{text}");
        }
    }

    #[test]
    fn label_selectors_that_are_none() {
        for text in [
            "a b", "a in b", "a in (b", "=a", ",", "a,", "a,,b", "a=(b)", "a>x", "-a", "a=b c",
            "a in ()(", "!", "a==b==c", "a/b/c",
        ] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn label_selector_objects() {
        let object = json!({"metadata": {"labels": {"app": "web"}}});
        let selector = |value: Value| LabelSelector::from_json(&value);
        let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
        assert!(selector(json!({})).unwrap().is_empty());
        assert!(selector(json!({"matchLabels": {"app": "web"}})).unwrap().matches(&object));
        assert!(selector(expression("In", json!(["web"]))).unwrap().matches(&object));
        assert!(!selector(expression("NotIn", json!(["web"]))).unwrap().matches(&object));
        assert!(selector(expression("Exists", json!(null))).unwrap().matches(&object));
        assert!(!selector(expression("DoesNotExist", json!([]))).unwrap().matches(&object));
        assert!(selector(expression("In", json!([]))).is_err());
        assert_eq!(
            selector(expression("Like", json!(["x"]))).unwrap_err().to_string(),
            "\"Like\" is not a valid label selector operator"
        );
    }

    #[test]
    fn field_selectors() {
        let object = json!({"metadata": {"name": "a,b", "namespace": "n"}, "type": "Opaque",
            "involvedObject": {"name": "x"}});
        let extra = ["type", "involvedObject.name", "spec.nodeName"];
        for (text, want) in [
            ("", true),
            ("metadata.name=a\\,b", true),
            ("metadata.name==a", false),
            ("metadata.namespace!=n", false),
            ("type=Opaque,involvedObject.name=x", true),
            ("spec.nodeName=", true),
        ] {
            let selector = FieldSelector::parse(text, &extra).unwrap();
            assert_eq!(selector.matches(&object), want, "{text}");
        }
        let selector = FieldSelector::parse("metadata.name=x", &[]).unwrap();
        assert_eq!(selector.name(), Some("x"));
        assert_eq!(
            FieldSelector::parse("spec.x=1", &[]).unwrap_err().to_string(),
            "field label not supported: spec.x"
        );
        for text in ["metadata.name", "metadata.name=a\\b", "metadata.name=a=b"] {
            assert!(FieldSelector::parse(text, &[]).is_err(), "{text}");
        }
    }
}
