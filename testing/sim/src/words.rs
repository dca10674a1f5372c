//! Reading the words of a command: options, durations, specs.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::git::{Edit, File, HOST};
use crate::kinds::{NAMESPACE, object, word};

/// Reads `90s`, `10m` or `2h`.
///
/// # Errors
/// When it is something else.
pub fn duration(text: &str) -> Result<Duration> {
    let unit = text.char_indices().last().map_or(0, |(at, _)| at);
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().with_context(|| format!("{text} is no duration"))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => bail!("{text} is no duration"),
    };
    Ok(Duration::from_secs(number * seconds))
}

/// Reads by how much a clock is set, such as `+1h` or `-30s`.
///
/// # Errors
/// When it has no sign or is no duration.
pub fn jump(text: &str) -> Result<SignedDuration> {
    let sign = text.chars().next().filter(|sign| matches!(sign, '+' | '-'));
    let sign = sign.with_context(|| format!("{text} has no sign"))?;
    let by = SignedDuration::try_from(duration(&text[1..])?).context("it is too far")?;
    Ok(if sign == '-' { -by } else { by })
}

/// Reads what a commit does: `path=object`, `path->target`, `-path`, or a `path` whose text is in
/// the margin.
///
/// # Errors
/// When there is a path without text, or an object that cannot be read.
pub fn edits(words: &[String], body: Option<&str>) -> Result<Vec<Edit>> {
    words
        .iter()
        .map(|text| {
            if let Some(path) = text.strip_prefix('-') {
                return Ok((path.to_owned(), None));
            }
            if let Some((path, target)) = text.split_once("->") {
                return Ok((path.to_owned(), Some(File::Link(target.to_owned()))));
            }
            let (path, content) = match text.split_once('=') {
                Some((path, made)) => (path, format!("{:#}\n", object(made)?)),
                None => {
                    let body = body.with_context(|| format!("{text} has no text in the margin"))?;
                    (text.as_str(), body.to_owned())
                }
            };
            Ok((path.to_owned(), Some(File::Text(content))))
        })
        .collect()
}

/// Reads the options of a source into its spec.
///
/// # Errors
/// When there is an option that sources do not have.
pub fn source(options: &[String], repository: &str) -> Result<Value> {
    let mut spec = json!({"url": format!("{HOST}{repository}"), "interval": "1m"});
    let mut reference = Map::new();
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, "true"));
        match key {
            "branch" | "tag" | "semver" | "commit" | "name" => {
                reference.insert(key.to_owned(), json!(value));
            }
            "url" | "interval" | "timeout" => spec[key] = json!(value),
            "secret" => spec["secretRef"] = json!({"name": value}),
            _ => set(&mut spec, option)?,
        }
    }
    if !reference.is_empty() {
        spec["ref"] = reference.into();
    }
    Ok(spec)
}

/// Reads the options of a delivery into its spec. Deliveries prune unless they say otherwise.
///
/// # Errors
/// When there is an option that deliveries do not have.
pub fn delivery(options: &[String]) -> Result<Value> {
    let mut spec = json!({"interval": "10m", "prune": true});
    for option in options {
        let (key, value) = option.split_once('=').unwrap_or((option, "true"));
        match key {
            "source" => {
                let mut reference = json!({"kind": "GitRepository", "name": value});
                if let Some((namespace, name)) = value.split_once('/') {
                    reference["namespace"] = json!(namespace);
                    reference["name"] = json!(name);
                }
                spec["sourceRef"] = reference;
            }
            "path" | "targetNamespace" | "deletionPolicy" | "interval" | "timeout" => {
                spec[key] = json!(value);
            }
            "retry" => spec["retryInterval"] = json!(value),
            "cluster" => spec["kubeConfig"] = json!({"secretRef": {"name": value}}),
            "prune" | "wait" | "force" => spec[key] = word(value),
            "dependsOn" => {
                spec[key] = value.split(',').map(|name| json!({"name": name})).collect();
            }
            _ => set(&mut spec, option)?,
        }
    }
    Ok(spec)
}

/// Sets `spec.field=JSON`, for what has no word of its own.
fn set(spec: &mut Value, option: &str) -> Result<()> {
    let (path, value) = option.split_once('=').with_context(|| format!("{option} is no option"))?;
    let path = path.strip_prefix("spec.").with_context(|| format!("{option} is no option"))?;
    let mut at = spec;
    for field in path.split('.') {
        at = &mut at[field];
    }
    *at = word(value);
    Ok(())
}

/// Objects as a person reads them in messages: the engine writes every namespace out.
pub fn short(text: &str) -> String {
    let mut text = text.to_owned();
    for (kind, word) in [("GitRepository", "source"), ("Kustomization", "delivery")] {
        text = text.replace(&format!("{kind}/{NAMESPACE}/"), &format!("{word}/"));
        text = text.replace(&format!("{kind}/"), &format!("{word}/"));
    }
    text
}

/// Covers what differs from run to run: uids, ids that are made of them, and digests.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((uid, after)) = rest.split_at_checked(UID.len())
            && is_uid(uid)
        {
            out.push_str("<uid>");
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        let is_hex = token.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase());
        out.push_str(match token.len() {
            12 if is_hex => "<id>",
            64 if is_hex => "<digest>",
            _ => token,
        });
        let gap = after.find(|c: char| c.is_ascii_alphanumeric()).unwrap_or(after.len());
        out.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    out
}

/// The form of a uid.
const UID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

fn is_uid(text: &str) -> bool {
    let fits = |(form, sign): (char, char)| match form {
        'x' => sign.is_ascii_hexdigit() && !sign.is_ascii_uppercase(),
        form => sign == form,
    };
    UID.chars().zip(text.chars()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn specs_of_sources_and_deliveries() {
        assert_eq!(
            source(&words("tag=v1 interval=5m spec.ignore=*.md"), "shop").unwrap(),
            json!({
                "url": "https://git.example/shop",
                "interval": "5m",
                "ref": {"tag": "v1"},
                "ignore": "*.md",
            })
        );
        assert_eq!(
            delivery(&words("source=web path=./app wait dependsOn=a,b prune=false")).unwrap(),
            json!({
                "interval": "10m",
                "prune": false,
                "wait": true,
                "path": "./app",
                "sourceRef": {"kind": "GitRepository", "name": "web"},
                "dependsOn": [{"name": "a"}, {"name": "b"}],
            })
        );
        assert!(delivery(&words("colour=blue")).is_err());
    }

    #[test]
    fn what_differs_from_run_to_run_is_covered() {
        assert_eq!(masked("[ack 0123456789ab] and on"), "[ack <id>] and on");
        assert_eq!(masked("éacknowledge abcdefabcdef"), "éacknowledge <id>");
        assert_eq!(masked("cluster/e39e43ae-eb5c-446f-a133-0123456789ab."), "cluster/<uid>.");
        assert_eq!(masked("reconcileabc 0123456789abc"), "reconcileabc 0123456789abc");
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
        assert!(duration("10").is_err());
        assert!(duration("").is_err());
    }
}
