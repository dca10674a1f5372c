//! Version ranges as Flux's users write them.
//!
//! In: a range in the notation of Masterminds (`>=1.0 <2`, `~1.2`, `^1`, `1.x || 2.x`,
//! `1.2 - 1.4`) and versions. Out: which versions it holds. A prerelease is never chosen unless
//! the range itself names one.

use semver::{Prerelease, Version};

/// Longest range: far beyond what a person writes.
const MAX_BYTES: usize = 512;

/// A set of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// One of these must hold.
    any: Vec<Group>,
}

/// Bounds that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Group {
    bounds: Vec<Bound>,
    /// Some bound names a prerelease, so prereleases may be chosen.
    prereleases: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    AtLeast(Version),
    Above(Version),
    AtMost(Version),
    Below(Version),
    Exactly(Version),
    /// At or above the first and below the second: what the range excludes.
    Outside(Version, Version),
}

/// A version of which trailing parts may be missing or `x`.
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it is longer than {MAX_BYTES} bytes"));
        }
        let any =
            text.split("||").map(|group| Group::parse(group.trim())).collect::<Result<_, _>>()?;
        Ok(Self { any })
    }

    /// Whether a version is within the range.
    pub fn holds(&self, version: &Version) -> bool {
        self.any.iter().any(|group| group.holds(version))
    }
}

/// Reads a tag as a version: full semver, with or without a leading `v`.
pub fn tag_version(tag: &str) -> Option<Version> {
    Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()
}

impl Group {
    fn parse(text: &str) -> Result<Self, String> {
        let mut group = Self::default();
        if let Some((low, high)) = text.split_once(" - ") {
            group.add(">=", low.trim())?;
            group.add("<=", high.trim())?;
            return Ok(group);
        }
        if text.is_empty() {
            return Err("a part of it is empty".to_owned());
        }
        // An operator may stand apart from its version: `>= 1.2`.
        let mut operator = String::new();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let end = word.find(|c| !"=<>!~^".contains(c)).unwrap_or(word.len());
            operator.push_str(&word[..end]);
            if end < word.len() {
                group.add(&operator, &word[end..])?;
                operator.clear();
            }
        }
        if operator.is_empty() { Ok(group) } else { Err(format!("{operator} has no version")) }
    }

    fn add(&mut self, operator: &str, version: &str) -> Result<(), String> {
        let partial = Partial::parse(version)?;
        self.prereleases |= !partial.pre.is_empty();
        let low = partial.floor();
        let bounds = match operator {
            "" | "=" => match partial.ceiling() {
                None => vec![],
                Some(_) if partial.patch.is_some() => vec![Bound::Exactly(low)],
                Some(high) => vec![Bound::AtLeast(low), Bound::Below(high)],
            },
            "!=" => match partial.ceiling() {
                None => return Err("it excludes everything".to_owned()),
                Some(high) => vec![Bound::Outside(low, high)],
            },
            ">" => match (partial.patch, partial.ceiling()) {
                (Some(_), _) | (None, None) => vec![Bound::Above(low)],
                (None, Some(high)) => vec![Bound::AtLeast(high)],
            },
            ">=" | "=>" => vec![Bound::AtLeast(low)],
            "<" => vec![Bound::Below(low)],
            "<=" | "=<" => match (partial.patch, partial.ceiling()) {
                (Some(_), _) => vec![Bound::AtMost(low)],
                (None, Some(high)) => vec![Bound::Below(high)],
                (None, None) => vec![],
            },
            "~" | "~>" => within(low, partial.tilde()),
            "^" => within(low, partial.caret()),
            other => return Err(format!("{other} is not an operator")),
        };
        self.bounds.extend(bounds);
        Ok(())
    }

    fn holds(&self, version: &Version) -> bool {
        (version.pre.is_empty() || self.prereleases)
            && self.bounds.iter().all(|bound| bound.holds(version))
    }
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        let than = |bound: &Version| version.cmp_precedence(bound);
        match self {
            Self::AtLeast(bound) => than(bound).is_ge(),
            Self::Above(bound) => than(bound).is_gt(),
            Self::AtMost(bound) => than(bound).is_le(),
            Self::Below(bound) => than(bound).is_lt(),
            Self::Exactly(bound) => than(bound).is_eq(),
            Self::Outside(low, high) => than(low).is_lt() || than(high).is_ge(),
        }
    }
}

fn within(low: Version, high: Option<Version>) -> Vec<Bound> {
    let mut bounds = vec![Bound::AtLeast(low)];
    bounds.extend(high.map(Bound::Below));
    bounds
}

