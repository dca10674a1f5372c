//! The bytes of the log.
//!
//! A file is a header and then records. Header: magic (8) | number u64 | extra u64 | crc32. Record:
//! length u32 | crc32 | bytes. All integers are little-endian. The checksum of a record covers
//! the number of its file and its own offset, so a record is valid in one place only: neither a
//! stale block nor a record quoted inside another one is taken for one.
//!
//! The top bit of a length marks the first record of a batch. Batches are made durable one after
//! the other, so whatever lies before a valid batch was durable, and damage to it is no crash.

use std::io::{self, Read};

use crc32fast::Hasher;

/// `extra` is the length of the previous segment.
pub const SEGMENT: &[u8; 8] = b"FXPLOG\x00\x01";
/// `extra` is the number of records.
pub const SNAPSHOT: &[u8; 8] = b"FXPSNP\x00\x01";
/// Bytes of a file's header.
pub const HEADER: u64 = 28;
/// Bytes before those of a record.
pub const PREFIX: u64 = 8;
/// Marks the first record of a batch.
const STARTS_BATCH: u32 = 1 << 31;
/// What a power cut loses is lost in whole sectors.
const SECTOR: usize = 512;

/// Writes the header of a file.
pub fn header(magic: &[u8; 8], number: u64, extra: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER as usize);
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&extra.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads the `extra` of a header; `None` when it is not the header of that file.
pub fn read_header(bytes: &[u8], magic: &[u8; 8], number: u64) -> Option<u64> {
    let extra = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    (bytes.get(..HEADER as usize)? == header(magic, number, extra)).then_some(extra)
}

/// Appends a record to a buffer that will be written so that the record lands at `offset`.
pub fn push(buffer: &mut Vec<u8>, number: u64, offset: u64, record: &[u8], starts_batch: bool) {
    let len = record.len() as u32 | if starts_batch { STARTS_BATCH } else { 0 };
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&checksum(number, offset, len, record).to_le_bytes());
    buffer.extend_from_slice(record);
}

fn checksum(number: u64, offset: u64, len: u32, record: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    hasher.update(record);
    hasher.finalize()
}

/// Reads records until the end or the first bad one; gives the offset it came to.
///
/// `offset` is where the reader stands and `end` the length of the file.
pub fn read_records(
    reader: &mut dyn Read,
    number: u64,
    mut offset: u64,
    end: u64,
    records: &mut Vec<Vec<u8>>,
) -> io::Result<u64> {
    while end - offset >= PREFIX {
        let mut prefix = [0; PREFIX as usize];
        if !fill(reader, &mut prefix)? {
            break;
        }
        let (len, crc) = split_prefix(prefix);
        let size = u64::from(len & !STARTS_BATCH);
        if size > end - offset - PREFIX {
            break;
        }
        let mut record = vec![0; size as usize];
        if !fill(reader, &mut record)? || checksum(number, offset, len, &record) != crc {
            break;
        }
        records.push(record);
        offset += PREFIX + size;
    }
    Ok(offset)
}

fn split_prefix(prefix: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = prefix;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Fills the buffer; `false` when the file ends first.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(err) => Err(err),
    }
}

/// Whether the bad record at `bad` can be what a crash left of the last, unacknowledged batch.
///
/// It cannot when a later batch follows: that one was begun after this one was durable. Nor when
/// a whole record of the same batch follows, unless a lost sector lies between: a crash loses
/// sectors, it does not flip bits.
pub fn is_torn(bytes: &[u8], number: u64, bad: usize) -> bool {
    let mut first_valid = None;
    for offset in bad + 1..bytes.len().saturating_sub(PREFIX as usize - 1) {
        match valid_at(bytes, number, offset) {
            Some(true) => return false,
            Some(false) => first_valid = first_valid.or(Some(offset)),
            None => {}
        }
    }
    first_valid.is_none_or(|next| has_lost_sector(bytes, bad, next))
}

/// Whether a valid record is at an offset, and if so whether it starts a batch.
fn valid_at(bytes: &[u8], number: u64, offset: usize) -> Option<bool> {
    let prefix: [u8; 8] = bytes.get(offset..offset + PREFIX as usize)?.try_into().ok()?;
    let (len, crc) = split_prefix(prefix);
    let from = offset + PREFIX as usize;
    let record = bytes.get(from..from.checked_add((len & !STARTS_BATCH) as usize)?)?;
    (checksum(number, offset as u64, len, record) == crc).then_some(len & STARTS_BATCH != 0)
}

fn has_lost_sector(bytes: &[u8], from: usize, to: usize) -> bool {
    let mut at = from;
    while at < to {
        let end = ((at / SECTOR + 1) * SECTOR).min(to);
        if end - at >= PREFIX as usize && bytes[at..end].iter().all(|byte| *byte == 0) {
            return true;
        }
        at = end;
    }
    false
}
