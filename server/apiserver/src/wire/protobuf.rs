//! Request bodies in Kubernetes' protobuf encoding.
//!
//! In: the bytes that `kubectl create` and other typed clients send for built-in kinds whatever a
//! server says it takes. Out: the object as JSON. Answers are never encoded this way: every such
//! client takes JSON as well.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The first bytes of every body.
const MAGIC: &[u8] = b"k8s\0";
/// Messages within messages; the deepest kinds have about twenty.
const DEPTH: usize = 48;

type Fields = HashMap<u64, Field>;

/// One field of a message.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    shape: Shape,
    /// Whether zero is kept.
    keep: bool,
    kind: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    One,
    List,
    Map,
}

static MESSAGES: LazyLock<HashMap<&'static str, Fields>> = LazyLock::new(|| {
    let mut messages: HashMap<&'static str, Fields> = HashMap::new();
    let mut current = "";
    for line in include_str!("protobuf.fields").lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix("  ") else {
            current = line;
            messages.entry(current).or_default();
            continue;
        };
        let mut words = field.split(' ');
        if let (Some(Ok(number)), Some(name), Some(kind)) =
            (words.next().map(str::parse), words.next(), words.next())
        {
            messages.entry(current).or_default().insert(number, Field::new(name, kind));
        }
    }
    messages
});

impl Field {
    fn new(name: &'static str, kind: &'static str) -> Self {
        let (keep, kind) = kind.strip_prefix('*').map_or((false, kind), |kind| (true, kind));
        let (shape, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
            (Some(kind), _) => (Shape::List, kind),
            (None, Some(kind)) => (Shape::Map, kind),
            (None, None) => (Shape::One, kind),
        };
        Self { name, shape, keep, kind }
    }
}