impl Partial {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a version");
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split_once('+').map_or(plain, |(plain, _)| plain);
        let (numbers, pre) =
            plain.split_once('-').map_or((plain, ""), |(numbers, pre)| (numbers, pre));
        let pre = Prerelease::new(pre).map_err(|_| bad())?;
        let mut parts = [None; 3];
        let mut wild = false;
        let given: Vec<&str> = numbers.split('.').collect();
        if given.len() > parts.len() {
            return Err(bad());
        }
        for (slot, part) in parts.iter_mut().zip(given) {
            match part {
                "x" | "X" | "*" => wild = true,
                _ if wild => return Err(bad()),
                number => *slot = Some(number.parse::<u64>().map_err(|_| bad())?),
            }
        }
        let [major, minor, patch] = parts;
        Ok(Self { major, minor, patch, pre })
    }

    /// The lowest version that is meant.
    fn floor(&self) -> Version {
        Version {
            pre: self.pre.clone(),
            ..Version::new(
                self.major.unwrap_or(0),
                self.minor.unwrap_or(0),
                self.patch.unwrap_or(0),
            )
        }
    }

    /// The lowest version above all that are meant; nothing when all versions are.
    fn ceiling(&self) -> Option<Version> {
        match (self.major?, self.minor, self.patch) {
            (major, Some(minor), Some(patch)) => Some(below(major, minor, patch.saturating_add(1))),
            (major, Some(minor), None) => Some(below(major, minor.saturating_add(1), 0)),
            (major, None, _) => Some(below(major.saturating_add(1), 0, 0)),
        }
    }

    /// `~1.2.3` and `~1.2` stay below 1.3, `~1` below 2.
    fn tilde(&self) -> Option<Version> {
        let major = self.major?;
        Some(match self.minor {
            Some(minor) => below(major, minor.saturating_add(1), 0),
            None => below(major.saturating_add(1), 0, 0),
        })
    }

    /// The first part that is not zero stays.
    fn caret(&self) -> Option<Version> {
        Some(match (self.major?, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => below(0, 0, patch.saturating_add(1)),
            (0, Some(minor), _) => below(0, minor.saturating_add(1), 0),
            (major, _, _) => below(major.saturating_add(1), 0, 0),
        })
    }
}

/// An upper bound that keeps out its own prereleases: `2.0.0-rc.1` is not below 2.
fn below(major: u64, minor: u64, patch: u64) -> Version {
    let lowest = Prerelease::new("0").expect("0 is a prerelease");
    Version { pre: lowest, ..Version::new(major, minor, patch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, expected: &str) {
        let versions = "0.0.3 0.0.4 0.2.3 0.3.0 1.0.0-rc.1 1.0.0 1.2.0 1.2.9 1.3.0-beta 1.3.0 \
                        2.0.0-rc.1 2.0.0 3.1.4";
        let text = match Range::parse(range) {
            Ok(range) => versions
                .split_whitespace()
                .filter(|version| range.holds(&Version::parse(version).unwrap()))
                .collect::<Vec<_>>()
                .join(" "),
            Err(reason) => reason,
        };
        assert_eq!(text, expected, "{range}");
    }

    #[test]
    fn ranges_hold() {
        let stable = "0.0.3 0.0.4 0.2.3 0.3.0 1.0.0 1.2.0 1.2.9 1.3.0 2.0.0 3.1.4";
        check("*", stable);
        check(">=0.0.0", stable);
        check(">=1.0.0 <2.0.0", "1.0.0 1.2.0 1.2.9 1.3.0");
        check(">= 1.0.0, < 2.0.0", "1.0.0 1.2.0 1.2.9 1.3.0");
        check("1.x", "1.0.0 1.2.0 1.2.9 1.3.0");
        check("1", "1.0.0 1.2.0 1.2.9 1.3.0");
        check("~1.2", "1.2.0 1.2.9");
        check("~1.2.5", "1.2.9");
        check("~1", "1.0.0 1.2.0 1.2.9 1.3.0");
        check("^1", "1.0.0 1.2.0 1.2.9 1.3.0");
        check("^1.2.5", "1.2.9 1.3.0");
        check("^0.2", "0.2.3");
        check("^0.0.3", "0.0.3");
        check("1.2.x || 2.x", "1.2.0 1.2.9 2.0.0");
        check("1.0 - 1.2", "1.0.0 1.2.0 1.2.9");
        check("1.0.0 - 1.2.0", "1.0.0 1.2.0");
        check("!=1.2 >=1 <2", "1.0.0 1.3.0");
        check(">1", "2.0.0 3.1.4");
        check(">1.2.0 <=1.3.0", "1.2.9 1.3.0");
        check("<=1", "0.0.3 0.0.4 0.2.3 0.3.0 1.0.0 1.2.0 1.2.9 1.3.0");
        check("v1.2.0", "1.2.0");
        check("=3.1.4", "3.1.4");
    }

    #[test]
    fn prereleases_only_when_named() {
        check(">=1.0.0-0 <2.0.0", "1.0.0-rc.1 1.0.0 1.2.0 1.2.9 1.3.0-beta 1.3.0 2.0.0-rc.1");
        check("^1.0.0-0", "1.0.0-rc.1 1.0.0 1.2.0 1.2.9 1.3.0-beta 1.3.0");
        check("1.3.0-beta", "1.3.0-beta");
    }

    #[test]
    fn what_cannot_be_read() {
        check("", "a part of it is empty");
        check("1 ||", "a part of it is empty");
        check("latest", "\"latest\" is not a version");
        check(">=", ">= has no version");
        check("1.x.3", "\"1.x.3\" is not a version");
        check("><1", ">< is not an operator");
    }

    #[test]
    fn tags() {
        for (tag, version) in [
            ("v1.2.3", Some("1.2.3")),
            ("1.2.3-rc.1+x", Some("1.2.3-rc.1+x")),
            ("1.2", None),
            ("release-1.2.3", None),
            ("vv1.2.3", None),
        ] {
            assert_eq!(tag_version(tag).map(|v| v.to_string()).as_deref(), version);
        }
    }
}
