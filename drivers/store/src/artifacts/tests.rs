//! Archives that lie, and those that do not.

use proptest::prelude::*;

use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let limits = Limits::default();
    let mut builder = fixpoint_source::TreeBuilder::new(&limits);
    for (path, text) in files {
        builder.file(path, text.as_bytes(), path.ends_with(".sh")).unwrap();
    }
    builder.build().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// One block: a header with a right checksum.
fn block(name: &str, kind: u8, size: u64, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = block(name, kind, content.len() as u64, "");
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(records: &[&str]) -> Vec<u8> {
    let line = |record: &&str| {
        let mut len = record.len() + 3;
        while format!("{len} {record}\n").len() != len {
            len += 1;
        }
        format!("{len} {record}\n")
    };
    entry("PaxHeaders/x", b'x', records.iter().map(line).collect::<String>().as_bytes())
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend_from_slice(&[0; 1024]);
    gzip(&bytes)
}

fn check(entries: &[Vec<u8>], expected: &str) {
    let text = match unpack(&archive(entries), &Limits::default()) {
        Ok(tree) => tree.files().map(|(path, _)| path).collect::<Vec<_>>().join(" "),
        Err(problem) => fixpoint_base::Chain(&problem).to_string(),
    };
    assert_eq!(text, expected);
}

#[test]
fn trees_go_both_ways() {
    let long = format!("{}/deep.yaml", "folder/".repeat(20).trim_end_matches('/'));
    let tree = tree(&[("a/b/c.yaml", "x"), ("a/run.sh", "#!"), ("empty", ""), (&long, "y")]);
    let bytes = pack(&tree).unwrap();
    assert_eq!(unpack(&bytes, &Limits::default()).unwrap(), tree);
    assert_eq!(pack(&tree.clone()).unwrap(), bytes);
    let none = Tree::default();
    assert_eq!(unpack(&pack(&none).unwrap(), &Limits::default()).unwrap(), none);
}

#[test]
fn entries_are_as_flux_writes_them() {
    let bytes = pack(&tree(&[("a/b.yaml", "x"), ("a/run.sh", "#!")])).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let lines: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            format!(
                "{} {:o} {}:{} {}",
                entry.path().unwrap().display(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap()
            )
        })
        .collect();
    assert_eq!(lines, ["a/ 750 0:0 0", "a/b.yaml 600 0:0 0", "a/run.sh 700 0:0 0"]);
    // No name, no time, no system in the gzip header either.
    assert_eq!(bytes[3..8], [0; 5]);
    assert_eq!(bytes[9], 255);
}

#[test]
fn archives_of_others_are_read() {
    check(&[entry("./", b'5', b""), entry("a", b'0', b"1")], "a");
    check(&[entry("d/", b'5', b""), entry("d/a", b'0', b"1")], "d/a");
    check(&[pax(&["path=long/name", "mtime=1.5"]), entry("short", b'0', b"1")], "long/name");
    check(&[pax(&["size=1"]), entry("a", b'0', b"1")], "a");
    let global = entry("pax_global_header", b'g', b"16 comment=abcd\n");
    check(&[global, entry("a", b'0', b"1")], "a");
    check(&[entry("././@LongLink", b'L', b"l/a\0"), entry("short", b'0', b"1")], "l/a");
}

#[test]
fn only_files_and_folders_are_taken() {
    let only = "an archive may hold files and folders only";
    for (kind, what) in [
        (b'2', "a symbolic link"),
        (b'1', "a hard link"),
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a pipe"),
        (b'S', "a sparse file"),
        (b'K', "a hard link"),
        (b'Z', "of an unknown type"),
    ] {
        check(&[block("x", kind, 0, "y")], &format!("\"x\" is {what}, and {only}"));
    }
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[0] = b'x';
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(0);
    header.set_mode(0o4755);
    header.set_cksum();
    check(&[header.as_bytes().to_vec()], &format!("\"x\" is setuid or sticky, and {only}"));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let no = |path: &str, reason: &str| {
        format!("the archive does not hold a tree: path {path:?} is not allowed: {reason}")
    };
    check(&[entry("../x", b'0', b"")], &no("../x", "it has a . or .. part"));
    check(&[entry("/x", b'0', b"")], &no("/x", "it is absolute"));
    check(&[entry("a/../../x/", b'5', b"")], &no("a/../../x", "it has a . or .. part"));
    check(&[entry("a\\b", b'0', b"")], &no("a\\b", "it has a backslash or a NUL byte"));
    check(&[entry("./x", b'0', b"")], &no("./x", "it has a . or .. part"));
    check(
        &[pax(&["path=../../etc/x"]), entry("a", b'0', b"")],
        &no("../../etc/x", "it has a . or .. part"),
    );
    check(&[entry("a", b'0', b""), entry("a", b'0', b"")], &no("a", "it is there twice"));
    check(
        &[entry("A", b'0', b""), entry("a", b'0', b"")],
        &no("a", "another path differs from it in case only"),
    );
    check(
        &[entry("a", b'0', b""), entry("a/", b'5', b"")],
        "\"a\" is ambiguous: it is both a file and a folder",
    );
    check(
        &[entry("a/", b'5', b""), entry("a/", b'5', b"")],
        "\"a\" is ambiguous: it is there twice",
    );
}

