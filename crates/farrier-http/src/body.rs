//! The content of a request, complete before a handler sees it.

use std::io::{Read, Seek};

use bytes::Bytes;

use crate::field::Span;

/// A reader that can seek, which a spooled body needs.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// The decoded content of a request (RFC 9110 §6.4): never chunked, never partial.
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
}

impl Body {
    /// Length of the content in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::InArena(span) => u64::from(span.len),
            Body::Memory(content) => content.len() as u64,
            Body::Spooled { bytes, .. } => *bytes,
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
        };
        write!(f, "Body::{form}({} bytes)", self.bytes())
    }
}
