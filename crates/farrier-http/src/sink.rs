//! The sink of a response. Its producer owns it and may write the response later, in pieces, on any thread. No method
//! waits.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::response::ResponseHead;

/// What a sink did with a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was taken, and more may be given at once.
    Room,
    /// It was taken, and the sink has reached its high-water mark: give no more until it has room again.
    Full,
    /// It was cut off at the declared Content-Length, or came after the end. Further pieces would be dropped.
    End,
    /// The client has disconnected, or the response was taken from its producer: produce no more.
    Gone,
}

/// One answer on its way to the client. No method waits: what the client does not take is kept, counted against the
/// worker's bounds, and sent by the engine.
///
/// Dropped without [`AnswerSink::end`], the answer is aborted: the client can tell that it is incomplete.
pub trait AnswerSink: Send {
    /// Adds a field to every head that is given from now on, one for an error too, unless that has a field of this name. The
    /// name is a token, the value what may stand in a field.
    fn stamp(&mut self, name: &str, value: &[u8]) {
        let _ = (name, value);
    }

    /// Gives the head; `length` is the content's whole length in bytes where it is known. Until the head has left it may be
    /// given again and replaces the former.
    fn head(&mut self, head: &ResponseHead, length: Option<u64>);

    /// Sends an interim response (1xx, RFC 9110 §15.2), where the client knows such responses and no head has left.
    fn inform(&mut self, interim: &ResponseHead);

    /// Gives a piece of content. An empty one is skipped.
    fn data(&mut self, piece: Bytes) -> Accepted;

    /// Gives a piece of content whose memory the producer uses again: what is not sent at once is copied.
    fn lend(&mut self, piece: &[u8]) -> Accepted {
        self.data(Bytes::copy_from_slice(piece))
    }

    /// Sends the head now, without waiting for content.
    fn flush(&mut self) {}

    /// Gives `bytes` of a plain file from `offset` on. The file's own position is neither used nor changed.
    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Accepted;

    /// Sends the head of a change of protocol, as bytes (RFC 9110 §7.8). What is given from now on are bytes of the other protocol, up
    /// to [`AnswerSink::end`]. False: the client cannot be switched.
    fn switch(&mut self, head: &[u8]) -> bool {
        let _ = head;
        false
    }

    /// Gives the head that accepts an extended CONNECT (RFC 8441 §5), at once. What is given from now on are bytes of the other
    /// protocol, up to [`AnswerSink::end`]. False: the client has not asked in this way.
    fn accept_connect(&mut self, head: &ResponseHead) -> bool {
        let _ = head;
        false
    }

    /// Ends the direction to the client after a switch, once everything was sent. False: bytes wait for the client; the next
    /// [`Event::Room`](crate::Event::Room) is the time for another try.
    fn end_direction(&mut self) -> bool {
        true
    }

    /// Gives fields that follow the content (RFC 9110 §6.5). Where the client cannot take them, they are dropped.
    fn trailers(&mut self, trailers: &ResponseHead);

    /// Ends a complete response.
    fn end(&mut self);

    /// Notes why the answer is not what its producer meant, for the log. The answer goes on.
    fn note(&mut self, fault: Error) {
        let _ = fault;
    }

    /// Ends the answer with an error: a whole response if no head has left, a visible break otherwise.
    fn abort(&mut self, error: Error);

    /// Bytes that may be given before the sink is at its high mark.
    fn room_bytes(&self) -> u64;

    /// Whether the client is known to have left; producing more is pointless.
    fn is_gone(&self) -> bool;
}