#[test]
fn headers_that_disagree_are_refused() {
    check(
        &[pax(&["size=513"]), entry("a", b'0', b"1")],
        "\"a\" is ambiguous: its headers disagree about its size",
    );
    check(
        &[pax(&["size=0"]), entry("a", b'0', &[0; 512])],
        "\"a\" is ambiguous: its headers disagree about its size",
    );
    check(
        &[entry("././@LongLink", b'L', b"b\0"), pax(&["path=c"]), entry("a", b'0', b"")],
        "\"c\" is ambiguous: it is named twice",
    );
    check(
        &[pax(&["linkpath=/etc/passwd"]), entry("a", b'0', b"")],
        "\"linkpath\" is ambiguous: it is an extended header we do not read",
    );
    check(
        &[pax(&["GNU.sparse.size=99"]), entry("a", b'0', b"")],
        "\"GNU.sparse.size\" is ambiguous: it is an extended header we do not read",
    );
    check(
        &[entry("x", b'x', b"99 path=a\n"), entry("a", b'0', b"")],
        "\"\" is ambiguous: its extended header is not whole",
    );
    check(
        &[entry("a", b'0', b""), pax(&["path=c"])],
        "\"\" is ambiguous: an extended header belongs to no entry",
    );
    check(
        &[block("a", b'0', 0, "target")],
        "\"a\" is ambiguous: it is no link and has a link's target",
    );
}

#[test]
fn bombs_do_not_go_off() {
    let zeros = vec![0; 4 << 20];
    let bomb = archive(&[entry("a", b'0', &zeros)]);
    let problem = unpack(&bomb, &Limits::default()).unwrap_err();
    let expected = format!("the archive unpacks to more than 200 times its {} bytes", bomb.len());
    assert_eq!(problem.to_string(), expected);
    let many: Vec<Vec<u8>> = (0..50).map(|n| entry(&n.to_string(), b'0', b"")).collect();
    let limits = Limits { files: 10, ..Limits::default() };
    assert!(unpack(&archive(&many), &limits).is_err());
    // A size of a tebibyte with nothing behind it.
    let huge = archive(&[block("a", b'0', (8 << 30) - 1, "")]);
    assert!(unpack(&huge, &Limits::default()).is_err());
    let limits = Limits { file_bytes: 4, ..Limits::default() };
    assert!(unpack(&archive(&[entry("a", b'0', b"1234")]), &limits).is_ok());
    assert!(unpack(&archive(&[entry("a", b'0', b"12345")]), &limits).is_err());
    let artifacts = Artifacts::in_memory();
    let text = "x".repeat(8 << 20);
    let err = artifacts.put("gitrepository", "a", "b", "c", &tree(&[("a", &text)])).unwrap_err();
    assert_eq!(err.class(), Class::Refused);
}

#[test]
fn what_is_behind_the_end_is_refused() {
    let good = archive(&[entry("a", b'0', b"1")]);
    assert!(unpack(&good, &Limits::default()).is_ok());
    let trailing = [&good[..], b"x"].concat();
    let members = [&good[..], &good].concat();
    let hidden = gzip(
        &[entry("a", b'0', b"1"), vec![0; 1024], entry("b", b'0', b"2"), vec![0; 1024]].concat(),
    );
    for bytes in [trailing, members, hidden, good[..good.len() - 1].to_vec(), Vec::new()] {
        assert!(unpack(&bytes, &Limits::default()).is_err());
    }
}

