//! Keeps the account of one response: how its content is delimited, how much of it is still owed, and what went wrong.

use crate::error::Error;
use crate::response::ResponseHead;
use crate::status::Status;
use crate::wire::h1::ResponseFraming;

/// What is known of a response while it is made. The same for all protocols.
#[derive(Debug)]
pub struct ResponseAccount {
    framing: ResponseFraming,
    /// Bytes that the declared length still asks for.
    remaining: u64,
    status: Status,
    content_bytes: u64,
    names_version: bool,
    fault: Option<Error>,
    /// Names of the hop-by-hop fields that were left out.
    dropped: Vec<Box<[u8]>>,
}

/// How much of a piece of content is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Bytes from the piece's beginning; 0 where there is nothing to send.
    pub bytes: u64,
    /// The piece is longer than the declared length allows.
    pub is_cut: bool,
}

/// The most names of left-out fields that an account keeps.
const DROPPED_MAX: usize = 32;

impl Default for ResponseAccount {
    fn default() -> Self {
        ResponseAccount {
            framing: ResponseFraming::UntilClose,
            remaining: 0,
            status: Status(0),
            content_bytes: 0,
            names_version: false,
            fault: None,
            dropped: Vec::new(),
        }
    }
}

impl ResponseAccount {
    /// Begins with a head; what was counted for a former one is forgotten. A fault stays.
    pub fn begin(&mut self, head: &ResponseHead, framing: ResponseFraming) {
        self.framing = framing;
        self.remaining = match framing {
            ResponseFraming::Length(length) => length,
            _ => 0,
        };
        self.status = head.status();
        self.content_bytes = 0;
        self.names_version = head.has_etag();
        self.note_dropped(head);
    }

    /// Notes which hop-by-hop fields were left out of a head, of an interim response or of trailers, for the log.
    pub fn note_dropped(&mut self, head: &ResponseHead) {
        if !head.dropped().is_empty() {
            self.dropped.extend_from_slice(head.dropped());
            self.dropped.truncate(DROPPED_MAX);
        }
    }

    /// The names of the hop-by-hop fields that were left out, which are forgotten here.
    pub fn take_dropped(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.dropped)
    }

    /// Counts a piece of content. One that is too long is cut, and that is a fault of the application's.
    pub fn count(&mut self, bytes: u64) -> Counted {
        let counted = self.count_up_to(bytes);
        if counted.is_cut {
            self.note(Error::application("the application gave more than its Content-Length"));
        }
        counted
    }

    /// Counts a piece that may be longer than what is wanted of it, as a file may.
    pub fn count_up_to(&mut self, bytes: u64) -> Counted {
        let counted = match self.framing {
            ResponseFraming::NoContent(_) => return Counted { bytes: 0, is_cut: false },
            ResponseFraming::Length(_) => {
                let bytes_taken = bytes.min(self.remaining);
                self.remaining -= bytes_taken;
                Counted { bytes: bytes_taken, is_cut: bytes_taken < bytes }
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose => Counted { bytes, is_cut: false },
        };
        self.content_bytes += counted.bytes;
        counted
    }

    /// Whether all of a declared length was given: nothing else can come but the end.
    pub fn is_complete(&self) -> bool {
        matches!(self.framing, ResponseFraming::Length(_)) && self.remaining == 0
    }

    /// Judges the response at its end. False: fewer bytes than declared were given, so it must not look complete.
    pub fn close(&mut self) -> bool {
        if self.remaining > 0 {
            self.note(Error::application("the application gave fewer bytes than its Content-Length"));
        }
        self.remaining == 0
    }

    /// Notes why the response is not what its handler meant. The first reason counts.
    pub fn note(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Notes the error that takes the response's place.
    pub fn fail(&mut self, error: Error) {
        self.fault = Some(error);
    }

    /// Whether the head is all there is to send, whatever content is given.
    pub fn is_without_content(&self) -> bool {
        matches!(self.framing, ResponseFraming::NoContent(_))
    }

    /// The status; 0 before a head was given.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Bytes of content that were counted.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Whether the head names a version of the content: a file that is sent must not change meanwhile.
    pub fn names_version(&self) -> bool {
        self.names_version
    }

    /// Why the response is not what its handler meant.
    pub fn fault(&self) -> Option<&Error> {
        self.fault.as_ref()
    }

    /// The same, for somebody to keep.
    pub fn into_fault(self) -> Option<Error> {
        self.fault
    }

    /// A place for a fault that others find.
    pub fn fault_mut(&mut self) -> &mut Option<Error> {
        &mut self.fault
    }
}
