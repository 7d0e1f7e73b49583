//! The interface between the engine and the handlers, which answer requests.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::plan::Plan;
use crate::request::Request;
use crate::response::ResponseHead;

/// Answers requests.
///
/// It cannot see which front a request came through (`origin` is data). It must not assume an async runtime, and may be
/// called from many seats at once.
pub trait Handler: Send + Sync {
    /// The plan for this request. Called once, before [`Handler::handle`]; the request's content may not have arrived yet.
    /// Results, such as the mount that serves the request, may be stored in the request.
    fn plan(&self, request: &mut Request) -> Plan;

    /// Answers the request through `respond`.
    ///
    /// # Errors An error before anything was sent becomes a whole response (`rescue`). After that the connection is
    /// closed, so that the client notices the incomplete message.
    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error>;
}

/// When the bytes given to [`Respond::send`] must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Before `send` returns, or as fast as the client accepts them (PEP 3333, "Buffering and Streaming").
    Now,
    /// With whatever comes next.
    Later,
}

/// Why a chunk was not sent. The handler stops producing and cleans up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The client disconnected, or accepted no bytes for longer than the write timeout. Not the handler's fault.
    Gone,
    /// The declared Content-Length is reached: this chunk was cut, and further content would be dropped.
    Full,
}

/// A response, which the handler gives: a head, then content, then `finish`.
pub trait Respond {
    /// Sets the head. `length` is the content's whole length, if the handler knows it before the first chunk. The head
    /// is sent with the first content, or with `finish`. Until then it may be replaced.
    fn head(&mut self, head: &ResponseHead, length: Option<u64>);

    /// Adds a field to every head that this response gets from now on, even an error's, unless the head has a field of
    /// this name. The name must be a token, and the value a valid field value. A response that wraps another one passes
    /// the call on.
    fn stamp(&mut self, name: &str, value: &[u8]) {
        let _ = (name, value);
    }

    /// Sends an interim response (1xx, RFC 9110 §15.2) at once. It has no effect after the head was sent, or if the
    /// client does not know such responses (HTTP/1.0).
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError>;

    /// Whether the head was sent, so that it cannot be replaced any more.
    fn head_sent(&self) -> bool;

    /// Sends a piece of content; an empty one is skipped. It may block, at most for the write timeout, if more than the
    /// high-water mark is unsent.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError>;

    /// Sends a piece of content that can be kept without a copy. `keep` gives it as shared bytes, and is called only if the
    /// client does not take all of it at once. With [`Flush::Later`] the response is complete and the call does not block.
    /// With [`Flush::Now`] the call may block only when the next piece is sent: often there is none.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        let _ = keep;
        self.send(chunk, flush)
    }

    /// Sends `bytes` of a regular file from `offset` on as content, with sendfile if the transport supports it. The
    /// file's position is neither used nor changed, so that one descriptor serves many responses.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError>;

    /// Sets trailer fields (RFC 9110 §6.5), before the response is finished; a second call replaces the first. If the
    /// client does not accept trailers, they are dropped. A response that wraps another one passes the call on.
    fn trailers(&mut self, trailers: &ResponseHead) {
        let _ = trailers;
    }

    /// Ends a complete response. A response that is dropped without it is aborted: the connection closes.
    fn finish(&mut self);

    /// Whether the client is known to have disconnected, so that more content is useless.
    fn client_gone(&self) -> bool;
}