#[test]
fn artifacts_are_stored_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(dir.path()).unwrap();
    let one = tree(&[("a.yaml", "x")]);
    let stored = artifacts.put("gitrepository", "shop", "web", "3f2a", &one).unwrap();
    assert_eq!(stored.path, "gitrepository/shop/web/3f2a.tar.gz");
    assert_eq!(stored.tree_digest, one.digest());
    assert_eq!(stored.size, artifacts.bytes(&stored.path).unwrap().len() as u64);
    assert_eq!(artifacts.put("gitrepository", "shop", "web", "3f2a", &one).unwrap(), stored);
    let digest = stored.digest.to_string();
    assert!(artifacts.has(&stored.path, &digest));
    // Another process finds the same, and nothing else.
    let again = Artifacts::open(dir.path()).unwrap();
    assert_eq!(*again.tree(&stored.path, &digest).unwrap(), one);
    let file = dir.path().join(&stored.path);
    std::fs::write(&file, b"other").unwrap();
    let again = Artifacts::open(dir.path()).unwrap();
    assert!(!again.has(&stored.path, &digest));
    assert!(matches!(again.tree(&stored.path, &digest), Err(ArtifactError::Digest { .. })));
    std::fs::remove_file(&file).unwrap();
    let err = again.tree(&stored.path, &digest).unwrap_err();
    assert_eq!(err.to_string(), "artifact gitrepository/shop/web/3f2a.tar.gz does not exist");
}

#[test]
fn old_artifacts_are_removed() {
    let artifacts = Artifacts::in_memory();
    let put = |revision: &str| {
        artifacts.put("gitrepository", "shop", "web", revision, &tree(&[("a", revision)])).unwrap()
    };
    let paths = ["1", "2", "3"].map(|revision| put(revision).path);
    let other = artifacts.put("gitrepository", "shop", "web2", "1", &Tree::default()).unwrap();
    let removed = artifacts.gc("gitrepository", "shop", "web", &[&paths[2]]).unwrap();
    assert_eq!(removed, paths[..2]);
    assert!(artifacts.bytes(&paths[2]).is_ok());
    artifacts.clear("gitrepository", "shop", "web").unwrap();
    assert!(artifacts.bytes(&paths[2]).is_err());
    assert!(artifacts.bytes(&other.path).is_ok());
}

#[test]
fn names_are_checked_before_they_are_paths() {
    let artifacts = Artifacts::in_memory();
    for name in ["", ".", "..", "../x", "a/b", "A", ".hidden", "a b", "é", &"x".repeat(254)] {
        assert!(artifacts.put("gitrepository", name, "web", "1", &Tree::default()).is_err());
        assert!(artifacts.clear("gitrepository", "shop", name).is_err(), "{name}");
    }
    for path in ["", "x", "a/b/c", "a/b/c/d", "a/b/../d.tar.gz", "a/b/c/.tar.gz", "/a/b/c.tar.gz"] {
        let err = artifacts.bytes(path).unwrap_err();
        assert!(matches!(err, ArtifactError::Name { .. }), "{path}: {err}");
    }
}

#[test]
fn the_cache_forgets_the_oldest() {
    let artifacts = Artifacts::in_memory();
    for number in 0..CACHED + 10 {
        let revision = number.to_string();
        artifacts.put("gitrepository", "a", "b", &revision, &tree(&[("a", &revision)])).unwrap();
    }
    let cached = artifacts.inner.cache.lock().unwrap().len();
    assert_eq!(cached, CACHED);
}

proptest! {
    /// Whatever is done to an archive, it is refused or it is a tree that packs and unpacks again.
    #[test]
    fn damaged_archives_are_refused_or_plain(
        damage in prop::collection::vec((0usize..4096, any::<u8>()), 1..8),
        cut in 0usize..4096,
    ) {
        let mut bytes = [
            entry("d/", b'5', b""),
            pax(&["path=d/long", "size=3"]),
            entry("short", b'0', b"abc"),
            entry("././@LongLink", b'L', b"d/x\0"),
            entry("y", b'0', &[b'z'; 600]),
            vec![0; 1024],
        ]
        .concat();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut % 1024);
        if let Ok(tree) = unpack(&gzip(&bytes), &Limits::default()) {
            let again = unpack(&pack(&tree).unwrap(), &Limits::default());
            prop_assert_eq!(again, Ok(tree));
        }
    }
}
