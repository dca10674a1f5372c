//! What a plain scalar means: go-yaml's rules, in the two forms that Kubernetes tools use.

use serde_json::{Number, Value};

use crate::timestamp;

/// Which tool's reading of plain scalars to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// As `sigs.k8s.io/yaml`, `kubectl` and controllers read: `yes`, `no`, `on`, `off`, `y` and
    /// `n` are booleans, dates stay strings.
    #[default]
    Kubernetes,
    /// As `kustomize` reads: only `true` and `false` are booleans, dates become the RFC 3339
    /// text of their time. Annotations of the document are text however they are written.
    Kustomize,
}

/// What a scalar is.
#[derive(Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
    Timestamp(String),
    Text,
}

impl Scalar {
    /// The core tag's name.
    pub(crate) const fn tag(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Timestamp(_) => "timestamp",
            Self::Text => "str",
        }
    }
}

/// Resolves a plain scalar.
pub(crate) fn plain(text: &str, dialect: Dialect) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'~' | b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => {
            word(text, dialect)
        }
        b'.' => dotted(text),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Scalar::Text,
    }
}

fn word(text: &str, dialect: Dialect) -> Scalar {
    match text {
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ if dialect == Dialect::Kustomize => Scalar::Text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        _ => Scalar::Text,
    }
}

fn dotted(text: &str) -> Scalar {
    match text {
        ".inf" | ".Inf" | ".INF" => Scalar::Float(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        _ => float(text).map_or(Scalar::Text, Scalar::Float),
    }
}

fn number(text: &str) -> Scalar {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if let Some(time) = timestamp::rfc3339(text) {
        return Scalar::Timestamp(time);
    }
    let stripped;
    let digits = if text.contains('_') {
        stripped = text.replace('_', "");
        stripped.as_str()
    } else {
        text
    };
    if let Some(int) = integer(digits) {
        return Scalar::Int(int);
    }
    float(digits).map_or(Scalar::Text, Scalar::Float)
}

/// Reads an integer with Go's prefixes: `0x`, `0o`, `0b`, and a bare `0` for octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = digits.len() < text.len();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -value } else { value };
    match i64::try_from(value) {
        Ok(value) => Some(value.into()),
        // Go reads what only fits 64 unsigned bits without a sign.
        Err(_) if signed => None,
        Err(_) => u64::try_from(value).ok().map(Number::from),
    }
}

/// Reads a decimal float; what does not fit a double is no float.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or(unsigned);
    let shaped = mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && mantissa.bytes().any(|b| b.is_ascii_digit());
    if !shaped {
        return None;
    }
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

/// The JSON number of a float as Go's encoder and go-yaml's decoder make it: an integer where
/// the value is integral and fits one.
pub(crate) fn json_float(float: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "checked by the comparison before it")]
    if float.fract() == 0.0 {
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float) {
            return Some(Value::from(float as i64));
        }
        #[expect(clippy::cast_sign_loss, reason = "checked by the comparison before it")]
        if (0.0..18_446_744_073_709_551_616.0).contains(&float) {
            return Some(Value::from(float as u64));
        }
    }
    Number::from_f64(float).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a plain scalar becomes in each dialect: tag and value.
    fn check(text: &str, kubernetes: &str, kustomize: &str) {
        for (dialect, expected) in
            [(Dialect::Kubernetes, kubernetes), (Dialect::Kustomize, kustomize)]
        {
            let shown = match plain(text, dialect) {
                Scalar::Null => "null".to_owned(),
                Scalar::Bool(value) => format!("bool {value}"),
                Scalar::Int(value) => format!("int {value}"),
                Scalar::Float(value) => format!("float {value}"),
                Scalar::Timestamp(value) => format!("time {value}"),
                Scalar::Text => "str".to_owned(),
            };
            assert_eq!(shown, expected, "{text} as {dialect:?}");
        }
    }

    #[test]
    fn words() {
        for (text, both) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("true", "bool true"),
            ("FALSE", "bool false"),
            ("nULL", "str"),
            ("tRUE", "str"),
        ] {
            check(text, both, both);
        }
        for text in ["yes", "on", "Y", "On"] {
            check(text, "bool true", "str");
        }
        for text in ["no", "off", "n", "OFF"] {
            check(text, "bool false", "str");
        }
    }

    #[test]
    fn integers() {
        for (text, both) in [
            ("0", "int 0"),
            ("-0", "int 0"),
            ("+12", "int 12"),
            ("0777", "int 511"),
            ("007", "int 7"),
            ("0o777", "int 511"),
            ("0x1F", "int 31"),
            ("-0x1f", "int -31"),
            ("0b101", "int 5"),
            ("1_000", "int 1000"),
            ("9223372036854775807", "int 9223372036854775807"),
            ("12345678901234567890", "int 12345678901234567890"),
            ("-9223372036854775808", "int -9223372036854775808"),
            ("0x", "str"),
            ("0o8", "str"),
            ("1a", "str"),
            ("-", "str"),
            ("1:30", "str"),
        ] {
            check(text, both, both);
        }
    }

    #[test]
    fn floats() {
        for (text, both) in [
            ("1.0", "float 1"),
            ("08", "float 8"),
            ("1e3", "float 1000"),
            ("-1.5e-3", "float -0.0015"),
            (".5", "float 0.5"),
            ("5.", "float 5"),
            ("123456789012345678901234567890", "float 123456789012345680000000000000"),
            ("1e400", "str"),
            (".", "str"),
            (".e5", "str"),
            ("1e", "str"),
            ("1.2.3", "str"),
            (".inf", "float inf"),
            ("-.INF", "float -inf"),
            (".NaN", "float NaN"),
            ("inf", "str"),
            ("+inf", "str"),
        ] {
            check(text, both, both);
        }
    }

    #[test]
    fn times() {
        check("2001-12-14", "time 2001-12-14T00:00:00Z", "time 2001-12-14T00:00:00Z");
        check("2001-13-14", "str", "str");
    }
}
