//! From text to values.
//!
//! In: the bytes of a stream. Out: one value per document that is not empty. Nesting lives in a
//! list, not on the call stack, and every copy that an alias makes is counted before it is made.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fixpoint_base::Limits;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use crate::error::{Place, YamlError};
use crate::resolve::{self, Dialect, Scalar};

/// Reads all documents of a stream as `kubectl` and controllers do; empty ones are dropped.
///
/// # Errors
/// Where the text is not UTF-8 or not YAML, a key is there twice, a value has no JSON form, or a
/// limit is hit.
///
/// ```
/// # use fixpoint_base::Limits;
/// let values = fixpoint_yaml::parse(b"a: yes\n---\n---\nb: 0o17\n", &Limits::default())?;
/// assert_eq!(serde_json::json!(values).to_string(), r#"[{"a":true},{"b":15}]"#);
/// # Ok::<(), fixpoint_yaml::YamlError>(())
/// ```
pub fn parse(text: &[u8], limits: &Limits) -> Result<Vec<Value>, YamlError> {
    parse_as(text, Dialect::Kubernetes, limits)
}

/// Reads all documents of a stream in a dialect; empty ones are dropped.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(text: &[u8], dialect: Dialect, limits: &Limits) -> Result<Vec<Value>, YamlError> {
    let start = Place { line: 1, column: 1 };
    if text.len() as u64 > limits.manifest_bytes {
        let limit = usize::try_from(limits.manifest_bytes).unwrap_or(usize::MAX);
        return Err(YamlError::over(start, "the text has too many bytes", limit));
    }
    let text = utf8(text)?;
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.block_scalar_eof_without_line_feed = true;
    // The reader's own bound comes first, so that its message is the one that is seen.
    options.flow_nesting_limit = limits.yaml_depth.saturating_add(2);
    options.block_nesting_limit = limits.yaml_depth.saturating_add(2);
    let mut reader = Reader::new(dialect, limits);
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|err| {
            let mark = err.marker();
            let at = Place { line: mark.line(), column: mark.col() + 1 };
            let what = err.kind().to_string();
            match what.contains("recursion limit") {
                true => YamlError::over(at, "the nesting is too deep", limits.yaml_depth),
                false => YamlError::bad(at, what),
            }
        })?;
        reader.take(event, place(&span))?;
    }
    Ok(reader.values)
}

