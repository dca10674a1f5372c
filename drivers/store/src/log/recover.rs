//! What a log's folder holds after whatever happened to it.
//!
//! In: the files. Out: the records that survived and the place where the next one goes. What a
//! crash left behind is cleared away; what no crash can leave is an error that names its place.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use super::LogError;
use super::format::{self, HEADER, SEGMENT, SNAPSHOT};
use crate::disk::Disk;

/// Where the next record goes, and what is there already.
#[derive(Debug)]
pub struct Place {
    /// The segment that is written to.
    pub number: u64,
    /// Its length; 0 when it does not exist yet.
    pub end: u64,
    /// Sizes of all files.
    pub sizes: BTreeMap<String, u64>,
}

/// What survived.
#[derive(Debug)]
pub struct Recovered {
    /// Oldest first.
    pub records: Vec<Vec<u8>>,
    /// Where to go on.
    pub place: Place,
}

/// Name of a segment.
pub fn segment(number: u64) -> String {
    format!("{number:020}.log")
}

/// Name of the snapshot that replaces all segments before one.
pub fn snapshot(number: u64) -> String {
    format!("{number:020}.snap")
}

/// The log's files as the folder lists them.
struct Listing {
    snapshot: Option<u64>,
    segments: Vec<(u64, u64)>,
    obsolete: Vec<String>,
    sizes: BTreeMap<String, u64>,
}

fn list(disk: &dyn Disk, name: &str) -> Result<Listing, LogError> {
    let files = disk.list("").map_err(|err| LogError::io(name, err))?;
    let mut snapshots = Vec::new();
    let mut segments = Vec::new();
    let mut obsolete = Vec::new();
    for (file, len) in &files {
        match file.split_once('.') {
            Some((number, "snap")) => snapshots.extend(number.parse::<u64>().ok()),
            Some((number, "log")) => {
                segments.extend(number.parse::<u64>().ok().map(|number| (number, *len)));
            }
            Some((_, "snap.tmp")) => obsolete.push(file.clone()),
            _ => {}
        }
    }
    snapshots.sort_unstable();
    segments.sort_unstable();
    let last = snapshots.pop();
    obsolete.extend(snapshots.into_iter().map(snapshot));
    if let Some(base) = last {
        let old = segments.iter().filter(|(number, _)| *number < base);
        obsolete.extend(old.map(|(number, _)| segment(*number)));
        segments.retain(|(number, _)| *number >= base);
    }
    let sizes = files.into_iter().filter(|(file, _)| !obsolete.contains(file)).collect();
    Ok(Listing { snapshot: last, segments, obsolete, sizes })
}

/// How far the last segment can be used.
enum Tail {
    /// All of it.
    Whole { end: u64 },
    /// A crash tore it; this much is good.
    Torn { end: u64 },
}

/// Leaves out a last segment whose header was never finished: it was never written to, and the
/// one before it may have gone on being the last.
fn drop_unborn(disk: &dyn Disk, listing: &mut Listing) -> Result<(), LogError> {
    let Some((number, len)) = listing.segments.last().copied() else { return Ok(()) };
    let file = segment(number);
    if len > HEADER {
        return Ok(());
    }
    let header = read_head(&mut *open(disk, &file)?, &file)?;
    if format::read_header(&header, SEGMENT, number).is_none() {
        listing.segments.pop();
        listing.sizes.remove(&file);
        listing.obsolete.push(file);
    }
    Ok(())
}

/// Reads the log, clears away what a crash left, and makes durable what was found.
pub fn recover(disk: &dyn Disk, name: &str) -> Result<Recovered, LogError> {
    let mut listing = list(disk, name)?;
    drop_unborn(disk, &mut listing)?;
    let (records, tail) = read(disk, &listing)?;
    for file in &listing.obsolete {
        disk.remove(file).map_err(|err| LogError::io(file, err))?;
    }
    let first = listing.snapshot.unwrap_or(1);
    let number = listing.segments.last().map_or(first, |(number, _)| *number);
    let file = segment(number);
    let end = match tail {
        None => 0,
        Some(Tail::Whole { end }) => end,
        Some(Tail::Torn { end }) => {
            tracing::warn!(file, end, "cut off the tail that a crash tore");
            disk.truncate(&file, end).map_err(|err| LogError::io(&file, err))?;
            end
        }
    };
    if tail.is_some() {
        // What we are about to report may be in the page cache only, if just the process died.
        disk.sync(&file).map_err(|err| LogError::io(&file, err))?;
        listing.sizes.insert(file, end);
    }
    disk.sync_dir("").map_err(|err| LogError::io(name, err))?;
    let sizes = listing.sizes;
    Ok(Recovered { records, place: Place { number, end, sizes } })
}

/// How often a reader looks again because a compaction removed what it was about to read.
const LOOKS: usize = 5;