/// Reads a body.
///
/// # Errors
/// A part of a sentence, when it is damaged or of a kind that is not known in this encoding.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(MAGIC).ok_or("it does not begin as Kubernetes' protobuf does")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    for field in Wire(body) {
        match field? {
            (1, Token::Bytes(types)) => {
                for field in Wire(types) {
                    match field? {
                        (1, Token::Bytes(text)) => api_version = utf8(text)?,
                        (2, Token::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Token::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let root = match kind.as_str() {
        "DeleteOptions" => "meta DeleteOptions".to_owned(),
        _ => format!("{api_version} {kind}"),
    };
    let fields = MESSAGES
        .get(root.as_str())
        .ok_or_else(|| format!("{kind} in version {api_version} is not known in it"))?;
    let mut object = message(fields, raw, DEPTH)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn message(fields: &Fields, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
    let mut out = Map::new();
    for field in Wire(bytes) {
        let (number, token) = field?;
        // Fields that are not known belong to versions that are not, as status does.
        let Some(field) = fields.get(&number) else { continue };
        match field.shape {
            Shape::One => one(field, &token, depth, &mut out)?,
            Shape::List => {
                let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let item = value(field.kind, &token, depth)?;
                list.as_array_mut().ok_or("a field is a list and is not")?.push(item);
            }
            Shape::Map => {
                let (key, item) = entry(field.kind, &token, depth)?;
                let map = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                map.as_object_mut().ok_or("a field is a map and is not")?.insert(key, item);
            }
        }
    }
    Ok(out)
}

fn one(
    field: &Field,
    token: &Token<'_>,
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), String> {
    let value = value(field.kind, token, depth)?;
    if field.name == "." {
        if let Value::Object(inner) = value {
            out.extend(inner);
        }
    } else if field.keep || !is_zero(&value) {
        out.insert(field.name.to_owned(), value);
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn value(kind: &str, token: &Token<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (kind, token) {
        ("s", Token::Bytes(text)) => utf8(text)?.into(),
        // Two's complement in 64 bits, whatever the width.
        ("i", Token::Number(number)) => number.cast_signed().into(),
        ("b", Token::Number(number)) => (*number != 0).into(),
        ("d", Token::Fixed(bits)) => f64::from_bits(*bits).into(),
        ("y", Token::Bytes(bytes)) => BASE64.encode(bytes).into(),
        ("Time", Token::Bytes(bytes)) => time(bytes)?,
        ("Quantity", Token::Bytes(bytes)) => first_text(bytes)?,
        ("IntOrString", Token::Bytes(bytes)) => int_or_string(bytes)?,
        ("Raw", Token::Bytes(bytes)) => raw(bytes)?,
        (kind, Token::Bytes(bytes)) => {
            let fields = MESSAGES.get(kind).ok_or("a field has a type that is not known")?;
            message(fields, bytes, depth)?.into()
        }
        _ => return Err("a field has another wire type than its type".to_owned()),
    })
}

fn entry(kind: &str, token: &Token<'_>, depth: usize) -> Result<(String, Value), String> {
    let Token::Bytes(bytes) = token else {
        return Err("an entry of a map is not a message".to_owned());
    };
    let (mut key, mut item) = (String::new(), None);
    for field in Wire(bytes) {
        match field? {
            (1, Token::Bytes(text)) => key = utf8(text)?,
            (2, token) => item = Some(value(kind, &token, depth)?),
            _ => {}
        }
    }
    let empty = || match kind {
        "s" | "y" => Value::from(""),
        _ => Value::Null,
    };
    Ok((key, item.unwrap_or_else(empty)))
}

/// A point in time: seconds and nanoseconds. The zero of Go is no time at all.
fn time(bytes: &[u8]) -> Result<Value, String> {
    let (mut seconds, mut nanos) = (None, 0);
    for field in Wire(bytes) {
        match field? {
            (1, Token::Number(number)) => seconds = Some(number.cast_signed()),
            (2, Token::Number(number)) => nanos = i32::try_from(number).unwrap_or(0),
            _ => {}
        }
    }
    let Some(time) = seconds.map(|seconds| Timestamp::new(seconds, nanos)) else {
        return Ok(Value::Null);
    };
    let time = time.map_err(|_| "a time is out of range")?;
    let format = if nanos == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    Ok(time.strftime(format).to_string().into())
}

fn first_text(bytes: &[u8]) -> Result<Value, String> {
    for field in Wire(bytes) {
        if let (1, Token::Bytes(text)) = field? {
            return Ok(utf8(text)?.into());
        }
    }
    Ok("".into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Wire(bytes) {
        match field? {
            (1, Token::Number(kind)) => is_text = kind == 1,
            (2, Token::Number(value)) => number = value.cast_signed(),
            (3, Token::Bytes(value)) => text = utf8(value)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// JSON within the encoding.
fn raw(bytes: &[u8]) -> Result<Value, String> {
    for field in Wire(bytes) {
        if let (1, Token::Bytes(json)) = field? {
            return serde_json::from_slice(json)
                .map_err(|err| format!("a field within it is not JSON: {err}"));
        }
    }
    Ok(Value::Null)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

/// What a field holds on the wire.
enum Token<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one by one; an error is the last.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut out = 0_u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or("it ends within a number")?;
            self.0 = rest;
            out |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(out);
            }
        }
        Err("a number is too long".to_owned())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends within a field")?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed(&mut self, count: u64) -> Result<u64, String> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |out, byte| out << 8 | u64::from(*byte)))
    }

    fn field(&mut self) -> Result<(u64, Token<'a>), String> {
        let tag = self.varint()?;
        let token = match tag & 7 {
            0 => Token::Number(self.varint()?),
            1 => Token::Fixed(self.fixed(8)?),
            2 => {
                let count = self.varint()?;
                Token::Bytes(self.take(count)?)
            }
            5 => Token::Fixed(self.fixed(4)?),
            other => return Err(format!("a field has wire type {other}")),
        };
        Ok((tag >> 3, token))
    }
}

impl<'a> Iterator for Wire<'a> {
    type Item = Result<(u64, Token<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        out.extend_from_slice(content);
        out
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &types), bytes(2, raw)].concat()
    }

    #[test]
    fn a_secret() {
        let metadata = [bytes(1, b"s"), bytes(2, b""), bytes(8, b"")].concat();
        let entry = [bytes(1, b"k"), bytes(2, b"hi")].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry), bytes(3, b"Opaque")].concat();
        assert_eq!(
            parse(&body("v1", "Secret", &raw)).unwrap(),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                "data": {"k": "aGk="}, "type": "Opaque"})
        );
    }

    #[test]
    fn zero_is_kept_where_it_means_something() {
        // A deployment with no replicas, and a port without a number.
        let spec = [vec![1 << 3, 0], bytes(2, b"")].concat();
        let deployment = parse(&body("apps/v1", "Deployment", &bytes(2, &spec))).unwrap();
        assert_eq!(deployment["spec"]["replicas"], 0);
        assert!(deployment.get("metadata").is_none());
    }

    #[test]
    fn every_type_of_the_table_is_known() {
        const KNOWN: [&str; 9] =
            ["s", "i", "b", "d", "y", "Time", "Quantity", "IntOrString", "Raw"];
        for field in MESSAGES.values().flat_map(HashMap::values) {
            let known = KNOWN.contains(&field.kind) || MESSAGES.contains_key(field.kind);
            assert!(known, "{field:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bad in [&b"{}"[..], b"k8s\0", b"k8s\0\xff", &body("v9", "Thing", b"")] {
            assert!(parse(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(kind in 0..3_usize, raw in prop::collection::vec(any::<u8>(), 0..120)) {
            let (api_version, kind) = [("v1", "Pod"), ("v1", "Event"), ("apps/v1", "Deployment")][kind];
            let _ = parse(&body(api_version, kind, &raw));
        }
    }
}