fn utf8(text: &[u8]) -> Result<&str, YamlError> {
    let text = std::str::from_utf8(text).map_err(|err| {
        let before = String::from_utf8_lossy(&text[..err.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        YamlError::bad(Place { line, column }, "the text is not UTF-8")
            .hint("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

/// A finished node and what it costs to copy.
struct Node {
    value: Value,
    nodes: usize,
    height: usize,
}

/// A collection that is not finished yet.
struct Frame {
    kind: Kind,
    anchor: usize,
    nodes: usize,
    height: usize,
}

enum Kind {
    Sequence(Vec<Value>),
    Mapping { fields: Map<String, Value>, key: Option<Key>, merged: Vec<Map<String, Value>> },
}

enum Key {
    Text(String),
    Merge,
}

struct Reader<'a> {
    limits: &'a Limits,
    dialect: Dialect,
    values: Vec<Value>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    documents: usize,
    aliases: usize,
    /// Nodes of this document, with the copies that anchors and aliases make.
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn new(dialect: Dialect, limits: &'a Limits) -> Self {
        Self {
            limits,
            dialect,
            values: Vec::new(),
            frames: Vec::new(),
            anchors: HashMap::new(),
            documents: 0,
            aliases: 0,
            nodes: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) => self.start_document(at),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Kind::Sequence(vec![]), anchor, at),
            Event::MappingStart(_, anchor, _) => {
                let (fields, merged) = (Map::new(), Vec::new());
                self.open(Kind::Mapping { fields, key: None, merged }, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(id) => self.alias(id, at),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, at: Place) -> Result<(), YamlError> {
        self.documents += 1;
        if self.documents > self.limits.yaml_documents {
            return Err(YamlError::over(at, "too many documents", self.limits.yaml_documents));
        }
        self.nodes = 0;
        self.anchors.clear();
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.yaml_nodes {
            return Err(YamlError::over(
                at,
                "the document has too many values",
                self.limits.yaml_nodes,
            )
            .hint("aliases count as what they stand for; split the document"));
        }
        Ok(())
    }

    fn check_depth(&self, height: usize, at: Place) -> Result<(), YamlError> {
        if self.frames.len() + height > self.limits.yaml_depth {
            return Err(YamlError::over(
                at,
                "the document is nested too deep",
                self.limits.yaml_depth,
            ));
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, anchor: usize, at: Place) -> Result<(), YamlError> {
        self.check_depth(1, at)?;
        if self.expects_key() {
            return Err(
                YamlError::bad(at, "a key is a list or a mapping").hint("write keys as text")
            );
        }
        self.frames.push(Frame { kind, anchor, nodes: 1, height: 1 });
        self.count(1, at)
    }

    fn close(&mut self, at: Place) -> Result<(), YamlError> {
        let Some(Frame { kind, anchor, nodes, height }) = self.frames.pop() else {
            return Err(YamlError::bad(at, "a collection ends that never began"));
        };
        let value = match kind {
            Kind::Sequence(items) => Value::Array(items),
            Kind::Mapping { mut fields, merged, .. } => {
                // What the mapping says itself wins over what it merges in; of those the first.
                for (key, value) in merged.into_iter().flatten() {
                    fields.entry(key).or_insert(value);
                }
                Value::Object(fields)
            }
        };
        self.place(Node { value, nodes, height }, anchor, at)
    }

    fn alias(&mut self, id: usize, at: Place) -> Result<(), YamlError> {
        self.aliases += 1;
        if self.aliases > self.limits.yaml_aliases {
            return Err(YamlError::over(at, "too many aliases", self.limits.yaml_aliases));
        }
        let Some((nodes, height)) = self.anchors.get(&id).map(|node| (node.nodes, node.height))
        else {
            return Err(YamlError::bad(at, "an alias stands within what it names"));
        };
        self.count(nodes, at)?;
        self.check_depth(height, at)?;
        let value = self.anchors[&id].value.clone();
        if self.expects_key() {
            let key = key_of(value, at)?;
            return self.set_key(Key::Text(key), at);
        }
        self.place(Node { value, nodes, height }, 0, at)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Place,
    ) -> Result<(), YamlError> {
        self.count(1, at)?;
        let plain = style == ScalarStyle::Plain;
        if self.expects_key() {
            let merges =
                text == "<<" && tag.map_or(plain, |tag| core_tag(tag).as_deref() == Some("merge"));
            if merges {
                return self.set_key(Key::Merge, at);
            }
            let key = match self.dialect {
                // A key that is a date or a number keeps its spelling there.
                Dialect::Kustomize => text.to_owned(),
                Dialect::Kubernetes => key_of(self.value_of(text, plain, tag, at)?, at)?,
            };
            if anchor != 0 {
                let value = Value::String(key.clone());
                self.anchors.insert(anchor, Node { value, nodes: 1, height: 0 });
            }
            return self.set_key(Key::Text(key), at);
        }
        let value = if self.dialect == Dialect::Kustomize && self.in_annotations() {
            Value::String(text.to_owned())
        } else {
            self.value_of(text, plain, tag, at)?
        };
        self.place(Node { value, nodes: 1, height: 0 }, anchor, at)
    }

    /// Whether the value that is read belongs to `metadata.annotations` of the document.
    fn in_annotations(&self) -> bool {
        let under = |frame: &Frame, name: &str| matches!(&frame.kind, Kind::Mapping { key: Some(Key::Text(key)), .. } if key == name);
        match self.frames.as_slice() {
            [root, metadata, _] => under(root, "metadata") && under(metadata, "annotations"),
            _ => false,
        }
    }

    fn value_of(
        &self,
        text: &str,
        plain: bool,
        tag: Option<&Tag>,
        at: Place,
    ) -> Result<Value, YamlError> {
        let resolved = match tag {
            None if plain => resolve::plain(text, self.dialect),
            None => Scalar::Text,
            Some(tag) => match core_tag(tag).as_deref() {
                Some("binary") => return binary(text, at).map(Value::String),
                Some(wanted @ ("bool" | "int" | "float" | "null" | "timestamp")) => {
                    self.tagged(text, wanted, at)?
                }
                _ => Scalar::Text,
            },
        };
        match resolved {
            Scalar::Null => Ok(Value::Null),
            Scalar::Bool(value) => Ok(Value::Bool(value)),
            Scalar::Int(value) => Ok(Value::Number(value)),
            Scalar::Float(value) => resolve::json_float(value)
                .ok_or_else(|| YamlError::bad(at, "infinity and not-a-number have no JSON form")),
            Scalar::Timestamp(time) if self.dialect == Dialect::Kustomize => {
                Ok(Value::String(time))
            }
            Scalar::Timestamp(_) | Scalar::Text => Ok(Value::String(text.to_owned())),
        }
    }

    fn tagged(&self, text: &str, wanted: &str, at: Place) -> Result<Scalar, YamlError> {
        let resolved = resolve::plain(text, self.dialect);
        let found = resolved.tag();
        // An integer is a float as well.
        if found == wanted || (wanted, found) == ("float", "int") {
            return Ok(resolved);
        }
        Err(YamlError::bad(at, format!("the value is tagged !!{wanted} but reads as !!{found}")))
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { kind: Kind::Mapping { key: None, .. }, .. }))
    }

    fn set_key(&mut self, new: Key, at: Place) -> Result<(), YamlError> {
        let Some(Frame { kind: Kind::Mapping { fields, key, .. }, .. }) = self.frames.last_mut()
        else {
            return Err(YamlError::bad(at, "a key stands outside of a mapping"));
        };
        if let Key::Text(text) = &new
            && fields.contains_key(text)
        {
            let text: String = text.chars().take(100).collect();
            return Err(YamlError::bad(at, format!("key {text:?} is there twice"))
                .hint("remove one of the two"));
        }
        *key = Some(new);
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node, anchor: usize, at: Place) -> Result<(), YamlError> {
        if anchor != 0 {
            self.count(node.nodes, at)?;
            let Node { value, nodes, height } = &node;
            let copy = Node { value: value.clone(), nodes: *nodes, height: *height };
            self.anchors.insert(anchor, copy);
        }
        let Node { value, nodes, height } = node;
        let Some(frame) = self.frames.last_mut() else {
            if !value.is_null() {
                self.values.push(value);
            }
            return Ok(());
        };
        frame.nodes = frame.nodes.saturating_add(nodes);
        frame.height = frame.height.max(height + 1);
        match &mut frame.kind {
            Kind::Sequence(items) => items.push(value),
            Kind::Mapping { fields, key, merged } => match key.take() {
                Some(Key::Text(key)) => {
                    fields.insert(key, value);
                }
                Some(Key::Merge) => merge(value, merged, at)?,
                None => return Err(YamlError::bad(at, "a value has no key")),
            },
        }
        Ok(())
    }
}

fn merge(value: Value, merged: &mut Vec<Map<String, Value>>, at: Place) -> Result<(), YamlError> {
    let items = match value {
        Value::Array(items) => items,
        value => vec![value],
    };
    for item in items {
        let Value::Object(fields) = item else {
            return Err(YamlError::bad(at, "<< takes a mapping or a list of mappings"));
        };
        merged.push(fields);
    }
    Ok(())
}

/// The name of a tag of `tag:yaml.org,2002:`.
fn core_tag(tag: &Tag) -> Option<String> {
    tag.suffix_in_namespace("tag:yaml.org,2002:").map(std::borrow::Cow::into_owned)
}

/// A key as text: numbers and booleans are written out.
fn key_of(value: Value, at: Place) -> Result<String, YamlError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::Null => Err(YamlError::bad(at, "a key is null").hint("quote it, or give it a name")),
        Value::Array(_) | Value::Object(_) => {
            Err(YamlError::bad(at, "a key is a list or a mapping").hint("write keys as text"))
        }
    }
}

fn binary(text: &str, at: Place) -> Result<String, YamlError> {
    let packed: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = BASE64_STANDARD
        .decode(packed)
        .map_err(|_| YamlError::bad(at, "the value is tagged !!binary but is not base64"))?;
    String::from_utf8(bytes).map_err(|_| {
        YamlError::bad(at, "the bytes tagged !!binary are no text, which JSON cannot hold")
    })
}
