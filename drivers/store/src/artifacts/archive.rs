//! Trees as gzipped tar archives and back.
//!
//! In: a tree, or bytes of a stranger. Out: bytes that are the same for the same tree, or a tree.
//! Archives are never extracted to a disk. Anything that two readers could take for different
//! things is refused (negative suite A1, A2, A3, A6, A7, A9).

use std::collections::BTreeSet;
use std::io::{self, Read, Write as _};

use fixpoint_base::{Class, Classified, Limits};
use fixpoint_source::tree::check_path;
use fixpoint_source::{Tree, TreeBuilder, TreeProblem};
use flate2::{Compression, GzBuilder};
use tar::{Archive, Builder, EntryType, Header};

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveProblem {
    /// It cannot be read at all.
    #[error("the archive cannot be read: {0}")]
    Unreadable(String),
    /// An entry is neither a file nor a folder.
    #[error("{path:?} is {what}, and an archive may hold files and folders only")]
    Type {
        /// Its path, shortened.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// An entry can be read in two ways.
    #[error("{path:?} is ambiguous: {reason}")]
    Ambiguous {
        /// Its path, shortened.
        path: String,
        /// What does not agree.
        reason: &'static str,
    },
    /// It unpacks to far more than it is.
    #[error("the archive unpacks to more than {0}")]
    Bomb(String),
    /// What it holds is no tree.
    #[error("the archive does not hold a tree")]
    Tree(#[source] TreeProblem),
}

impl Classified for ArchiveProblem {
    fn class(&self) -> Class {
        match self {
            Self::Unreadable(_) | Self::Type { .. } | Self::Ambiguous { .. } => Class::User,
            Self::Bomb(_) => Class::Refused,
            Self::Tree(problem) => problem.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(problem) => problem.hint(),
            Self::Unreadable(_) | Self::Type { .. } | Self::Ambiguous { .. } | Self::Bomb(_) => {
                None
            }
        }
    }
}

const FILE_MODE: u32 = 0o600;
const EXECUTABLE_MODE: u32 = 0o700;
const FOLDER_MODE: u32 = 0o750;
/// Owner may execute.
const EXECUTABLE_BIT: u32 = 0o100;
/// Setuid, setgid, sticky.
const SPECIAL_BITS: u32 = 0o7000;
/// Text shrinks to a tenth, repetitive manifests to a thirtieth; gzip's bound is a thousandth.
const RATIO: u64 = 200;
/// Below this much the ratio does not matter.
const FREE_BYTES: u64 = 1 << 20;
/// Headers and padding on top of the files.
const OVERHEAD_BYTES: u64 = 64 << 20;
/// One extended header: a path and a few times.
const EXTENDED_BYTES: u64 = 64 << 10;
/// Unknown to gzip, so that the same tree gives the same bytes on every system.
const NO_SYSTEM: u8 = 255;

/// Packs a tree by Flux's rules: owner, group and times zeroed, files 0600 or 0700, folders 0750,
/// everything in byte order.
///
/// # Errors
/// When the tree has a path that no archive can hold.
pub fn pack(tree: &Tree) -> Result<Vec<u8>, ArchiveProblem> {
    write(tree).map_err(|err| ArchiveProblem::Unreadable(err.to_string()))
}

fn write(tree: &Tree) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(NO_SYSTEM)
        .write(Vec::new(), Compression::new(6));
    let mut tar = Builder::new(gzip);
    let mut folders = BTreeSet::new();
    for (path, file) in tree.files() {
        for (at, _) in path.match_indices('/') {
            if folders.insert(&path[..at]) {
                let mut header = header(EntryType::Directory, FOLDER_MODE, 0);
                tar.append_data(&mut header, format!("{}/", &path[..at]), io::empty())?;
            }
        }
        let mode = if file.executable { EXECUTABLE_MODE } else { FILE_MODE };
        let mut header = header(EntryType::Regular, mode, file.bytes.len() as u64);
        tar.append_data(&mut header, path, &*file.bytes)?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Refuses a tree whose archive we would not read back.
pub fn check_ratio(tree: &Tree, packed: usize) -> Result<(), ArchiveProblem> {
    let bound = bound(packed as u64, u64::MAX);
    if tree.bytes() > bound { Err(bomb(packed as u64)) } else { Ok(()) }
}

fn bound(packed: u64, most: u64) -> u64 {
    packed.saturating_mul(RATIO).max(FREE_BYTES).min(most)
}

fn bomb(packed: u64) -> ArchiveProblem {
    ArchiveProblem::Bomb(format!("{RATIO} times its {packed} bytes"))
}

/// Unpacks an archive into a tree in memory.
///
/// # Errors
/// At the first thing that is not plain: a link, a device, a path that leads elsewhere, two
/// entries with one path, headers that disagree, more than the limits allow, trailing bytes.
pub fn unpack(bytes: &[u8], limits: &Limits) -> Result<Tree, ArchiveProblem> {
    let packed = bytes.len() as u64;
    let most = limits.tree_bytes.saturating_add(OVERHEAD_BYTES);
    let allowed = bound(packed, most);
    let plain =
        Counted { inner: flate2::bufread::GzDecoder::new(bytes), left: allowed, over: false };
    let mut archive = Archive::new(plain);
    let result = read_entries(&mut archive, limits);
    let mut plain = archive.into_inner();
    let tree = match result {
        _ if plain.over && allowed == most => {
            return Err(ArchiveProblem::Bomb(format!("{most} bytes")));
        }
        _ if plain.over => return Err(bomb(packed)),
        result => result?,
    };
    check_end(&mut plain)?;
    if plain.inner.into_inner().is_empty() {
        Ok(tree)
    } else {
        Err(ArchiveProblem::Unreadable("there are bytes after its end".to_owned()))
    }
}

/// After the last entry there is padding and nothing else.
fn check_end(plain: &mut impl Read) -> Result<(), ArchiveProblem> {
    let mut rest = [0; 4096];
    loop {
        match plain.read(&mut rest).map_err(unreadable)? {
            0 => return Ok(()),
            read if rest[..read].iter().all(|byte| *byte == 0) => {}
            _ => {
                let what = "there are entries after its end".to_owned();
                return Err(ArchiveProblem::Unreadable(what));
            }
        }
    }
}

/// Stops at a number of bytes.
struct Counted<R> {
    inner: R,
    left: u64,
    over: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => {
                self.over = true;
                Err(io::ErrorKind::FileTooLarge.into())
            }
        }
    }
}

/// What extended headers say about the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

fn read_entries(archive: &mut Archive<impl Read>, limits: &Limits) -> Result<Tree, ArchiveProblem> {
    let mut builder = TreeBuilder::new(limits);
    let mut folders = BTreeSet::new();
    let mut extended = Extended::default();
    let mut seen = 0_usize;
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        seen += 1;
        // As many folders and extended headers as files is already odd.
        if seen > limits.files.saturating_mul(4) {
            return Err(ArchiveProblem::Bomb(format!("{seen} entries")));
        }
        let kind = entry.header().entry_type();
        let size = entry.header().entry_size().map_err(unreadable)?;
        match kind {
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName => {
                let content = read_extended(&mut entry, size)?;
                extended.take(kind, &content)?;
            }
            EntryType::Regular | EntryType::Directory => {
                let (path, mode) = place(&entry, std::mem::take(&mut extended), size)?;
                if kind == EntryType::Directory {
                    add_folder(&mut folders, path, size, limits)?;
                } else {
                    add_file(&mut builder, &path, mode, &mut entry, limits)?;
                }
            }
            other => {
                let path = shown(&entry.header().path_bytes());
                return Err(ArchiveProblem::Type { path, what: word(other) });
            }
        }
    }
    if extended.path.is_some() || extended.size.is_some() {
        return Err(ambiguous("", "an extended header belongs to no entry"));
    }
    let tree = builder.build()?;
    match folders.iter().find(|folder| tree.file(folder).is_some()) {
        Some(folder) => Err(ambiguous(folder, "it is both a file and a folder")),
        None => Ok(tree),
    }
}

