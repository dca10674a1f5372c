//! Takes a signed object apart.
//!
//! In: the bytes of a commit or tag object. Out: what was signed and the signature. Everything
//! that Git itself would not write is refused: two readers could take it for different things.

use crate::SignatureProblem::{self, Object, Unsigned};

/// What was signed, and the signature.
pub(crate) struct Signed {
    /// The bytes that the signature is of.
    pub(crate) payload: Vec<u8>,
    /// The armored signature.
    pub(crate) signature: Vec<u8>,
}

/// A signed tag object.
pub(crate) struct SignedTag {
    /// The name that it says it has.
    pub(crate) name: String,
    /// The commit that it points to.
    pub(crate) commit: String,
    pub(crate) signed: Signed,
}

/// One header with its continuation lines; the last newline is in it.
struct Header<'a> {
    key: &'a [u8],
    /// All of it, from the key to the last newline.
    whole: &'a [u8],
}

/// The headers of an object, and what follows them, beginning with the empty line.
fn headers(object: &[u8]) -> Result<(Vec<Header<'_>>, &[u8]), SignatureProblem> {
    let mut headers = Vec::new();
    let mut at = 0;
    while at < object.len() && object[at] != b'\n' {
        let mut end = line_end(object, at)?;
        while object.get(end) == Some(&b' ') {
            end = line_end(object, end)?;
        }
        let whole = &object[at..end];
        let key = whole.split(|byte| *byte == b' ').next().unwrap_or_default();
        if key.is_empty() || key.len() == whole.len() || whole.contains(&0) {
            return Err(Object("a header of it is none"));
        }
        headers.push(Header { key, whole });
        at = end;
    }
    Ok((headers, &object[at..]))
}

fn line_end(object: &[u8], from: usize) -> Result<usize, SignatureProblem> {
    let line = object[from..].iter().position(|byte| *byte == b'\n');
    line.map(|length| from + length + 1).ok_or(Object("a header of it does not end"))
}

/// Takes a commit apart. Its signature is a header, and is of everything else.
pub(crate) fn commit(object: &[u8]) -> Result<Signed, SignatureProblem> {
    let (headers, message) = headers(object)?;
    let keys: Vec<&[u8]> = headers.iter().map(|header| header.key).collect();
    let parents = keys.iter().skip(1).take_while(|key| **key == b"parent").count();
    let count = |key: &[u8]| keys.iter().filter(|found| **found == key).count();
    let in_order = keys.first().is_some_and(|key| *key == b"tree")
        && keys.get(parents + 1).is_some_and(|key| *key == b"author")
        && keys.get(parents + 2).is_some_and(|key| *key == b"committer");
    let once = [&b"tree"[..], b"author", b"committer"].iter().all(|key| count(key) == 1);
    if !in_order || !once || count(b"parent") != parents {
        return Err(Object("its headers are not those of a commit"));
    }
    if count(b"gpgsig") + count(b"gpgsig-sha256") > 1 {
        return Err(Object("it has more than one signature"));
    }
    let mut payload = Vec::with_capacity(object.len());
    let mut signature = None;
    for header in headers {
        match header.key {
            b"gpgsig" => signature = Some(unfolded(header.whole)),
            b"gpgsig-sha256" => {
                return Err(SignatureProblem::Unaccepted("it is of an object with a SHA-256 id"));
            }
            _ => payload.extend_from_slice(header.whole),
        }
    }
    payload.extend_from_slice(message);
    Ok(Signed { payload, signature: signature.ok_or(Unsigned)? })
}

/// The value of a header, without the space that each further line begins with.
fn unfolded(whole: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(whole.len());
    for (index, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let skip = if index == 0 { b"gpgsig ".len() } else { 1 };
        value.extend_from_slice(line.get(skip..).unwrap_or_default());
    }
    value
}

/// Takes a tag apart. Its signature is the end of its message, and is of everything before.
pub(crate) fn tag(object: &[u8]) -> Result<SignedTag, SignatureProblem> {
    let (headers, message) = headers(object)?;
    let keys: Vec<&[u8]> = headers.iter().map(|header| header.key).collect();
    if keys != [&b"object"[..], b"type", b"tag", b"tagger"] {
        return Err(Object("its headers are not those of a tag"));
    }
    let value = |index: usize| {
        let Header { key, whole } = &headers[index];
        String::from_utf8_lossy(&whole[key.len() + 1..whole.len() - 1]).into_owned()
    };
    if value(1) != "commit" {
        return Err(Object("it is a tag of something else than a commit"));
    }
    let body = object.len() - message.len();
    let mut begins = Vec::new();
    let mut at = body;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"-----BEGIN ") && ends_as_signature(line) {
            begins.push(at);
        }
        at += line.len();
    }
    let start = match begins[..] {
        [] => return Err(Unsigned),
        [start] => start,
        _ => return Err(Object("it has more than one signature")),
    };
    let (payload, signature) = object.split_at(start);
    let signed = Signed { payload: payload.to_vec(), signature: signature.to_vec() };
    Ok(SignedTag { name: value(2), commit: value(0), signed })
}

fn ends_as_signature(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.ends_with(b" SIGNATURE-----") || line.ends_with(b" SIGNED MESSAGE-----")
}
