//! Bodies of answers, whole or spoilt.
//!
//! In: a body as the server sends it, and what happens to it on its way. Out: a body that does
//! that, as it streams: a watch is spoilt event by event, and nothing waits for its end.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};

/// A body on its way to a client.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// A body that is there already.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that never comes, nor ends.
pub fn silent() -> Body {
    streamed(stream::pending().boxed())
}

fn streamed(pieces: Pieces) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

fn pieces(body: Body) -> Pieces {
    body.into_data_stream().boxed()
}

/// The connection breaks after so many bytes.
pub fn cut(body: Body, bytes: usize) -> Body {
    let broken = stream::once(async { Err(io::ErrorKind::ConnectionReset.into()) });
    streamed(first(pieces(body), bytes).chain(broken).boxed())
}

/// It ends well, after so many bytes.
pub fn truncate(body: Body, bytes: usize) -> Body {
    streamed(first(pieces(body), bytes))
}

fn first(pieces: Pieces, bytes: usize) -> Pieces {
    stream::unfold((pieces, bytes), |(mut pieces, left)| async move {
        if left == 0 {
            return None;
        }
        let piece = pieces.next().await?.map(|piece| piece.slice(..piece.len().min(left)));
        let sent = piece.as_ref().map_or(0, Bytes::len);
        Some((piece, (pieces, left - sent)))
    })
    .boxed()
}

/// It comes so many bytes at a time, with a pause before each.
pub fn drip(body: Body, bytes: usize, pause: Duration) -> Body {
    let state = (pieces(body), Bytes::new());
    let drops = stream::unfold(state, move |(mut pieces, mut rest)| async move {
        while rest.is_empty() {
            match pieces.next().await? {
                Ok(piece) => rest = piece,
                Err(err) => return Some((Err(err), (pieces, rest))),
            }
        }
        tokio::time::sleep(pause).await;
        let drop = rest.split_to(bytes.clamp(1, rest.len()));
        Some((Ok(drop), (pieces, rest)))
    });
    streamed(drops.boxed())
}

/// What happens to one event of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// It is not told.
    Skip,
    /// It is told twice.
    Double,
    /// It is told after the one that follows.
    Swap,
}

/// A stream of lines, of which the `nth` (from one) is twisted.
pub fn twist(body: Body, nth: usize, twist: Twist) -> Body {
    let state = Events {
        pieces: pieces(body),
        buffer: BytesMut::new(),
        ready: VecDeque::new(),
        held: None,
        count: 0,
    };
    let events = stream::unfold(state, move |mut events| async move {
        let line = events.next(nth, twist).await?;
        Some((line, events))
    });
    streamed(events.boxed())
}

struct Events {
    pieces: Pieces,
    buffer: BytesMut,
    ready: VecDeque<Bytes>,
    held: Option<Bytes>,
    count: usize,
}

impl Events {
    async fn next(&mut self, nth: usize, twist: Twist) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1).freeze();
                self.take(line, nth, twist);
            }
            if self.ready.is_empty() {
                match self.pieces.next().await? {
                    Ok(piece) => self.buffer.extend_from_slice(&piece),
                    Err(err) => return Some(Err(err)),
                }
            }
        }
    }

    fn take(&mut self, line: Bytes, nth: usize, twist: Twist) {
        self.count += 1;
        match twist {
            Twist::Skip if self.count == nth => {}
            Twist::Double if self.count == nth => self.ready.extend([line.clone(), line]),
            Twist::Swap if self.count == nth => self.held = Some(line),
            _ => {
                self.ready.push_back(line);
                self.ready.extend(self.held.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: Body) -> (String, bool) {
        let mut threads = tokio::runtime::Builder::new_current_thread();
        let runtime = threads.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut text, mut pieces) = (String::new(), pieces(body));
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(piece) => text.push_str(std::str::from_utf8(&piece).unwrap()),
                    Err(_) => return (text, false),
                }
            }
            (text, true)
        })
    }

    #[test]
    fn bodies_are_spoilt_as_asked() {
        let told = |body| text(body);
        let fine = |text: &str| (text.to_owned(), true);
        let broken = |text: &str| (text.to_owned(), false);
        assert_eq!(told(cut(whole("abcdef"), 4)), broken("abcd"));
        assert_eq!(told(cut(whole("abc"), 9)), broken("abc"));
        assert_eq!(told(truncate(whole("abcdef"), 4)), fine("abcd"));
        assert_eq!(told(drip(whole("abcdef"), 4, Duration::from_secs(9))), fine("abcdef"));
        let events = || whole("1\n2\n3\n");
        assert_eq!(told(twist(events(), 2, Twist::Skip)), fine("1\n3\n"));
        assert_eq!(told(twist(events(), 2, Twist::Double)), fine("1\n2\n2\n3\n"));
        assert_eq!(told(twist(events(), 1, Twist::Swap)), fine("2\n1\n3\n"));
    }
}
