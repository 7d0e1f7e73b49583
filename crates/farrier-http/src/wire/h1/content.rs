//! Decodes a request's content: a length or the chunked coding with its trailer section (RFC 9112 §6, §7.1).

use std::ops::Range;

use crate::error::Error;
use crate::limits::Limits;
use crate::request::BodyFraming;

/// Decodes the content of one request.
#[derive(Debug)]
pub struct ContentDecoder {}

/// What one call of [`ContentDecoder::decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// The content among them, as a range of the input.
    pub content: Range<usize>,
    /// Whether the message is complete. Bytes after `consumed` belong to the next request.
    pub done: bool,
}

impl ContentDecoder {
    /// A decoder for the framing that the head declared.
    ///
    /// # Errors
    /// The declared length is above `limits.body_bytes_max`.
    pub fn new(framing: BodyFraming, limits: &Limits) -> Result<Self, Error> {
        let _ = (framing, limits);
        Ok(ContentDecoder {})
    }

    /// Decodes from the front of `input` and stops after one run of content. Call again with what was not consumed;
    /// nothing consumed and not done means: more bytes are needed.
    ///
    /// # Errors
    /// The chunked coding is broken or a bound is exceeded. No further byte of the connection may be parsed.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Decoded, Error> {
        let _ = (input, limits);
        Err(Error::bad_request("not built yet"))
    }
}