fn read_extended(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, ArchiveProblem> {
    if size > EXTENDED_BYTES {
        return Err(ArchiveProblem::Bomb(format!("{EXTENDED_BYTES} bytes of extended headers")));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

impl Extended {
    fn take(&mut self, kind: EntryType, content: &[u8]) -> Result<(), ArchiveProblem> {
        if kind == EntryType::GNULongName {
            let name = content.strip_suffix(b"\0").unwrap_or(content);
            return self.name(name);
        }
        for record in pax_records(content)? {
            match record {
                (b"path", value) if kind == EntryType::XHeader => self.name(value)?,
                (b"size", value) if kind == EntryType::XHeader => self.size(value)?,
                // What the tree does not keep cannot mislead anybody.
                (b"comment" | b"mtime" | b"atime" | b"ctime", _)
                | (b"uid" | b"gid" | b"uname" | b"gname", _) => {}
                (key, _) => {
                    return Err(ambiguous(&shown(key), "it is an extended header we do not read"));
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8]) -> Result<(), ArchiveProblem> {
        match self.path.replace(name.to_vec()) {
            None => Ok(()),
            Some(_) => Err(ambiguous(&shown(name), "it is named twice")),
        }
    }

    fn size(&mut self, value: &[u8]) -> Result<(), ArchiveProblem> {
        let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        match (size, self.size) {
            (Some(size), None) => {
                self.size = Some(size);
                Ok(())
            }
            _ => Err(ambiguous("size", "it is no number, or there twice")),
        }
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

/// Takes `LEN KEY=VALUE\n` records apart; each must be as long as it says.
fn pax_records(mut content: &[u8]) -> Result<Vec<Record<'_>>, ArchiveProblem> {
    let broken = || ambiguous("", "its extended header is not whole");
    let mut records = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let len: usize = std::str::from_utf8(&content[..space])
            .ok()
            .and_then(|len| len.parse().ok())
            .ok_or_else(broken)?;
        let (record, rest) = content.split_at_checked(len).ok_or_else(broken)?;
        let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        records.push((&record[..equals], &record[equals + 1..]));
        content = rest;
    }
    Ok(records)
}

/// The path and mode of an entry, once everything that is said about it agrees.
fn place(
    entry: &tar::Entry<'_, impl Read>,
    extended: Extended,
    size: u64,
) -> Result<(String, u32), ArchiveProblem> {
    let header = entry.header();
    let Extended { path, size: said } = extended;
    let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
    let path = String::from_utf8(path)
        .map_err(|err| ambiguous(&shown(err.as_bytes()), "its path is not UTF-8"))?;
    if said.is_some_and(|said| said != size) {
        return Err(ambiguous(&path, "its headers disagree about its size"));
    }
    if header.link_name_bytes().is_some_and(|link| !link.is_empty()) {
        return Err(ambiguous(&path, "it is no link and has a link's target"));
    }
    let mode = header.mode().map_err(unreadable)?;
    if mode & SPECIAL_BITS != 0 {
        return Err(ArchiveProblem::Type {
            path: shown(path.as_bytes()),
            what: "setuid or sticky",
        });
    }
    Ok((path, mode))
}

fn add_folder(
    folders: &mut BTreeSet<String>,
    path: String,
    size: u64,
    limits: &Limits,
) -> Result<(), ArchiveProblem> {
    if size != 0 {
        return Err(ambiguous(&path, "it is a folder and has content"));
    }
    // The root itself, as Flux writes it.
    let plain = path.strip_suffix('/').unwrap_or(&path);
    if plain != "." {
        check_path(plain, limits)?;
    }
    if folders.insert(plain.to_owned()) {
        Ok(())
    } else {
        Err(ambiguous(plain, "it is there twice"))
    }
}

fn add_file(
    builder: &mut TreeBuilder<'_>,
    path: &str,
    mode: u32,
    entry: &mut impl Read,
    limits: &Limits,
) -> Result<(), ArchiveProblem> {
    let mut content = Vec::new();
    let limit = limits.file_bytes.saturating_add(1);
    entry.take(limit).read_to_end(&mut content).map_err(unreadable)?;
    builder.file(path, content, mode & EXECUTABLE_BIT != 0)?;
    Ok(())
}

fn ambiguous(path: &str, reason: &'static str) -> ArchiveProblem {
    ArchiveProblem::Ambiguous { path: shown(path.as_bytes()), reason }
}

fn unreadable(err: io::Error) -> ArchiveProblem {
    ArchiveProblem::Unreadable(err.to_string().chars().take(200).collect())
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(200).collect()
}

fn word(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link | EntryType::GNULongLink => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown type",
    }
}
