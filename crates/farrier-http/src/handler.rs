//! The one contract between the engine and what answers requests.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::request::Request;
use crate::response::ResponseHead;

/// What answering a request takes; all that the engine knows of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupies {
    /// Nothing: it answers at once and never waits (static file, cached response, redirect, status).
    Nothing,
    /// Nothing either, and the request is neither counted nor logged: it asks for the server's own health.
    NothingUnseen,
    /// A seat, for as long as the call takes (a WSGI application).
    Seat,
    /// Nothing, once the request's [`DiskLookup`] has been run by a thread that may wait for the disk.
    Disk,
}

/// What must be done for a request by a thread that may wait for the disk, before it can be answered at once. A handler that
/// says [`Occupies::Disk`] leaves it in [`Request::disk_lookup`].
pub trait DiskLookup: Send + Sync {
    /// Does it, and notes in the request what came of it.
    fn run(&self, request: &mut Request);
}

/// Answers requests.
///
/// It cannot see through which front a request came (`origin` is data), must not assume a runtime, and may be called from
/// many seats at once.
pub trait Handler: Send + Sync {
    /// What answering this request takes. Asked once, before [`Handler::handle`]: what is found out here (which mount serves
    /// the request, say) may be noted in the request for it.
    fn occupies(&self, request: &mut Request) -> Occupies;

    /// Answers the request through `respond`.
    ///
    /// # Errors
    /// An error before anything was sent becomes a whole response (`rescue`); after that the connection is closed, so that
    /// the message is visibly incomplete.
    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error>;
}

/// When the bytes given to [`Respond::send`] must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Before `send` returns, or as fast as the client takes them (PEP 3333, "Buffering and Streaming").
    Now,
    /// With whatever comes next.
    Later,
}

/// Why a chunk was not taken. The handler stops producing and cleans up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The client left, or took no bytes for longer than the write time-out. Not the handler's fault.
    Gone,
    /// The declared Content-Length is reached: this chunk was cut and what follows would be dropped.
    Full,
}

/// One answer, to be given by the handler: a head, then content, then `finish`.
pub trait Respond {
    /// Gives the head. `length` is the content's whole length where the handler knows it before the first chunk.
    /// It leaves with the first content, or with `finish`. Until then it may be given again and replaces the former.
    fn head(&mut self, head: &ResponseHead, length: Option<u64>);

    /// Adds a field to every head that this answer is given from now on, one for an error too, unless that has a field of this
    /// name. The name is a token, the value what may stand in a field. An answer around another one hands it on.
    fn stamp(&mut self, name: &str, value: &[u8]) {
        let _ = (name, value);
    }

    /// Sends an interim response (1xx, RFC 9110 §15.2) at once. Nothing happens once the head is on its way, and for a client
    /// that does not know such responses (HTTP/1.0).
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError>;

    /// Whether the head is on its way, so that it cannot be replaced any more.
    fn head_sent(&self) -> bool;

    /// Gives a piece of content; an empty one is skipped. May wait, bounded by the write time-out, once more than the
    /// high-water mark is unsent.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError>;

    /// Gives a piece of content that can be made to last: `keep` does so, and is asked only where something of it has to wait
    /// for the client. With [`Flush::Later`] the answer is complete, and its handler does not wait at all. With
    /// [`Flush::Now`] the handler is asked for its next piece before it waits: often there is none.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        let _ = keep;
        self.send(chunk, flush)
    }

    /// Gives `bytes` of a plain file from `offset` on as content (sendfile where the transport can). The file's own position is
    /// neither used nor changed, so that one descriptor serves many responses.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError>;

    /// Gives fields that follow the content (RFC 9110 §6.5), before the response is finished; a second call replaces the first.
    /// Where the client cannot take them, they are dropped. An answer around another one hands them on.
    fn trailers(&mut self, trailers: &ResponseHead) {
        let _ = trailers;
    }

    /// Ends a complete response. A response that is dropped without it is aborted: the connection closes.
    fn finish(&mut self);

    /// Whether the client is known to have left; producing more is pointless.
    fn client_gone(&self) -> bool;
}
