//! Reads and writes packet lines, the framing of Git's protocol.
//!
//! In: bytes. Out: lines of at most 65,516 bytes, or a typed error; nothing that a server sends
//! can make it allocate more.

use std::io::{self, BufRead, Read};

/// Longest payload of one line.
const MAX_LINE: usize = 65_516;

/// One packet line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Payload, as sent.
    Data(&'a [u8]),
    /// End of a message.
    Flush,
    /// End of a section.
    Delimiter,
    /// End of a response.
    End,
}

impl Line<'_> {
    /// The payload as text without the newline at its end.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Data(data) => {
                Some(String::from_utf8_lossy(data.strip_suffix(b"\n").unwrap_or(data)).into_owned())
            }
            Self::Flush | Self::Delimiter | Self::End => None,
        }
    }
}

/// Reads packet lines.
pub(crate) struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads lines from a stream.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new() }
    }

    /// The next line; it must be there.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream ends, `InvalidData` when it is not in packet lines.
    pub(crate) fn next(&mut self) -> io::Result<Line<'_>> {
        let mut head = [0; 4];
        self.inner.read_exact(&mut head)?;
        let length = std::str::from_utf8(&head)
            .ok()
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or_else(|| invalid("the server does not speak in packet lines"))?;
        match length {
            0 => return Ok(Line::Flush),
            1 => return Ok(Line::Delimiter),
            2 => return Ok(Line::End),
            3 => return Err(invalid("a packet line has an impossible length")),
            _ => {}
        }
        let length = length - head.len();
        if length > MAX_LINE {
            return Err(invalid("a packet line is too long"));
        }
        self.buffer.resize(length, 0);
        self.inner.read_exact(&mut self.buffer)?;
        Ok(Line::Data(&self.buffer))
    }
}

/// Appends a line of text.
pub(crate) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Appends the end of a section.
pub(crate) fn put_delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// Appends the end of a message.
pub(crate) fn put_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// What the server says on the side of a pack.
pub(crate) struct Pack<R> {
    lines: Lines<R>,
    waiting: Vec<u8>,
    at: usize,
    done: bool,
}

impl<R: BufRead> Pack<R> {
    /// Reads the pack that follows.
    pub(crate) fn new(lines: Lines<R>) -> Self {
        Self { lines, waiting: Vec::new(), at: 0, done: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.at == self.waiting.len() && !self.done {
            match self.lines.next()? {
                Line::Data([1, data @ ..]) => {
                    self.waiting.clear();
                    self.waiting.extend_from_slice(data);
                    self.at = 0;
                }
                Line::Data([2, ..]) => {}
                Line::Data([3, reason @ ..]) => {
                    let reason = crate::meter::plain(&String::from_utf8_lossy(reason), 200);
                    return Err(io::Error::other(format!("the server says: {reason}")));
                }
                Line::Data(_) => return Err(invalid("a pack came without its side band")),
                Line::Flush | Line::Delimiter | Line::End => self.done = true,
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Pack<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let read = (&self.waiting[self.at..]).read(out)?;
        self.at += read;
        Ok(read)
    }
}

pub(crate) fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let mut lines = Lines::new(&b"0009a\nbcd0000000100020004"[..]);
        assert_eq!(lines.next().unwrap(), Line::Data(b"a\nbcd"));
        assert_eq!(lines.next().unwrap(), Line::Flush);
        assert_eq!(lines.next().unwrap(), Line::Delimiter);
        assert_eq!(lines.next().unwrap(), Line::End);
        assert_eq!(lines.next().unwrap(), Line::Data(b""));
        assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn lines_that_lie_are_refused() {
        for bytes in ["0003", "fff5", "<htm", "+123", "zzzz"] {
            let mut lines = Lines::new(bytes.as_bytes());
            assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::InvalidData, "{bytes}");
        }
        let mut lines = Lines::new(&b"00ffshort"[..]);
        assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn packs_come_on_the_first_band() {
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            Pack::new(Lines::new(bytes)).read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(read(b"0007\x01ab000a\x02noise0006\x01c0000").unwrap(), b"abc");
        assert_eq!(
            read(b"0007\x01ab000a\x03no \x1bx0000").unwrap_err().to_string(),
            "the server says: no  x"
        );
        assert!(read(b"0007\x01ab").is_err());
        assert!(read(b"0007PACK").is_err());
    }
}
