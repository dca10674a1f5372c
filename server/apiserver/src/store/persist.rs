//! The form on disk: batches of changes, and snapshots of everything.
//!
//! A record is one version byte, one kind byte and entries; integers are little-endian, strings
//! and objects carry their length first. The log below checks the bytes, so an entry that does
//! not fit its record means another version or a bug, never a torn write.

use std::sync::Arc;

use super::object::{Meta, Name, Object, Resource};
use super::state::{EventKind, State};

/// Raised when a reader of the version before would misunderstand a record.
const VERSION: u8 = 1;

const BATCH: u8 = 1;
const SNAPSHOT_HEAD: u8 = 2;
const SNAPSHOT_PART: u8 = 3;

/// Bytes of one record of a snapshot: large enough that records cost nothing.
const PART_BYTES: usize = 1024 * 1024;

/// One change of a batch.
pub struct Entry<'a> {
    /// Table.
    pub resource: &'a Resource,
    /// What happened.
    pub kind: EventKind,
    /// The object after it; for a deletion, its last state.
    pub object: &'a Object,
}

/// Writes a batch, which is taken in whole or not at all.
pub fn batch<'a>(second: i64, entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut out = vec![VERSION, BATCH];
    out.extend_from_slice(&second.to_le_bytes());
    for entry in entries {
        write_entry(&mut out, &entry);
    }
    out
}

/// Writes everything as it is at one revision.
pub fn snapshot(revision: u64, objects: &[(Resource, Arc<Object>)]) -> Vec<Vec<u8>> {
    let mut head = vec![VERSION, SNAPSHOT_HEAD];
    head.extend_from_slice(&revision.to_le_bytes());
    let mut out = vec![head];
    let mut part = vec![VERSION, SNAPSHOT_PART];
    for (resource, object) in objects {
        write_entry(&mut part, &Entry { resource, kind: EventKind::Added, object });
        if part.len() >= PART_BYTES {
            out.push(std::mem::replace(&mut part, vec![VERSION, SNAPSHOT_PART]));
        }
    }
    out.push(part);
    out
}

/// Takes a record in.
pub fn replay(state: &mut State, record: &[u8]) -> Result<(), String> {
    let mut from = Reader(record);
    let version = from.byte()?;
    if version != VERSION {
        return Err(format!("a record has version {version}, and this program reads {VERSION}"));
    }
    match from.byte()? {
        BATCH => {
            let second = i64::from_le_bytes(from.array()?);
            while !from.0.is_empty() {
                let (resource, kind, object) = from.entry()?;
                state.apply(&resource, kind, Arc::new(object), second);
            }
        }
        SNAPSHOT_HEAD => state.restored_at(u64::from_le_bytes(from.array()?)),
        SNAPSHOT_PART => {
            while !from.0.is_empty() {
                let (resource, _, object) = from.entry()?;
                state.restore(&resource, Arc::new(object));
            }
        }
        other => {
            return Err(format!("a record has kind {other}, which this program does not know"));
        }
    }
    Ok(())
}

fn write_entry(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let Entry { resource, kind, object } = entry;
    out.push(match kind {
        EventKind::Added => 1,
        EventKind::Modified => 2,
        EventKind::Deleted => 3,
    });
    out.extend_from_slice(&object.revision.to_le_bytes());
    for text in [&*resource.group, &*resource.plural, &object.name.namespace, &object.name.name] {
        write_bytes(out, text.as_bytes());
    }
    write_bytes(out, object.body());
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Bodies are bounded by the request limit, far below 4 GiB.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or("a record ends within an entry")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "a record ends within a number".to_owned())
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let count = u32::from_le_bytes(self.array()?);
        self.take(count as usize)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a name is not UTF-8".to_owned())
    }

    fn entry(&mut self) -> Result<(Resource, EventKind, Object), String> {
        let kind = match self.byte()? {
            1 => EventKind::Added,
            2 => EventKind::Modified,
            3 => EventKind::Deleted,
            other => return Err(format!("a change has kind {other}")),
        };
        let revision = u64::from_le_bytes(self.array()?);
        let resource = Resource::new(self.text()?, self.text()?);
        let name = Name::new(self.text()?, self.text()?);
        let json = self.bytes()?;
        let meta = Meta::parse(json)
            .map_err(|err| format!("{}/{} does not parse: {err}", resource.plural, name.name))?;
        let object = Object::new(kind, revision, name, meta, json);
        Ok((resource, kind, object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: EventKind, revision: u64, name: &str) -> Object {
        let json =
            format!(r#"{{"metadata":{{"uid":"u-{name}","labels":{{"a":"b"}}}},"n":{revision}}}"#);
        let meta = Meta::parse(json.as_bytes()).unwrap();
        Object::new(kind, revision, Name::new("ns", name), meta, json.as_bytes())
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let resource = Resource::new("", "configmaps");
        let (a, b) = (object(EventKind::Added, 7, "a"), object(EventKind::Deleted, 8, "a"));
        let record = batch(
            5,
            [(EventKind::Added, &a), (EventKind::Deleted, &b)]
                .into_iter()
                .map(|(kind, object)| Entry { resource: &resource, kind, object }),
        );
        let mut state = State::new();
        replay(&mut state, &record).unwrap();
        assert_eq!((state.revision(), state.all().count()), (8, 0));
        let events = state.events_after(&resource, 6, 10).unwrap();
        assert_eq!(events[0].object.json(), a.json());
        assert_eq!(events[1].kind, EventKind::Deleted);
    }

    #[test]
    fn a_snapshot_forgets_what_came_before() {
        let resource = Resource::new("", "configmaps");
        let all = vec![(resource.clone(), Arc::new(object(EventKind::Modified, 3, "x")))];
        let mut state = State::new();
        for record in snapshot(9, &all) {
            replay(&mut state, &record).unwrap();
        }
        assert_eq!((state.revision(), state.oldest(), state.all().count()), (9, 9, 1));
        assert!(state.events_after(&resource, 8, 1).is_err());
        assert!(state.events_after(&resource, 9, 1).unwrap().is_empty());
    }

    #[test]
    fn damaged_records_are_refused_not_read() {
        let mut state = State::new();
        for record in [&[][..], &[2, 1], &[1, 9], &[1, 1, 0], &[1, 2, 1, 1]] {
            assert!(replay(&mut state, record).is_err(), "{record:?}");
        }
    }
}