/// Reads the log and changes nothing.
pub fn read_only(disk: &dyn Disk, name: &str) -> Result<(Vec<Vec<u8>>, Option<String>), LogError> {
    let mut look = 1;
    loop {
        let mut listing = list(disk, name)?;
        let result = drop_unborn(disk, &mut listing).and_then(|()| read(disk, &listing));
        match result {
            Ok((records, tail)) => {
                let torn = match (tail, listing.segments.last()) {
                    (Some(Tail::Torn { .. }), Some((number, _))) => Some(segment(*number)),
                    _ => listing.obsolete.iter().rfind(|file| file.ends_with(".log")).cloned(),
                };
                return Ok((records, torn));
            }
            Err(LogError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && look < LOOKS =>
            {
                look += 1;
            }
            Err(err) => return Err(err),
        }
    }
}

fn read(disk: &dyn Disk, listing: &Listing) -> Result<(Vec<Vec<u8>>, Option<Tail>), LogError> {
    let mut records = Vec::new();
    if let Some(number) = listing.snapshot {
        read_snapshot(disk, number, listing, &mut records)?;
    }
    let first = listing.snapshot.unwrap_or(1);
    let mut previous = None;
    let mut tail = None;
    for (at, (number, len)) in listing.segments.iter().enumerate() {
        let expected = first + at as u64;
        if *number != expected {
            let file = segment(expected);
            return Err(LogError::Corrupt { file, offset: 0, reason: "the segment is missing" });
        }
        let last = at + 1 == listing.segments.len();
        tail = Some(read_segment(disk, *number, *len, previous, last, &mut records)?);
        previous = Some(*len);
    }
    Ok((records, tail))
}

fn read_snapshot(
    disk: &dyn Disk,
    number: u64,
    listing: &Listing,
    records: &mut Vec<Vec<u8>>,
) -> Result<(), LogError> {
    let file = snapshot(number);
    let corrupt = |offset, reason| Err(LogError::Corrupt { file: file.clone(), offset, reason });
    let len = listing.sizes.get(&file).copied().unwrap_or(0);
    let mut reader = open(disk, &file)?;
    let header = read_head(&mut *reader, &file)?;
    let Some(count) = format::read_header(&header, SNAPSHOT, number) else {
        return corrupt(0, "the header is not that of a snapshot");
    };
    let end = format::read_records(&mut *reader, number, HEADER, len, records)
        .map_err(|err| LogError::io(&file, err))?;
    if end != len {
        return corrupt(end, "the record does not match its checksum");
    }
    if records.len() as u64 != count {
        return corrupt(end, "records are missing");
    }
    Ok(())
}

fn read_segment(
    disk: &dyn Disk,
    number: u64,
    len: u64,
    previous: Option<u64>,
    last: bool,
    records: &mut Vec<Vec<u8>>,
) -> Result<Tail, LogError> {
    let file = segment(number);
    let corrupt = |offset, reason| Err(LogError::Corrupt { file: file.clone(), offset, reason });
    let mut reader = open(disk, &file)?;
    let header = read_head(&mut *reader, &file)?;
    let Some(expected) = format::read_header(&header, SEGMENT, number) else {
        return corrupt(0, "the header is not that of a segment");
    };
    if previous.is_some_and(|previous| previous != expected) {
        return corrupt(0, "the segment before it has another length than it had");
    }
    let end = format::read_records(&mut *reader, number, HEADER, len, records)
        .map_err(|err| LogError::io(&file, err))?;
    if end == len {
        return Ok(Tail::Whole { end });
    }
    if !last {
        return corrupt(end, "the record does not match its checksum");
    }
    let mut bytes = Vec::new();
    open(disk, &file)?.take(len).read_to_end(&mut bytes).map_err(|err| LogError::io(&file, err))?;
    if format::is_torn(&bytes, number, end as usize) {
        Ok(Tail::Torn { end })
    } else {
        corrupt(end, "the record does not match its checksum, and later ones do")
    }
}

fn open(disk: &dyn Disk, file: &str) -> Result<Box<dyn Read + Send>, LogError> {
    let reader = disk.reader(file).map_err(|err| LogError::io(file, err))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, reader)))
}

fn read_head(reader: &mut dyn Read, file: &str) -> Result<Vec<u8>, LogError> {
    let mut header = Vec::new();
    reader.take(HEADER).read_to_end(&mut header).map_err(|err| LogError::io(file, err))?;
    Ok(header)
}

/// Removes all files that a new snapshot replaces.
pub fn remove_before(disk: &dyn Disk, number: u64) -> Result<Vec<String>, LogError> {
    let Listing { obsolete, .. } = list(disk, "the log")?;
    let older: Vec<String> = obsolete
        .into_iter()
        .filter(|file| *file < segment(number) && !file.ends_with(".tmp"))
        .collect();
    for file in &older {
        disk.remove(file).map_err(|err| LogError::io(file, err))?;
    }
    Ok(older)
}
