//! The records of the tail.
//!
//! In: entries of one write, with the bodies that they name. Out: one record, so that a crash
//! keeps all of them or none. The other kind of record is the head: what the tail may forget
//! because bundles, tiles and checkpoint have it.

use std::collections::BTreeMap;

use fixpoint_ledger::merkle::Hash;
use fixpoint_ledger::tiles;
use serde::{Deserialize, Serialize};

const HEAD: u8 = b'H';
const ENTRIES: u8 = b'E';

/// Where the tail begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries before the tail.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The last entry of each subject.
    pub subjects: BTreeMap<String, u64>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Where the tail begins.
    Head(Head),
    /// Entries in order.
    Entries {
        /// Index of the first.
        first: u64,
        /// Their texts.
        texts: Vec<Vec<u8>>,
        /// The bodies that they name.
        bodies: Vec<Vec<u8>>,
    },
}

/// Writes the entries of one write: `E`, first index, number of bodies, bodies with their
/// lengths, entries as in a bundle.
pub fn write_entries(first: u64, texts: &[Vec<u8>], bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut record = vec![ENTRIES];
    record.extend_from_slice(&first.to_le_bytes());
    record.extend_from_slice(&(bodies.len() as u32).to_le_bytes());
    for body in bodies {
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(body);
    }
    for text in texts {
        tiles::push_entry(&mut record, text);
    }
    record
}

/// Writes a head.
pub fn write_head(head: &Head) -> Result<Vec<u8>, serde_json::Error> {
    let mut record = vec![HEAD];
    serde_json::to_writer(&mut record, head)?;
    Ok(record)
}

/// Reads a record; `None` when it is none of ours.
pub fn read(record: &[u8]) -> Option<Record> {
    match record.split_first()? {
        (&HEAD, rest) => serde_json::from_slice(rest).ok().map(Record::Head),
        (&ENTRIES, rest) => {
            let (first, rest) = rest.split_first_chunk::<8>()?;
            let (count, mut rest) = rest.split_first_chunk::<4>()?;
            let mut bodies = Vec::new();
            for _ in 0..u32::from_le_bytes(*count) {
                let (len, more) = rest.split_first_chunk::<4>()?;
                let (body, more) = more.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                bodies.push(body.to_vec());
                rest = more;
            }
            let texts = tiles::split_bundle(rest)?.into_iter().map(<[u8]>::to_vec).collect();
            Some(Record::Entries { first: u64::from_le_bytes(*first), texts, bodies })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_both_ways() {
        let texts = vec![b"one".to_vec(), b"two".to_vec()];
        let bodies = vec![b"body".to_vec(), Vec::new()];
        let record = write_entries(7, &texts, &bodies);
        assert_eq!(read(&record), Some(Record::Entries { first: 7, texts, bodies }));
        let head = Head { size: 3, root: [9; 32], subjects: BTreeMap::from([("a".into(), 1)]) };
        assert_eq!(read(&write_head(&head).unwrap()), Some(Record::Head(head)));
    }

    #[test]
    fn other_records_are_none() {
        let record = write_entries(7, &[b"one".to_vec()], &[b"body".to_vec()]);
        for len in (0..13).chain([14, 20, record.len() - 1]) {
            assert_eq!(read(&record[..len]), None, "{len}");
        }
        assert_eq!(read(b"Xabc"), None);
    }
}
