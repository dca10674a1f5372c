//! Durations as Flux writes them: the unsigned part of Go's notation, `1h30m`, `1.5s`, `500ms`.
//!
//! In: text. Out: the text again, and what it means. The text is kept as it was written, so that
//! an object that is read and written back has not changed.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the API server accepts as an interval.
const PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

/// What it accepts as the timeout of a source, which cannot be given in hours.
pub(crate) const PATTERN_WITHOUT_HOURS: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$";

const NANOSECOND: u128 = 1;
const MICROSECOND: u128 = 1_000;
const MILLISECOND: u128 = 1_000_000;
const SECOND: u128 = 1_000_000_000;
const MINUTE: u128 = 60 * SECOND;
const HOUR: u128 = 60 * MINUTE;

/// Go counts in signed 64-bit nanoseconds, about 292 years.
const LONGEST: u128 = i64::MAX as u128;

/// A length of time, as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(String);

impl Interval {
    /// Takes a text as it is; whether it is a duration shows when it is asked for.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How long it is; `None` where the text is no duration.
    pub fn duration(&self) -> Option<Duration> {
        duration(&self.0)
    }
}

impl From<Duration> for Interval {
    fn from(value: Duration) -> Self {
        Self(format(value))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Interval {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN})
    }
}

/// Reads a duration in Go's notation without a sign: one or more numbers, each with a unit of
/// `ns`, `us`, `µs`, `ms`, `s`, `m` or `h`.
///
/// `None` where the text is anything else, or longer than Go can count (about 292 years).
pub fn duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = term(rest)?;
        total = total.checked_add(part).filter(|sum| *sum <= LONGEST)?;
        rest = after;
    }
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

/// Reads one number and its unit; gives nanoseconds and what follows.
fn term(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest)?,
        None => ("", rest),
    };
    let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = match unit {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    let whole = whole.parse::<u64>().ok()?;
    // An hour has 3.6e12 nanoseconds: digits beyond the eighteenth cannot matter.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(fraction.len() as u32);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    Some((u128::from(whole) * unit + part * unit / scale, rest))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Writes a duration as Go prints it: `1h30m0s`, `1.5s`, `500ms`, `0s`.
pub fn format(value: Duration) -> String {
    let nanos = value.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        n if n < MICROSECOND => format!("{n}ns"),
        n if n < MILLISECOND => decimal(n, MICROSECOND, "µs"),
        n if n < SECOND => decimal(n, MILLISECOND, "ms"),
        n => {
            let seconds = decimal(n % MINUTE, SECOND, "s");
            match (n / HOUR, n % HOUR / MINUTE) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

fn decimal(nanos: u128, unit: u128, name: &str) -> String {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", nanos % unit);
    match fraction.trim_end_matches('0') {
        "" => format!("{}{name}", nanos / unit),
        fraction => format!("{}.{fraction}{name}", nanos / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, nanos: u64, printed: &str) {
        let read = duration(text).unwrap();
        assert_eq!(read, Duration::from_nanos(nanos), "{text}");
        assert_eq!(format(read), printed);
        assert_eq!(duration(printed), Some(read), "what is printed reads back");
    }

    #[test]
    fn durations_read_and_print() {
        check("60s", 60_000_000_000, "1m0s");
        check("1h30m", 5_400_000_000_000, "1h30m0s");
        check("1.5s", 1_500_000_000, "1.5s");
        check("500ms", 500_000_000, "500ms");
        check("0s", 0, "0s");
        check("10m", 600_000_000_000, "10m0s");
        check("0.5h", 1_800_000_000_000, "30m0s");
        check("1.000000000000000000001h", 3_600_000_000_000, "1h0m0s");
        check("152.25ms", 152_250_000, "152.25ms");
        check("7µs", 7_000, "7µs");
        check("3m3ns", 180_000_000_003, "3m0.000000003s");
        check("24h", 86_400_000_000_000, "24h0m0s");
        check("1s1s", 2_000_000_000, "2s");
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "5 s",
            ".5s",
            "5.s",
            "1d",
            "1h30",
            "5S",
            "1e3s",
            "1..5s",
            "9999999999999h",
            "99999999999999999999999s",
            "∞",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_text_is_kept() {
        let interval: Interval = serde_json::from_str("\"90m\"").unwrap();
        assert_eq!(serde_json::to_string(&interval).unwrap(), "\"90m\"");
        assert_eq!(interval.duration(), Some(Duration::from_secs(5_400)));
        assert_eq!(Interval::from(Duration::from_secs(5_400)).as_str(), "1h30m0s");
    }
}
