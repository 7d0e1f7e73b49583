//! The content of a request: complete before a handler sees it, or taken by the handler as it arrives.

use std::io::{Read, Seek};

use bytes::Bytes;

use crate::error::Error;
use crate::field::Span;

/// A reader that can seek, which a spooled body needs.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Content that arrives while its handler runs. What fails once fails for ever.
pub trait StreamedBody: Send {
    /// Its whole length in bytes, where the client has told it.
    fn length_bytes(&self) -> Option<u64>;

    /// Takes up to `bytes_max` bytes of what is there; `None` when nothing is there yet. No bytes: it is complete.
    fn take(&mut self, bytes_max: usize) -> Option<Result<Bytes, Error>>;

    /// Waits on the calling thread, detached from the runtime, until [`StreamedBody::take`] gives something.
    ///
    /// # Errors
    /// The client is too slow.
    fn wait(&mut self) -> Result<(), Error>;
}

/// The decoded content of a request (RFC 9110 §6.4): never chunked, and partial only where it is streamed.
#[derive(Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// The content follows the head in the request's arena.
    InArena(Span),
    /// The content in separate memory.
    Memory(Bytes),
    /// The content exceeded the memory bound and is in an unlinked temporary file.
    Spooled {
        /// The file, positioned at its start.
        file: Box<dyn ReadSeek>,
        /// Its length in bytes.
        bytes: u64,
    },
    /// The content arrives while the handler runs.
    Streamed(Box<dyn StreamedBody>),
}

impl Body {
    /// Length of the content in bytes; 0 where it is streamed and its length is unknown.
    pub fn bytes(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::InArena(span) => u64::from(span.len),
            Body::Memory(content) => content.len() as u64,
            Body::Spooled { bytes, .. } => *bytes,
            Body::Streamed(body) => body.length_bytes().unwrap_or(0),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let form = match self {
            Body::Empty => "Empty",
            Body::InArena(_) => "InArena",
            Body::Memory(_) => "Memory",
            Body::Spooled { .. } => "Spooled",
            Body::Streamed(_) => "Streamed",
        };
        write!(f, "Body::{form}({} bytes)", self.bytes())
    }
}
