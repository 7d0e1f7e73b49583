//! An exchange for the tests of the engine: sends a request's content back, or content of its own, later and in pieces. No
//! setting leads here: it answers only where the environment names a path for it (see CONTRIBUTING.md).

use std::sync::Arc;

use bytes::Bytes;
use farrier_http::pipe::Popped;
use farrier_http::{
    Accepted, BodyMode, Error, Event, Exchange, ExchangeIo, Handler, Next, Plan, Request, Respond, ResponseHead, Status,
};

/// The variable that names the path. It does not begin as a setting's does.
const VARIABLE: &str = "_FARRIER_TEST_EXCHANGE";

/// Content of its own is made in pieces of at most this size.
const MADE_BYTES_MAX: u64 = 64 * 1024;

/// Answers the path by an exchange, if the environment names one.
pub(crate) fn around(inner: Arc<dyn Handler>) -> Arc<dyn Handler> {
    match std::env::var(VARIABLE) {
        Ok(path) if !path.is_empty() => Arc::new(Tested { path: path.into_bytes(), inner }),
        _ => inner,
    }
}

/// A handler around another one.
struct Tested {
    path: Vec<u8>,
    inner: Arc<dyn Handler>,
}

impl Handler for Tested {
    fn plan(&self, request: &mut Request) -> Plan {
        if request.path() != self.path {
            return self.inner.plan(request);
        }
        let number = |name: &str| number_in(request.query(), name);
        let echo = Echo {
            delay_ms: number("delay").unwrap_or(0),
            pause_ms: number("pause").unwrap_or(0),
            piece_bytes: usize::try_from(number("piece").unwrap_or(64 * 1024)).unwrap_or(usize::MAX),
            made_bytes: number("make"),
            length: number("length"),
            is_text: number("text").is_some(),
            file: text_in(request.query(), "file").map(str::to_owned),
            status: number("status").and_then(|status| u16::try_from(status).ok()).map_or(Status::OK, Status),
            ready_ms: 0,
            has_head: false,
            is_full: false,
        };
        let mode = if number("buffered").is_some() { BodyMode::Buffered } else { BodyMode::Streamed };
        Plan::Exchange(Box::new(echo), mode)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        self.inner.handle(request, respond)
    }
}

fn number_in(query: &[u8], name: &str) -> Option<u64> {
    text_in(query, name)?.parse().ok()
}

fn text_in<'a>(query: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(query).ok()?;
    Some(text.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1)
}

/// Sends back what comes.
struct Echo {
    /// Before the head, in ms.
    delay_ms: u64,
    /// Behind each piece, in ms.
    pause_ms: u64,
    piece_bytes: usize,
    /// So many bytes are made in place of the request's content.
    made_bytes: Option<u64>,
    /// The length that the head declares.
    length: Option<u64>,
    /// The head says `text/plain`, so that the answer may be compressed.
    is_text: bool,
    /// The head names a file by this URL in X-Accel-Redirect.
    file: Option<String>,
    /// The answer's status.
    status: Status,
    ready_ms: u64,
    has_head: bool,
    is_full: bool,
}

impl Echo {
    fn next_piece(&mut self, io: &ExchangeIo<'_>) -> Popped {
        let Some(left) = self.made_bytes else { return io.content.pop(self.piece_bytes) };
        let bytes = left.min(MADE_BYTES_MAX).min(self.piece_bytes as u64);
        self.made_bytes = Some(left - bytes);
        match bytes {
            0 => Popped::End,
            bytes => Popped::Piece(Bytes::from(vec![b'x'; bytes as usize])),
        }
    }
}

impl Exchange for Echo {
    fn step(&mut self, event: Event, now_ms: u64, io: &mut ExchangeIo<'_>) -> Next {
        match event {
            Event::Begin => self.ready_ms = now_ms + self.delay_ms,
            Event::Room => self.is_full = false,
            Event::Content | Event::Upstream | Event::Timer | Event::Drain => {}
            Event::ClientGone => return Next::Done,
        }
        loop {
            if self.is_full {
                return Next::Wait;
            }
            if now_ms < self.ready_ms {
                return Next::WaitUntil(self.ready_ms);
            }
            if !self.has_head {
                self.has_head = true;
                let mut head = ResponseHead::new(self.status);
                if self.is_text {
                    // It cannot be refused: the field is valid.
                    let _ = head.add(b"Content-Type", b"text/plain");
                }
                if let Some(url) = &self.file {
                    let _ = head.add(b"X-Accel-Redirect", url.as_bytes());
                }
                io.answer.head(&head, self.length);
            }
            match self.next_piece(io) {
                Popped::Piece(piece) => match io.answer.data(piece) {
                    Accepted::Room => self.ready_ms = now_ms + self.pause_ms,
                    Accepted::Full => (self.ready_ms, self.is_full) = (now_ms + self.pause_ms, true),
                    Accepted::End | Accepted::Gone => {
                        io.answer.end();
                        return Next::Done;
                    }
                },
                Popped::Nothing => return Next::Wait,
                Popped::End => {
                    io.answer.end();
                    return Next::Done;
                }
                Popped::Failed(error) => {
                    io.answer.abort(error);
                    return Next::Done;
                }
            }
        }
    }
}
