//! A connection's or stream's request that an exchange answers: the exchange, what feeds its content, and what came of it.

use std::io::Read;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use farrier_http::body::ReadSeek;
use farrier_http::pipe::{End, Marks, PipeSource, pipe};
use farrier_http::{Body, BodyFraming, Error, Kind, Request};

use crate::answer_sink::Ended;
use crate::content_pace::ContentPace;
use crate::exchange::{Content, ContentSignal, RunningExchange};
use crate::upload::Upload;

/// Content that is read from a temporary file in one go.
const FILE_PIECE_BYTES: usize = 64 * 1024;

/// A request that an exchange answers.
pub struct Exchanging {
    /// The exchange itself.
    pub run: RunningExchange,
    /// How its content arrives.
    pub feed: Feed,
    /// What came of the answer, once it has ended.
    pub ended: Ended,
    /// Where the request ends in its arena.
    pub end: usize,
    /// How fast the client sends content that still arrives on the connection.
    pub pace: ContentPace,
}

/// Where an exchange has its content from.
pub enum Feed {
    /// All of it is in the pipe, or comes by an HTTP/2 session.
    Nothing,
    /// It still arrives on the connection.
    Upload(Box<Upload>),
    /// It was complete, and lies in a temporary file.
    File(Box<dyn ReadSeek>, PipeSource),
    /// It is whatever the client sends: the connection has switched protocols.
    Tunnel(PipeSource),
}

impl Feed {
    /// Reads a piece of a file, where there is one and room for it. True: it has.
    pub fn read_file(&mut self) -> bool {
        let Feed::File(file, source) = self else { return false };
        if !source.has_room() {
            return false;
        }
        let mut piece = vec![0; FILE_PIECE_BYTES];
        match file.read(&mut piece) {
            Ok(0) => source.finish(),
            Ok(count) => {
                piece.truncate(count);
                source.push(Bytes::from(piece));
                return true;
            }
            Err(error) => {
                let cause = format!("cannot read the request's content from its temporary file: {error}");
                source.abort(Error::server(Kind::NoRoom, cause));
            }
        }
        *self = Feed::Nothing;
        true
    }
}

/// The pipe of content that still arrives: its source, and the content.
pub fn arriving(waker: &Waker, marks: Marks, framing: BodyFraming) -> (PipeSource, Content) {
    let signal = ContentSignal::new(waker.clone());
    let (source, drain) = pipe(marks, End::Engine(waker.clone()), End::Engine(Arc::clone(&signal).into()));
    let bytes = match framing {
        BodyFraming::None => Some(0),
        BodyFraming::Length(bytes) => Some(bytes),
        BodyFraming::Chunked => None,
    };
    (source, Content { drain, signal, bytes })
}

/// The pipe of content that is complete, which the request gives away.
pub fn complete(waker: &Waker, marks: Marks, request: &mut Request) -> (Feed, Content) {
    let bytes = request.body.bytes();
    let (source, content) = arriving(waker, marks, BodyFraming::Length(bytes));
    let whole = match std::mem::take(&mut request.body) {
        Body::Spooled { file, .. } => return (Feed::File(file, source), content),
        Body::Memory(whole) => whole,
        Body::InArena(span) => Bytes::copy_from_slice(request.arena.slice(span)),
        Body::Empty | Body::Streamed(_) => Bytes::new(),
    };
    source.push(whole);
    source.finish();
    (Feed::Nothing, content)
}
